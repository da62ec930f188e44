//! A rolling restart behind Envoy, with real processes and real signals: two servers under load are replaced one after the
//! other, and no call is lost or paid for twice.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{sync::watch, task::JoinSet};
use tonic::Status;

use crate::{
    command::{Server, aws_at},
    support::{
        bedrock::{Bedrock, Reply},
        images::{Format, Scene},
        loopback::{PATIENCE, Port},
        proxies::{Envoy, NEVER_ARRIVED, UNAVAILABLE},
        s3::S3,
        service::{Client, content, describe},
    },
};

/// Calls in flight at any time.
const CALLERS: usize = 100;
/// Connections that they share.
const CONNECTIONS: usize = 4;
/// How long the model takes for each.
const MODEL_TIME: Duration = Duration::from_millis(400);

/// A server with a model of its own, so that its calls can be counted.
struct Instance {
    server: Server,
    bedrock: Bedrock,
    /// Also after its end, so that Envoy finds no other test's server where it was.
    _port: Port,
}

impl Instance {
    async fn start(s3: &S3, pause: &str) -> Self {
        let reply = |_: &_| Reply::tool(json!({"description": "seen"})).after(MODEL_TIME);
        let bedrock = Bedrock::answering(reply).await;
        let mut environment = aws_at(s3.endpoint(), bedrock.endpoint());
        environment.push(("SIGHTLINE_DRAIN_PAUSE", pause.to_owned()));
        let port = Port::hold();
        let flags = ["--listen", &port.address().to_string(), "--cache-bytes", "0B", "--drain-timeout", "1h"];
        Self { server: Server::start(&flags, &environment).await, bedrock, _port: port }
    }

    /// SIGTERM with calls in flight, and a clean end that cuts none of them.
    async fn stop(&mut self) {
        self.bedrock.received(self.bedrock.received_so_far() + CALLERS).await;
        assert!(self.bedrock.in_progress().now() > 0, "it stops with calls in flight");
        self.server.terminate().await;
        let ended = tokio::time::timeout(PATIENCE, self.server.ended()).await;
        assert_eq!(ended.expect("the drain ends with the last call"), Some(0));
        assert_eq!(self.bedrock.abandoned_so_far(), 0, "no call was cut");
        self.bedrock.in_progress().is(0).await;
    }
}

/// Callers who call again and again.
struct Load {
    stop: watch::Sender<bool>,
    callers: JoinSet<Outcomes>,
}

#[derive(Default)]
struct Outcomes {
    answered: usize,
    failed: Vec<Status>,
}

impl Load {
    async fn begin(envoy: &Envoy) -> Self {
        let (stop, stopped) = watch::channel(false);
        let picture = Arc::new(Scene::new(64, 64).encode(Format::Png));
        let mut callers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let client = Client::new(envoy.another_channel().await);
            for _ in 0..CALLERS / CONNECTIONS {
                callers.spawn(call(client.clone(), Arc::clone(&picture), stopped.clone()));
            }
        }
        Self { stop, callers }
    }

    async fn end(self) -> Outcomes {
        self.stop.send_replace(true);
        let mut all = Outcomes::default();
        for outcomes in self.callers.join_all().await {
            all.answered += outcomes.answered;
            all.failed.extend(outcomes.failed);
        }
        all
    }
}

async fn call(mut client: Client, picture: Arc<Vec<u8>>, stopped: watch::Receiver<bool>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    while !*stopped.borrow() {
        match client.analyze_image(content(&picture, describe())).await {
            Ok(_) => outcomes.answered += 1,
            Err(status) => outcomes.failed.push(status),
        }
    }
    outcomes
}

/// Replaces two servers under load, one after the other. No call fails, and none is paid for twice. Returns Envoy, for its
/// counters.
async fn restart(pause: &str, repeated: &str) -> Option<Envoy> {
    let s3 = S3::start().await;
    let (mut first, mut second) = (Instance::start(&s3, pause).await, Instance::start(&s3, pause).await);
    let mut envoy = Envoy::repeating(repeated, &[first.server.address, second.server.address]).await?;
    let load = Load::begin(&envoy).await;

    first.stop().await;
    let third = Instance::start(&s3, pause).await;
    envoy.set_servers(&[second.server.address, third.server.address]).await;
    third.bedrock.received(CALLERS).await;

    second.stop().await;
    let fourth = Instance::start(&s3, pause).await;
    envoy.set_servers(&[third.server.address, fourth.server.address]).await;
    fourth.bedrock.received(CALLERS).await;

    let Outcomes { answered, failed } = load.end().await;
    assert!(failed.is_empty(), "{} failed, {answered} were answered: {:?}", failed.len(), failed[0]);
    let calls = [first, second, third, fourth].map(|instance| instance.bedrock.received_so_far());
    assert_eq!(calls.iter().sum::<usize>(), answered, "each call was made once: {calls:?}");
    Some(envoy)
}

#[tokio::test]
async fn with_a_pause_no_call_is_lost_or_repeated() {
    // Longer than Envoy takes to see NOT_SERVING, on a slow machine too.
    let Some(envoy) = restart("2s", UNAVAILABLE).await else { return };
    assert_eq!(envoy.counted("upstream_rq_retry").await, 0);
}

/// Envoy sends calls to a server that is gone until it has seen so.
#[tokio::test]
async fn without_a_pause_no_call_is_lost_where_those_that_never_arrived_are_repeated() {
    restart("0s", NEVER_ARRIVED).await;
}
