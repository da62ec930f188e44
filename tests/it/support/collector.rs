//! A collector of traces on loopback: a real OTLP receiver that keeps what it is sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A running collector. Dropping it ends it.
pub struct Collector {
    pub address: SocketAddr,
    received: Received,
    task: JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    pub async fn start() -> Self {
        let received = Received::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .add_service(TraceServiceServer::new(received.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move { server.await.unwrap() });
        Self { address, received, task }
    }

    /// The URL for `--otlp-endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        let received = self.received.0.lock().unwrap();
        let scopes = received.iter().flat_map(|request| &request.resource_spans).flat_map(|spans| &spans.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// What every process said of itself.
    pub fn resources(&self) -> Vec<Vec<(String, String)>> {
        let received = self.received.0.lock().unwrap();
        let spans = received.iter().flat_map(|request| &request.resource_spans);
        spans
            .map(|spans| {
                spans
                    .resource
                    .iter()
                    .flat_map(|resource| &resource.attributes)
                    .map(|it| (it.key.clone(), shown(it.value.as_ref().and_then(|value| value.value.as_ref()))))
                    .collect()
            })
            .collect()
    }

    /// All that was received, as text to search.
    pub fn everything(&self) -> String {
        format!("{:?}", self.received.0.lock().unwrap())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An attribute of a span as text; empty when it has none of that name.
pub fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    shown(found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()))
}

fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::ArrayValue(array)) => {
            array.values.iter().map(|value| shown(value.value.as_ref())).collect::<Vec<_>>().join(",")
        }
        _ => String::new(),
    }
}
