//! The server's life: from a listener and an application to a clean end. Listener and shutdown are parameters, so that
//! tests and the command line run the very same server.

use std::{future::Future, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    adapters::Clients,
    app::{App, StartChecks},
    check::{self, Finding},
    grpc,
};

/// First wait between two looks for what is missing.
const FIRST_READY_WAIT: Duration = Duration::from_millis(500);
/// The longest.
const MAX_READY_WAIT: Duration = Duration::from_secs(30);

/// Serves `app` on `listener` until `shutdown` resolves and calls in flight are done.
///
/// # Errors
/// When the transport cannot be set up or fails.
pub async fn run(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    // The policy file is watched until this is dropped, with the server.
    let App { service, transport, policy: _policy, checks, .. } = app;
    let ready = ready(checks);
    grpc::serve(listener, service, transport, ready, shutdown).await.map_err(|error| anyhow::anyhow!(error))
}

/// A server in this process.
#[derive(Debug)]
pub struct Running {
    /// The address it listens on.
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Stops accepting, lets calls in flight finish and ends.
    ///
    /// # Errors
    /// When the server failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        // A server that has already ended needs no telling.
        let _ = self.stop.send(());
        self.task.await.context("the server panicked")?
    }
}

/// Binds `listen` (port 0 for any) and serves `app` in the background.
///
/// # Errors
/// When the address cannot be bound.
pub async fn start(listen: SocketAddr, app: App) -> anyhow::Result<Running> {
    let listener = bind(listen).await?;
    let address = listener.local_addr().context("the listener has no address")?;
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        // A dropped sender is a dropped `Running`: stop as well.
        let _ = stopped.await;
    };
    let task = tokio::spawn(run(listener, app, shutdown));
    Ok(Running { address, stop, task })
}

/// Binds an address.
///
/// # Errors
/// When it is taken or not this machine's, saying what to do.
pub async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; choose another address with --listen or SIGHTLINE_LISTEN"))
}

/// Serves an embedded stack on `listen` (port 0 for any) with the settings that `serve --embedded` has by default.
///
/// # Errors
/// When the address cannot be bound, or an environment variable of the server's own holds nonsense.
#[cfg(feature = "embedded")]
pub async fn start_embedded(listen: SocketAddr, stack: &crate::embedded::EmbeddedStack) -> anyhow::Result<Running> {
    let mut args = crate::config::ServerArgs::from_environment()?;
    // The stack knows this one model, whatever the environment names for the server on AWS.
    args.model = Some(stack.model_id().to_owned());
    args.allowed_models = Some(Vec::new());
    args.models = None;
    // The settings of who may call are for that server too.
    args.listen = listen;
    args.access = args.access.without_identities();
    args.policy = None;
    args.check_at_start = Vec::new();
    args.check_model_at_start = false;
    let app = App::new(&args.config()?, Some(&crate::app::endpoints(stack))).await?;
    start(listen, app).await
}

/// Resolves once everything is there that the server cannot work without, or is not to work without.
async fn ready(checks: StartChecks) {
    let StartChecks { clients, store, locations, model } = checks;
    credentials(&clients).await;
    for location in &locations {
        let mut wait = FIRST_READY_WAIT;
        while let Finding::Missing(problem) = check::location(&*store, location).await {
            tracing::warn!(bucket = location.bucket, problem, "a check at the start fails: not serving");
            pause(&mut wait).await;
        }
    }
    if let Some((endpoint, profile)) = model {
        let mut wait = FIRST_READY_WAIT;
        while let Finding::Missing(problem) = check::model(&*endpoint, &profile).await {
            tracing::warn!(problem, "the model does not answer at the start: not serving");
            pause(&mut wait).await;
        }
    }
}

/// Resolves once the server has credentials to sign with: before that it cannot work.
async fn credentials(clients: &Clients) {
    let mut wait = FIRST_READY_WAIT;
    while let Err(error) = clients.check_credentials().await {
        tracing::warn!(%error, "no AWS credentials yet: not serving");
        pause(&mut wait).await;
    }
}

/// Waits, and the next time twice as long.
async fn pause(wait: &mut Duration) {
    tokio::time::sleep(*wait).await;
    *wait = (*wait * 2).min(MAX_READY_WAIT);
}

/// Resolves on SIGTERM or Ctrl-C. A second signal ends the process at once.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(130);
        });
    })
}

#[cfg(test)]
mod tests {
    use tonic::transport::Channel;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    use super::*;
    use crate::{adapters::Endpoints, config::ServerArgs};

    /// The server and this test share one thread, so that whatever holds it up would hold up the answer.
    #[tokio::test]
    async fn health_answers_while_every_worker_is_busy() {
        let config = ServerArgs::from_environment().unwrap().config().unwrap();
        let app = App::new(&config, Some(&Endpoints::nowhere())).await.unwrap();
        let admission = app.service.analyzer().admission().clone();
        let running = start(SocketAddr::from(([127, 0, 0, 1], 0)), app).await.unwrap();
        let mut busy = Vec::new();
        for _ in 0..config.limits.prepare_workers {
            let (go, gone) = std::sync::mpsc::channel::<()>();
            let (begun, has_begun) = oneshot::channel();
            let worker = admission.worker().await.unwrap();
            let work = tokio::spawn(worker.run(move || {
                begun.send(()).unwrap();
                gone.recv()
            }));
            has_begun.await.unwrap();
            busy.push((go, work));
        }
        let server = format!("http://{}", running.address);
        let channel = Channel::from_shared(server).unwrap().connect().await.unwrap();
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.expect("an answer");
        for (go, work) in busy {
            assert!(!work.is_finished());
            go.send(()).unwrap();
            work.await.unwrap().unwrap().unwrap();
        }
        running.stop().await.unwrap();
    }
}
