//! More calls than there is capacity for: what is refused and how, what is not, and how the limit follows what a model takes.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::json;
use sightline::proto::GetCapabilitiesRequest;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::pb;

use crate::support::{
    bedrock::{Gate, Reply},
    many::{answer_by_number, describing, inline, item, picture},
    service::{Service, assert_error, channel, content, describe},
};

fn gauge(service: &Service, name: &str) -> f64 {
    let scrape = service.scrape();
    scrape.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap()
}

fn limit(service: &Service) -> f64 {
    gauge(service, "sightline_in_flight_limit")
}

/// A server whose places are all taken, until the gate opens.
async fn full(flags: &[&str]) -> (Service, Gate, Vec<tokio::task::JoinHandle<()>>) {
    let service = Service::with(&[&["--max-in-flight", "2"], flags].concat()).await;
    let gate = Gate::default();
    let held = gate.clone();
    service.bedrock.answer_with(move |request| answer_by_number(request).behind(&held));
    let begin = |number| {
        let call = service.begin(content(&picture(number), describe()));
        tokio::spawn(async move {
            call.await.unwrap().expect("it has its place");
        })
    };
    let calls = vec![begin(1), begin(2)];
    service.bedrock.received(2).await;
    (service, gate, calls)
}

#[tokio::test]
async fn health_reflection_and_capabilities_answer_while_everything_is_refused() {
    let (service, gate, calls) = full(&[]).await;
    let (_, details) =
        assert_error(service.analyze(content(&picture(3), describe())).await, Code::Unavailable, "OVERLOADED");
    let delay = details.get::<pb::RetryInfo>("RetryInfo").unwrap().retry_delay.unwrap();
    assert!(delay.seconds > 0 || delay.nanos > 0, "{delay:?}");

    let channel = channel(service.running.address).await;
    let health = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);
    let list = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let answers = ServerReflectionClient::new(channel).server_reflection_info(tokio_stream::iter([list])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap().message_response;
    assert!(matches!(answer, Some(MessageResponse::ListServicesResponse(list)) if list.service.len() > 2));
    service.client().get_capabilities(GetCapabilitiesRequest {}).await.unwrap();
    gate.open();
    for call in calls {
        call.await.unwrap();
    }
    service.analyze(content(&picture(3), describe())).await.expect("there are places again");
}

/// The message is larger than the server reads, which it would say if it had begun to.
#[tokio::test]
async fn a_picture_is_refused_before_it_has_been_read() {
    let (service, gate, _calls) = full(&["--max-message-bytes", "100KiB"]).await;
    let large = content(&vec![7; 4 << 20], describe());
    assert_error(service.analyze(large.clone()).await, Code::Unavailable, "OVERLOADED");
    assert_eq!(gauge(&service, r#"sightline_shed_total{reason="requests"}"#), 1.0);
    gate.open();
    service.bedrock.in_progress().is(0).await;
    assert_error(service.analyze(large).await, Code::OutOfRange, "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn a_refused_call_uses_up_nothing_of_its_callers_rate() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let rule = "[[rule]]\ncallers = [\"*\"]\ninline = true\nrequests_per_second = 0.001\nburst = 3\n";
    std::fs::write(&policy, rule).unwrap();
    let (service, gate, calls) = full(&["--policy", policy.to_str().unwrap()]).await;
    for _ in 0..10 {
        assert_error(service.analyze(content(&picture(3), describe())).await, Code::Unavailable, "OVERLOADED");
    }
    gate.open();
    for call in calls {
        call.await.unwrap();
    }
    service.analyze(content(&picture(3), describe())).await.expect("the third of three");
    let outcome = service.analyze(content(&picture(4), describe())).await;
    assert_error(outcome, Code::ResourceExhausted, "CALLER_LIMIT_REACHED");
}

/// So many a second, of which none are saved up for long.
struct Quota {
    per_second: f64,
    state: Mutex<(Instant, f64)>,
}

impl Quota {
    fn takes(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let (last, saved) = *state;
        let now = Instant::now();
        let saved = (saved + (now - last).as_secs_f64() * self.per_second).min(2.0);
        let takes = saved >= 1.0;
        *state = (now, if takes { saved - 1.0 } else { saved });
        takes
    }
}

/// Many clients of a model that takes few calls and throttles the others: the server learns to take few, and once there is
/// less to do, many again. Streams go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_follows_what_the_model_takes() {
    const MOST: usize = 48;
    let flags = ["--max-in-flight", &MOST.to_string(), "--max-model-attempts", "1"];
    let service = std::sync::Arc::new(Service::with(&flags).await);
    assert_eq!(limit(&service), MOST as f64);
    let quota = Quota { per_second: 10.0, state: Mutex::new((Instant::now(), 0.0)) };
    service.bedrock.answer_with(move |_| {
        let reply = if quota.takes() { Reply::tool(json!({"description": "It."})) } else { Reply::throttled() };
        // Both take as long, so that the number of calls at once decides how many there are a second.
        reply.after(Duration::from_millis(250))
    });
    let clients: Vec<_> = (0..2 * MOST)
        .map(|number| {
            let service = std::sync::Arc::clone(&service);
            tokio::spawn(async move {
                loop {
                    let _ = service.analyze(content(&picture(number), describe())).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    let until = async |reached: &(dyn Fn(f64) -> bool + Sync)| {
        tokio::time::timeout(Duration::from_secs(60), async {
            while !reached(limit(&service)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the limit is {}", limit(&service)));
    };
    until(&|limit| limit < MOST as f64 / 2.0).await;
    assert!(gauge(&service, r#"sightline_shed_total{reason="requests"}"#) > 0.0);
    for client in clients {
        client.abort();
    }
    service.bedrock.answer_with(answer_by_number);
    let items = (0..100).map(|number| item(inline(&number.to_string(), &picture(number))));
    let answers = service.many(std::iter::once(describing()).chain(items).collect()).await;
    assert_eq!(answers.assert_whole(100).summary().succeeded_count, 100, "a stream waits, whatever the limit");
    // A call now and then is enough for the limit to notice that there is room.
    for number in 0.. {
        if limit(&service) == MOST as f64 {
            break;
        }
        assert!(number < 2000, "the limit is {}", limit(&service));
        service.analyze(content(&picture(number), describe())).await.expect("there is room");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
