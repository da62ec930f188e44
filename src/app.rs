//! The only file that names all concrete types: the AWS adapters behind the pipeline's ports, and the service over them.

use std::sync::Arc;

use crate::{
    adapters::{self, BedrockModel, Clients, Endpoints, S3Store},
    config::Config,
    grpc::{Service, Transport},
    pipeline::Analyzer,
};

/// A service that is ready to be put on a listener.
pub struct App {
    pub(crate) service: Service,
    pub(crate) transport: Transport,
    pub(crate) clients: Clients,
}

impl App {
    /// The service over AWS, found by AWS's own chain of environment, profiles and metadata, or over `endpoints`.
    pub async fn new(config: &Config, endpoints: Option<&Endpoints>) -> Self {
        let clients = adapters::connect(endpoints, config.request_timeout).await;
        let store = S3Store::new(clients.s3.clone());
        let model = BedrockModel::new(clients.bedrock.clone(), clients.region.clone());
        let analyzer = Analyzer::new(Arc::new(store), Arc::new(model), config.models.clone(), config.limits.clone());
        Self {
            service: Service::new(Arc::new(analyzer), config.max_message_bytes, config.request_timeout),
            transport: Transport { max_message_bytes: config.max_message_bytes, drain_timeout: config.drain_timeout },
            clients,
        }
    }
}
