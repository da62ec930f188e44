//! One S3 and one Bedrock client for the life of the process: their connection pools and token buckets live in them.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, Region, SdkConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::provider::{ProvideCredentials as _, error::CredentialsError};
use aws_sdk_bedrockruntime::config::{Credentials, SharedCredentialsProvider};
use aws_types::service_config::ServiceConfigKey;

use super::trace::PassTrace;

/// The Region when neither the environment, a profile nor the instance's metadata names one.
const DEFAULT_REGION: &str = "us-east-1";

/// Time to make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for the first byte of an S3 answer, for one attempt.
const S3_READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Attempts of one S3 read, with the SDK's own backoff. A read costs nothing twice, unlike a model call.
const S3_ATTEMPTS: u32 = 3;

/// The AWS clients and where they point.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Amazon S3.
    pub s3: aws_sdk_s3::Client,
    /// Amazon Bedrock Runtime.
    pub bedrock: aws_sdk_bedrockruntime::Client,
    /// Region of both.
    pub region: String,
    /// Whether buckets are named in the path rather than in the host name.
    pub path_style: bool,
    credentials: Option<SharedCredentialsProvider>,
}

/// Endpoints and credentials that replace AWS's own chain, for servers in the same process.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// S3 endpoint URL.
    pub s3: String,
    /// Bedrock Runtime endpoint URL.
    pub bedrock: String,
    /// Region to sign for.
    pub region: String,
    /// Credentials to sign with.
    pub credentials: StaticCredentials,
}

#[cfg(test)]
impl Endpoints {
    /// Where nobody answers.
    pub(crate) fn nowhere() -> Self {
        let nobody = || "http://127.0.0.1:9".to_owned();
        let credentials =
            StaticCredentials { access_key_id: "AKID".to_owned(), secret_access_key: "secret".to_owned() };
        Self { s3: nobody(), bedrock: nobody(), region: "eu-west-1".to_owned(), credentials }
    }
}

/// A fixed key.
#[derive(Clone)]
pub struct StaticCredentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
}

impl std::fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Makes the clients from AWS's own chain of environment, profiles and metadata, or for `endpoints`. No call of either
/// waits longer than `max_call_time` for its answer; a body is bounded by whoever reads it.
pub async fn connect(endpoints: Option<&Endpoints>, max_call_time: Duration) -> Clients {
    let shared = match endpoints {
        Some(endpoints) => fixed(endpoints),
        None => from_environment().await,
    };
    let region = shared.region().map_or(DEFAULT_REGION, AsRef::as_ref).to_owned();
    let path_style = endpoints.is_some() || has_s3_endpoint(&shared);
    // The caller's own deadline, which names its stage, is to win against the SDK's.
    let max_call_time = max_call_time + Duration::from_secs(1);
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(max_call_time);
    let mut s3 = aws_sdk_s3::config::Builder::from(&shared)
        .retry_config(RetryConfig::standard().with_max_attempts(S3_ATTEMPTS))
        .timeout_config(timeouts.clone().read_timeout(S3_READ_TIMEOUT).build())
        .interceptor(PassTrace)
        .force_path_style(path_style);
    // The pipeline owns the retries of model calls. A model may think for minutes before its first byte, which the
    // protection against stalled streams would take for a dead connection.
    let mut bedrock = aws_sdk_bedrockruntime::config::Builder::from(&shared)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .interceptor(PassTrace)
        .timeout_config(timeouts.read_timeout(max_call_time).build());
    if let Some(endpoints) = endpoints {
        s3 = s3.endpoint_url(&endpoints.s3);
        bedrock = bedrock.endpoint_url(&endpoints.bedrock);
    }
    Clients {
        s3: aws_sdk_s3::Client::from_conf(s3.build()),
        bedrock: aws_sdk_bedrockruntime::Client::from_conf(bedrock.build()),
        region,
        path_style,
        credentials: shared.credentials_provider(),
    }
}

/// A client like `client`, of its settings and connections, for another Region. An endpoint that was named stays.
pub(super) fn in_region(client: &aws_sdk_bedrockruntime::Client, region: &str) -> aws_sdk_bedrockruntime::Client {
    let config = client.config().to_builder().region(Region::new(region.to_owned()));
    aws_sdk_bedrockruntime::Client::from_conf(config.build())
}

async fn from_environment() -> SdkConfig {
    let region = aws_config::meta::region::RegionProviderChain::default_provider().or_else(DEFAULT_REGION);
    aws_config::defaults(behavior_version()).region(region).load().await
}

/// A configuration that the environment has no part in: no variable, no profile, and no proxy between two ends of one
/// machine.
fn fixed(endpoints: &Endpoints) -> SdkConfig {
    let StaticCredentials { access_key_id, secret_access_key } = endpoints.credentials.clone();
    let credentials = Credentials::new(access_key_id, secret_access_key, None, None, "sightline");
    SdkConfig::builder()
        .behavior_version(behavior_version())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new(endpoints.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// Pinned, so that an update of the SDK changes no behaviour unseen.
fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Whether the environment or the profile names an S3 endpoint. Servers other than AWS are rarely reached by a host name
/// for each bucket.
fn has_s3_endpoint(shared: &SdkConfig) -> bool {
    let key = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let named = key.ok().and_then(|key| shared.service_config()?.load_config(key));
    named.is_some() || shared.endpoint_url().is_some()
}

/// Whether a call failed because the server has no credentials to sign it with.
pub(super) fn is_credentials_failure(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| {
        cause.is::<CredentialsError>()
            // The orchestrator's own error when no provider is set is not public.
            || cause.to_string().contains("Be sure to set an identity")
    })
}

impl Clients {
    /// Looks for the credentials that S3 requests are signed with.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn check_credentials(&self) -> Result<(), CredentialsError> {
        match &self.credentials {
            Some(provider) => provider.provide_credentials().await.map(drop),
            None => Err(CredentialsError::not_loaded("no provider of credentials is configured")),
        }
    }
}

/// An error and what caused it, outermost first.
pub(super) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}
