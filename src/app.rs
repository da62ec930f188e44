//! The only file that names all concrete types: the AWS adapters behind the pipeline's ports, and the service over them.

use std::{sync::Arc, time::Duration};

use crate::{
    adapters::{self, BedrockModel, Clients, Endpoints, S3Store},
    catalog::Models,
    config::{self, Access, Config, PolicyFile},
    domain::{Location, ModelProfile},
    grpc::{ConnectionLimits, Connections, Readiness, Service, Transport, tls},
    identity::Identities,
    metrics::Metrics,
    pipeline::{Analyzer, ImageStore, VisionModel},
    policy::{Guard, Policy},
    reload::{ReloadError, Reloaded},
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

/// What must be there before the server takes calls.
pub(crate) struct StartChecks {
    pub(crate) clients: Clients,
    pub(crate) store: Arc<dyn ImageStore>,
    pub(crate) locations: Vec<Location>,
    /// What must answer, and where it is asked.
    pub(crate) model: Option<(Arc<dyn VisionModel>, ModelProfile)>,
}

/// What the server stands on: S3 and Bedrock, found by AWS's own chain of environment, profiles and metadata, or elsewhere.
pub struct Upstream {
    /// The AWS clients.
    pub clients: Clients,
    /// Where pictures lie.
    pub store: Arc<dyn ImageStore>,
    /// Where models are asked.
    pub model: Arc<dyn VisionModel>,
}

impl Upstream {
    /// Makes the clients for AWS, or for `endpoints`. Nothing is sent yet.
    pub async fn connect(config: &Config, endpoints: Option<&Endpoints>) -> Self {
        let clients = adapters::connect(endpoints, config.request_timeout).await;
        let store = Arc::new(S3Store::new(clients.s3.clone()));
        let model = BedrockModel::new(clients.bedrock.clone(), clients.region.clone(), &models_of(config));
        Self { clients, store, model: Arc::new(model) }
    }
}

/// A service that is ready to be put on a listener.
pub struct App {
    pub(crate) service: Service,
    pub(crate) transport: Transport,
    /// Watched for as long as this is kept.
    pub(crate) policy: Option<Arc<Reloaded<Policy>>>,
    pub(crate) checks: StartChecks,
    metrics: Arc<Metrics>,
}

impl App {
    /// The service over AWS, found by AWS's own chain of environment, profiles and metadata, or over `endpoints`.
    ///
    /// # Errors
    /// A file of certificates, tokens or keys that cannot be used.
    pub async fn new(config: &Config, endpoints: Option<&Endpoints>) -> Result<Self, ReloadError> {
        let metrics = Arc::new(Metrics::default());
        let transport = transport(config, &metrics)?;
        let connections = transport.connections.clone();
        metrics.watch_connections(move || connections.open());
        let Upstream { clients, store, model } = Upstream::connect(config, endpoints).await;
        let (models, limits) = (config.models.clone(), config.limits.clone());
        let asked = config.check_model_at_start.then(|| (Arc::clone(&model), models.default_model().clone()));
        let analyzer = Analyzer::new(Arc::clone(&store), model, models, limits, Arc::clone(&metrics));
        let guard = Guard::new(config.policy.as_ref().map(|file| file.policy.clone()));
        Ok(Self {
            policy: config.policy.as_ref().map(|file| follow(file, &config.models, &guard)),
            service: Service::new(Arc::new(analyzer), guard, config.max_message_bytes, config.request_timeout),
            transport,
            checks: StartChecks { clients, store, locations: config.check_at_start.clone(), model: asked },
            metrics,
        })
    }

    /// The policy file, if there is one.
    pub fn policy(&self) -> Option<&Arc<Reloaded<Policy>>> {
        self.policy.as_ref()
    }

    /// The clients of AWS that the service works with.
    pub fn clients(&self) -> &Clients {
        &self.checks.clients
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

fn transport(config: &Config, metrics: &Arc<Metrics>) -> Result<Transport, ReloadError> {
    let access = &config.access;
    Ok(Transport {
        max_message_bytes: config.max_message_bytes,
        drain_timeout: config.drain_timeout,
        drain_pause: config.drain_pause,
        readiness: Readiness::starting(Arc::clone(metrics)),
        tls: tls_files(access).map(|files| tls::open(&files)).transpose()?,
        limits: ConnectionLimits {
            max_age: access.max_connection_age,
            age_grace: access.max_connection_age_grace,
            max_streams: access.max_connection_streams,
        },
        connections: Connections::new(access.max_connections),
        identities: Arc::new(Identities::open(&access.sources)?),
    })
}

fn tls_files(access: &Access) -> Option<tls::TlsFiles> {
    let files = access.tls.clone()?;
    Some(tls::TlsFiles { certificate: files.certificate, key: files.key, client_ca: files.client_ca })
}

/// Follows the policy file, which is read for the models that the server offers, and has `guard` decide by its newest version.
fn follow(file: &PolicyFile, models: &Models, guard: &Guard) -> Arc<Reloaded<Policy>> {
    let (models, guard) = (models.clone(), guard.clone());
    let read = move |contents: &[Vec<u8>]| {
        let text = String::from_utf8(contents.concat()).map_err(|error| error.to_string())?;
        config::read_policy(&text, &models).map_err(|error| error.to_string())
    };
    let put_in_force = move |policy: &Arc<Policy>| {
        guard.replace(Arc::clone(policy));
        tracing::info!(rules = policy.rule_count(), "another policy is in force");
        policy.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    };
    let files = vec![("--policy", file.path.clone())];
    let policy = Reloaded::following(files, &[&file.text], file.policy.clone(), read, put_in_force);
    policy.watch();
    policy
}

/// Every model that may be asked: those that callers may name, and those that are asked in their place.
fn models_of(config: &Config) -> Vec<ModelProfile> {
    let models = &config.models;
    models.rows().flat_map(|(_, model)| [vec![model.clone()], models.fallbacks_of(model)].concat()).collect()
}
