//! Flags and environment to a checked configuration. Everything is parsed before any port is bound.
//!
//! Regions, endpoints and credentials are AWS's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL_S3`, ...): the SDK reads
//! them, and `sightline config` shows them.

mod access;
#[cfg(feature = "lambda")]
mod lambda;
mod models;
mod operations;
mod policy;
mod report;

use std::{
    fs::File,
    io::{self, Read as _},
    net::{SocketAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use clap::{Args, FromArgMatches as _, ValueEnum, builder::BoolishValueParser};

use crate::{
    catalog::Models,
    domain::Location,
    pipeline::{Limits, RetryPolicy},
};
pub use access::{Access, AccessArgs, AccessError, TlsPaths};
#[cfg(feature = "lambda")]
pub use lambda::FunctionArgs;
pub use models::ConfigError;
pub use operations::{AdminAddress, OperationsArgs, OtlpEndpoint};
pub use policy::{PolicyFile, read_policy};
pub use report::report;

/// Settings of the server.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Address to listen on. Elsewhere than on loopback it needs to be known who calls: --tls-client-ca, --trusted-proxies,
    /// --tokens or --jwks, or --allow-anonymous.
    #[arg(long, env = "SIGHTLINE_LISTEN", default_value = "127.0.0.1:50051", value_name = "ADDR", value_parser = address)]
    pub listen: SocketAddr,

    /// Model that is asked when a request names none: an alias or name of the catalogue, which `sightline models` lists, or
    /// a Bedrock model id, inference-profile id or ARN. [default: the catalogue's alias `default`, claude-sonnet-5; with
    /// --embedded: sightline.nanodet-416]
    #[arg(long, env = "SIGHTLINE_MODEL", value_name = "MODEL", value_parser = model_name)]
    pub model: Option<String>,

    /// Models that a request may name beside that one, by alias, name or id. [default: the whole catalogue; with --embedded:
    /// none]
    #[arg(long, env = "SIGHTLINE_ALLOWED_MODELS", value_name = "MODEL,MODEL", value_delimiter = ',',
          value_parser = model_name)]
    pub allowed_models: Option<Vec<String>>,

    /// Catalogue of models to lay over the one that is built in: a TOML file as docs/MODELS.md describes it.
    #[arg(long, env = "SIGHTLINE_MODELS", value_name = "FILE")]
    pub models: Option<PathBuf>,

    /// Who may read which buckets, ask which models, and how often: a TOML file as docs/POLICY.md describes it, checked at the
    /// start and read again when it changes. A caller that no rule names may do nothing. [default: everyone may do everything]
    #[arg(long, env = "SIGHTLINE_POLICY", value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// Buckets, or objects in them, that the server must be able to read before it turns SERVING: as `sightline check
    /// --bucket` checks them, again and again.
    #[arg(long, env = "SIGHTLINE_CHECK_AT_START", value_name = "BUCKET[/KEY],...", value_delimiter = ',')]
    pub check_at_start: Vec<Location>,

    /// Ask the default model before the server turns SERVING, until it answers: a call with a small picture and one output
    /// token, which is paid for.
    #[arg(long, env = "SIGHTLINE_CHECK_MODEL_AT_START", value_parser = BoolishValueParser::new())]
    pub check_model_at_start: bool,

    /// Largest picture file, from S3 or in the request.
    #[arg(long, env = "SIGHTLINE_MAX_IMAGE_BYTES", default_value = "20MiB", value_name = "SIZE", value_parser = size)]
    pub max_image_bytes: ByteSize,

    /// Largest picture in pixels, width times height. Known from the header, before anything is decoded.
    #[arg(long, env = "SIGHTLINE_MAX_PIXELS", default_value_t = 100_000_000, value_name = "COUNT",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub max_pixels: u64,

    /// Largest request message, which bounds inline pictures. A larger one is OUT_OF_RANGE.
    #[arg(long, env = "SIGHTLINE_MAX_MESSAGE_BYTES", default_value = "21MiB", value_name = "SIZE", value_parser = size)]
    pub max_message_bytes: ByteSize,

    /// Longest time for one request, whatever its caller allows. S3 and model calls included.
    #[arg(long, env = "SIGHTLINE_REQUEST_TIMEOUT", default_value = "120s", value_name = "TIME", value_parser = time)]
    pub request_timeout: Duration,

    /// A model call is not started with less time left than this: it would be paid for in vain.
    #[arg(long, env = "SIGHTLINE_MIN_MODEL_TIME", default_value = "100ms", value_name = "TIME", value_parser = time)]
    pub min_model_time: Duration,

    /// Most calls of one model for one question: after throttling and faults of the service it is asked again.
    #[arg(long, env = "SIGHTLINE_MAX_MODEL_ATTEMPTS", default_value_t = 3, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=10))]
    pub max_model_attempts: u32,

    /// Most pictures in progress at once. One more request is UNAVAILABLE; streams wait, and leave a quarter to requests.
    #[arg(long, env = "SIGHTLINE_MAX_IN_FLIGHT", default_value_t = 256, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_in_flight: u32,

    /// Whether that limit adapts: it is lowered while more pictures at once would only make each slower, since this process or
    /// what is behind it has no more to give.
    #[arg(long, env = "SIGHTLINE_IN_FLIGHT_LIMIT", default_value = "adaptive", value_name = "MODE")]
    pub in_flight_limit: InFlightLimit,

    /// Most bytes of picture files in progress at once, counted as --max-in-flight is. The server needs about four times
    /// as much memory.
    #[arg(long, env = "SIGHTLINE_MAX_IN_FLIGHT_BYTES", default_value = "512MiB", value_name = "SIZE", value_parser = total)]
    pub max_in_flight_bytes: ByteSize,

    /// Most memory that the preparing of pictures takes at once, beside their files. What one takes is known from its header,
    /// and waits for its share; a picture that takes more than all of it is IMAGE_TOO_LARGE.
    #[arg(long, env = "SIGHTLINE_MAX_PREPARE_BYTES", default_value = "1GiB", value_name = "SIZE", value_parser = total)]
    pub max_prepare_bytes: ByteSize,

    /// Decode only with code that holds no `unsafe` and no C, which is slower: a lossy WebP takes about two and a half times as
    /// long.
    #[arg(long, env = "SIGHTLINE_SAFE_DECODERS", value_parser = BoolishValueParser::new())]
    pub safe_decoders: bool,

    /// Most AnalyzeMany streams open at once. One more is UNAVAILABLE.
    #[arg(long, env = "SIGHTLINE_MAX_STREAMS", default_value_t = 256, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_streams: u32,

    /// Most memory for kept results. Equal requests, picture included, share one model call while it is in flight and its
    /// result while it is kept; options.cache_mode of a request decides otherwise. 0B: neither.
    #[arg(long, env = "SIGHTLINE_CACHE_BYTES", default_value = "64MiB", value_name = "SIZE", value_parser = cache_size)]
    pub cache_bytes: ByteSize,

    /// How long a result is kept.
    #[arg(long, env = "SIGHTLINE_CACHE_TTL", default_value = "1h", value_name = "TIME", value_parser = time)]
    pub cache_ttl: Duration,

    /// Longest wait for calls in flight after SIGTERM.
    #[arg(long, env = "SIGHTLINE_DRAIN_TIMEOUT", default_value = "30s", value_name = "TIME", value_parser = time)]
    pub drain_timeout: Duration,

    /// Who may call, and how connections are made.
    #[command(flatten)]
    pub access: AccessArgs,

    /// How the server is operated.
    #[command(flatten)]
    pub operations: OperationsArgs,

    /// What to log: a level, or directives such as `sightline=debug,tonic=info`.
    #[arg(long, env = "SIGHTLINE_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// How to write the log, which goes to standard error.
    #[arg(long, env = "SIGHTLINE_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Run without AWS: S3 over the folder DIR, whose sub-folders are buckets, and a Bedrock endpoint with an object
    /// detector, both in this process on loopback. Without DIR, a temporary folder whose bucket `photos` holds sample
    /// pictures. In the variable, `true` and `1` stand for no DIR, `false` and `0` for off.
    #[cfg(feature = "embedded")]
    #[arg(long, env = "SIGHTLINE_EMBEDDED", value_name = "DIR", num_args = 0..=1)]
    pub embedded: Option<Option<PathBuf>>,
}

