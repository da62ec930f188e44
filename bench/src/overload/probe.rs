//! Health checks, ten a second over a connection of their own, as an orchestrator makes them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinHandle};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{servers::connect, stats::Latencies};

const INTERVAL: Duration = Duration::from_millis(100);

/// What became of the checks.
#[derive(Debug, Clone)]
pub struct Probes {
    /// Of those that said SERVING.
    pub latencies: Latencies,
    /// Those that did not.
    pub failed: usize,
}

/// Checks that go on until they are stopped.
pub struct Probing {
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<Probes>>,
}

/// Begins to check.
pub fn start(address: SocketAddr) -> Probing {
    let (stop, mut stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let mut health = HealthClient::new(connect(address).await?);
        let mut probes = Probes { latencies: Latencies::new()?, failed: 0 };
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut stopped => return Ok(probes),
            }
            let began = Instant::now();
            match health.check(HealthCheckRequest::default()).await {
                Ok(answer) if answer.get_ref().status == ServingStatus::Serving as i32 => {
                    probes.latencies.add(began.elapsed());
                }
                _ => probes.failed += 1,
            }
        }
    });
    Probing { stop, task }
}

impl Probing {
    /// What became of them.
    pub async fn stop(self) -> anyhow::Result<Probes> {
        // A task that failed has gone already, and says so below.
        let _unheard = self.stop.send(());
        self.task.await?
    }
}
