//! The configuration in force, as people read it. Secrets are redacted.

use std::fmt::Write as _;

use super::{Config, ConfigError, ServerArgs};
use crate::{catalog::Models, domain::ModelProfile};

/// AWS's own variables that decide where requests go and who signs them.
const AWS_VARIABLES: [(&str, Shown); 19] = [
    ("AWS_REGION", Shown::Whole),
    ("AWS_DEFAULT_REGION", Shown::Whole),
    ("AWS_PROFILE", Shown::Whole),
    ("AWS_CONFIG_FILE", Shown::Whole),
    ("AWS_SHARED_CREDENTIALS_FILE", Shown::Whole),
    ("AWS_ENDPOINT_URL", Shown::Url),
    ("AWS_ENDPOINT_URL_S3", Shown::Url),
    ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", Shown::Url),
    ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", Shown::Whole),
    ("AWS_ROLE_ARN", Shown::Whole),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", Shown::Whole),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", Shown::Url),
    ("AWS_ACCESS_KEY_ID", Shown::Redacted),
    ("AWS_SECRET_ACCESS_KEY", Shown::Redacted),
    ("AWS_SESSION_TOKEN", Shown::Redacted),
    ("AWS_BEARER_TOKEN_BEDROCK", Shown::Redacted),
    ("HTTP_PROXY", Shown::Url),
    ("HTTPS_PROXY", Shown::Url),
    ("NO_PROXY", Shown::Whole),
];

#[derive(Clone, Copy)]
enum Shown {
    Whole,
    /// Without a user name and password.
    Url,
    /// That it is set, nothing more.
    Redacted,
}

/// The effective configuration, one `name = value` a line. `variable` looks up an environment variable.
///
/// # Errors
/// When there is none.
pub fn report(args: &ServerArgs, variable: impl Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    let config = args.config()?;
    let time = |time| humantime::format_duration(time).to_string();
    let embedded = match &config.embedded {
        None => "off".to_owned(),
        Some(None) => "a temporary folder".to_owned(),
        Some(Some(folder)) => folder.display().to_string(),
    };
    let settings = [
        ("listen", config.listen.to_string()),
        ("embedded", embedded),
        ("check_at_start", locations(&config)),
        ("check_model_at_start", config.check_model_at_start.to_string()),
        ("max_image_bytes", config.limits.max_image_bytes.to_string()),
        ("max_pixels", config.limits.max_pixels.to_string()),
        ("max_message_bytes", config.max_message_bytes.to_string()),
        ("request_timeout", time(config.request_timeout)),
        ("min_model_time", time(config.limits.retry.min_call_time)),
        ("max_model_attempts", config.limits.retry.max_attempts.to_string()),
        ("max_in_flight", config.limits.max_in_flight.to_string()),
        ("in_flight_limit", if config.limits.adapts { "adaptive" } else { "fixed" }.to_owned()),
        ("max_in_flight_bytes", config.limits.max_in_flight_bytes.to_string()),
        ("max_prepare_bytes", config.limits.max_prepare_bytes.to_string()),
        ("safe_decoders", config.limits.safe_decoders.to_string()),
        ("max_streams", config.limits.max_streams.to_string()),
        ("cache_bytes", config.limits.cache_bytes.to_string()),
        ("cache_ttl", time(config.limits.cache_ttl)),
        ("drain_timeout", time(config.drain_timeout)),
        ("drain_pause", time(config.drain_pause)),
        ("admin_listen", args.operations.admin_listen.to_string()),
        ("otlp_endpoint", collector(args)),
        ("trace_ratio", args.operations.trace_ratio.to_string()),
    ]
    .into_iter()
    .chain(config.access.report())
    .chain([("log", args.log.clone()), ("log_format", format!("{:?}", args.log_format).to_lowercase())]);
    let mut text = String::new();
    for (name, value) in settings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = {value}");
    }
    let file =
        args.models.as_ref().map_or("none: the built-in catalogue".to_owned(), |path| path.display().to_string());
    let _ = writeln!(text, "models = {file}\nmodel = {}", describe(config.models.default_model()));
    let _ = writeln!(text, "allowed_models = {}", names(&config.models));
    let _ = writeln!(text, "policy = {}", policy(&config));
    if config.embedded.is_some() {
        text.push_str("\n# AWS: its variables have no part in an embedded stack\n");
        return Ok(text);
    }
    text.push_str("\n# AWS\n");
    for (name, shown) in AWS_VARIABLES {
        if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "{name} = {}", show(&value, shown));
        }
    }
    Ok(text)
}

fn locations(config: &Config) -> String {
    let shown: Vec<_> = config.check_at_start.iter().map(ToString::to_string).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn policy(config: &Config) -> String {
    match &config.policy {
        Some(file) => format!("{} (rules: {})", file.path.display(), file.policy.rule_count()),
        None => "none: everyone may do everything".to_owned(),
    }
}

/// Where traces go.
fn collector(args: &ServerArgs) -> String {
    match args.operations.collector() {
        Ok(Some(endpoint)) => show(endpoint.as_str(), Shown::Url),
        Ok(None) => "none".to_owned(),
        Err(error) => error,
    }
}

/// What a request may name beside the default.
fn names(models: &Models) -> String {
    let names: Vec<&str> = models.rows().skip(1).map(|(name, _)| name).collect();
    if names.is_empty() { "none but the default".to_owned() } else { names.join(", ") }
}

fn describe(model: &ModelProfile) -> String {
    let state = match model {
        ModelProfile { is_familiar: false, .. } => ", not in the catalogue",
        ModelProfile { has_ended: true, .. } => ", has ended",
        _ => "",
    };
    let tokens = model.tier.max_visual_tokens.map_or(String::new(), |most| format!(", {most} visual tokens"));
    format!("{} (sees up to {} px an edge{tokens}{state})", model.id, model.tier.max_edge)
}

fn show(value: &str, shown: Shown) -> String {
    match shown {
        Shown::Whole => value.to_owned(),
        Shown::Redacted => "(set)".to_owned(),
        Shown::Url => {
            let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, rest)| (scheme, rest));
            match rest.rsplit_once('@') {
                Some((_, host)) if scheme.is_empty() => format!("(redacted)@{host}"),
                Some((_, host)) => format!("{scheme}://(redacted)@{host}"),
                None => value.to_owned(),
            }
        }
    }
}