/// Whether the limit on pictures in progress changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InFlightLimit {
    /// At most --max-in-flight, and less while that serves as many.
    Adaptive,
    /// Always --max-in-flight.
    Fixed,
}

/// How to write the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Readable lines.
    Text,
    /// One JSON object a line.
    Json,
}

/// A checked configuration of the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Models that requests may name.
    pub models: Models,
    /// Who may do what; `None` for everyone everything.
    pub policy: Option<PolicyFile>,
    /// What must be readable before the server turns SERVING.
    pub check_at_start: Vec<Location>,
    /// Whether the default model must answer before that.
    pub check_model_at_start: bool,
    /// What bounds the work.
    pub limits: Limits,
    /// Largest request message in bytes.
    pub max_message_bytes: usize,
    /// Longest time for one request.
    pub request_timeout: Duration,
    /// Longest wait for calls in flight once told to stop.
    pub drain_timeout: Duration,
    /// Who may call, and how connections are made.
    pub access: Access,
    /// Time for which calls are still served after health has said NOT_SERVING.
    pub drain_pause: Duration,
    /// The embedded stack: `Some(None)` is one over a temporary folder.
    pub embedded: Option<Option<PathBuf>>,
}

impl ServerArgs {
    /// The settings that the environment alone makes.
    ///
    /// # Errors
    /// When a variable holds nonsense.
    pub fn from_environment() -> Result<Self, clap::Error> {
        let command = without_empty_variables(Self::augment_args(clap::Command::new("sightline")));
        Self::from_arg_matches(&command.try_get_matches_from(["sightline"])?)
    }

