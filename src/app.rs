//! The only file that names all concrete types: the AWS adapters behind the pipeline's ports, and the service over them.

use std::{sync::Arc, time::Duration};

use crate::{
    adapters::{self, BedrockModel, Clients, Endpoints, S3Store},
    config::Config,
    domain::ModelProfile,
    grpc::{Readiness, Service, Transport},
    metrics::Metrics,
    pipeline::Analyzer,
};

/// An S3 client on AWS's own chain of environment, profiles and metadata, as the server has it.
pub async fn s3_from_environment() -> aws_sdk_s3::Client {
    adapters::connect(None, CLIENT_CALL_TIME).await.s3
}

/// An S3 client of an embedded stack.
#[cfg(feature = "embedded")]
pub async fn s3_of(stack: &crate::embedded::EmbeddedStack) -> aws_sdk_s3::Client {
    adapters::connect(Some(&endpoints(stack)), CLIENT_CALL_TIME).await.s3
}

/// The endpoints of an embedded stack.
#[cfg(feature = "embedded")]
pub fn endpoints(stack: &crate::embedded::EmbeddedStack) -> Endpoints {
    Endpoints {
        s3: stack.s3_endpoint().to_owned(),
        bedrock: stack.bedrock_endpoint().to_owned(),
        region: stack.region().to_owned(),
        credentials: adapters::StaticCredentials {
            access_key_id: stack.access_key_id().to_owned(),
            secret_access_key: stack.secret_access_key().to_owned(),
        },
    }
}

/// Longest time for one S3 call of the command line.
const CLIENT_CALL_TIME: Duration = Duration::from_secs(120);

/// A service that is ready to be put on a listener.
pub struct App {
    pub(crate) service: Service,
    pub(crate) transport: Transport,
    pub(crate) clients: Clients,
    metrics: Arc<Metrics>,
}

impl App {
    /// The service over AWS, found by AWS's own chain of environment, profiles and metadata, or over `endpoints`.
    pub async fn new(config: &Config, endpoints: Option<&Endpoints>) -> Self {
        let clients = adapters::connect(endpoints, config.request_timeout).await;
        let store = S3Store::new(clients.s3.clone());
        let model = BedrockModel::new(clients.bedrock.clone(), clients.region.clone(), &models_of(config));
        let metrics = Arc::new(Metrics::default());
        let (models, limits) = (config.models.clone(), config.limits.clone());
        let analyzer = Analyzer::new(Arc::new(store), Arc::new(model), models, limits, Arc::clone(&metrics));
        Self {
            service: Service::new(Arc::new(analyzer), config.max_message_bytes, config.request_timeout),
            transport: Transport {
                max_message_bytes: config.max_message_bytes,
                drain_timeout: config.drain_timeout,
                drain_pause: config.drain_pause,
                readiness: Readiness::starting(Arc::clone(&metrics)),
            },
            clients,
            metrics,
        }
    }

    /// The clients of AWS that the service works with.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// What the service counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether the service takes calls.
    pub fn readiness(&self) -> &Readiness {
        &self.transport.readiness
    }
}

/// Every model that may be asked: those that callers may name, and those that are asked in their place.
fn models_of(config: &Config) -> Vec<ModelProfile> {
    let models = &config.models;
    models.rows().flat_map(|(_, model)| [vec![model.clone()], models.fallbacks_of(model)].concat()).collect()
}
