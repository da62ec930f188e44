//! SDK clients for the stack's endpoints.

use aws_sdk_bedrockruntime::config::{BehaviorVersion, Credentials, Region};

use super::EmbeddedStack;

pub(super) fn s3_with(stack: &EmbeddedStack, id: &str, secret: &str) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(stack.region().to_owned()))
        .endpoint_url(stack.s3_endpoint())
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

pub(super) fn s3(stack: &EmbeddedStack) -> aws_sdk_s3::Client {
    s3_with(stack, stack.access_key_id(), stack.secret_access_key())
}

pub(super) fn bedrock_with(
    stack: &EmbeddedStack,
    region: &str,
    id: &str,
    secret: &str,
) -> aws_sdk_bedrockruntime::Client {
    let config = aws_sdk_bedrockruntime::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .endpoint_url(stack.bedrock_endpoint())
        .credentials_provider(Credentials::new(id, secret, None, None, "test"));
    aws_sdk_bedrockruntime::Client::from_conf(config.build())
}

pub(super) fn bedrock(stack: &EmbeddedStack) -> aws_sdk_bedrockruntime::Client {
    bedrock_with(stack, stack.region(), stack.access_key_id(), stack.secret_access_key())
}