    /// The configuration that these settings make.
    ///
    /// # Errors
    /// When the catalogue of models or the policy cannot be read or made out, or when settings do not go together.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let embedded = self.embedded();
        let models = models::offered(self, embedded.is_some())?;
        Ok(Config {
            listen: self.listen,
            policy: policy::load(self, &models)?,
            models,
            check_at_start: self.check_at_start.clone(),
            check_model_at_start: self.check_model_at_start,
            limits: self.limits(),
            max_message_bytes: usize::try_from(self.max_message_bytes.as_u64()).unwrap_or(usize::MAX),
            request_timeout: self.request_timeout,
            drain_timeout: self.drain_timeout,
            access: self.access.checked(self.listen)?,
            drain_pause: self.operations.drain_pause,
            embedded,
        })
    }

    fn limits(&self) -> Limits {
        Limits {
            max_image_bytes: self.max_image_bytes.as_u64(),
            max_pixels: self.max_pixels,
            max_in_flight: self.max_in_flight as usize,
            adapts: self.in_flight_limit == InFlightLimit::Adaptive,
            max_in_flight_bytes: self.max_in_flight_bytes.as_u64(),
            max_streams: self.max_streams as usize,
            max_prepare_bytes: self.max_prepare_bytes.as_u64(),
            safe_decoders: self.safe_decoders,
            prepare_workers: std::thread::available_parallelism().map_or(1, usize::from),
            cache_bytes: self.cache_bytes.as_u64(),
            cache_ttl: self.cache_ttl,
            retry: RetryPolicy {
                max_attempts: self.max_model_attempts,
                base: Duration::from_millis(200),
                cap: Duration::from_secs(5),
                min_call_time: self.min_model_time,
            },
        }
    }

    #[cfg(feature = "embedded")]
    fn embedded(&self) -> Option<Option<PathBuf>> {
        match self.embedded.as_ref()? {
            Some(folder) if folder.as_os_str() == "false" || folder.as_os_str() == "0" => None,
            Some(folder) if folder.as_os_str() == "true" || folder.as_os_str() == "1" => Some(None),
            folder => Some(folder.clone()),
        }
    }

    #[cfg(not(feature = "embedded"))]
    fn embedded(&self) -> Option<Option<PathBuf>> {
        None
    }
}

/// The command without the variables that are set to nothing, as compose files and charts set them: they count as unset.
pub fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| {
        arg.get_env().is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
    };
    command.mut_args(|arg| if is_empty(&arg) { arg.env(None) } else { arg }).mut_subcommands(without_empty_variables)
}

/// Reads one byte more than a file may have, which is then said to be too long: a device or a wrong file does no harm.
fn read_at_most(bytes: usize, path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// An address, or a host name with a port: of its addresses the first of IPv4, else the first.
fn address(text: &str) -> Result<SocketAddr, String> {
    let found: Vec<SocketAddr> = text.to_socket_addrs().map_err(|error| error.to_string())?.collect();
    let chosen = found.iter().find(|address| address.is_ipv4()).or(found.first());
    chosen.copied().ok_or_else(|| "the name has no address".to_owned())
}

fn model_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=2048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.to_owned()) } else { Err("must be 1 to 2048 visible ASCII characters".to_owned()) }
}

fn size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse()?;
    let most = 1 << 30;
    if (1..=most).contains(&size.as_u64()) { Ok(size) } else { Err("must lie between 1 byte and 1 GiB".to_owned()) }
}

/// The size of many things together.
fn total(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse()?;
    let most = 1 << 40;
    if (1..=most).contains(&size.as_u64()) { Ok(size) } else { Err("must lie between 1 byte and 1 TiB".to_owned()) }
}

/// The size of something that may be left out.
fn cache_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse()?;
    if size.as_u64() <= 1 << 40 { Ok(size) } else { Err("must be at most 1 TiB".to_owned()) }
}

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let most = Duration::from_secs(24 * 3600);
    if !time.is_zero() && time <= most { Ok(time) } else { Err("must be longer than 0 and at most a day".to_owned()) }
}

#[cfg(test)]
mod tests;
