//! Calls at a rate, whether there are answers or not. Latency counts from when a call was to begin, so that one that begins
//! late because this machine is busy is not taken for a quick one.

use std::time::{Duration, Instant};

use tokio::{runtime::Handle, sync::mpsc};

use super::calls::{Call, Target, analyze};

/// `rate` calls a second for `duration`, evenly; returns when all have ended.
pub async fn run(target: &Target, rate: f64, duration: Duration) -> anyhow::Result<Vec<Call>> {
    anyhow::ensure!(rate > 0.0, "a rate must be above 0");
    let interval = Duration::from_secs_f64(1.0 / rate);
    let count = (rate * duration.as_secs_f64()).ceil() as u32;
    let (ended, mut ends) = mpsc::unbounded_channel();
    let (runtime, target) = (Handle::current(), target.clone());
    // A thread of its own: the runtime's timer is only good to a millisecond.
    let pace = std::thread::spawn(move || {
        let first = Instant::now();
        for number in 0..count {
            let began = first + interval * number;
            std::thread::sleep(began.saturating_duration_since(Instant::now()));
            let (client, picture, ended) = (target.client(number as usize)?, target.picture(), ended.clone());
            runtime.spawn(async move {
                // Nobody listens when the run has failed already.
                let _unheard = ended.send(analyze(client, picture, began).await);
            });
        }
        anyhow::Ok(())
    });
    let mut calls: Vec<Call> = Vec::with_capacity(count as usize);
    while let Some(call) = ends.recv().await {
        calls.push(call);
    }
    pace.join().map_err(|_| anyhow::anyhow!("the pace was lost"))??;
    Ok(calls)
}
