//! Real proxies in front of servers under test: Envoy and nginx, each a process of its own on ports and sockets of its own.

use std::{fs, future::Future, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    process::{Child, Command},
};
use tonic::transport::{Channel, Endpoint};

use super::{
    loopback::PATIENCE,
    tools::{require_installed, require_tool},
};

/// How often Envoy asks its servers for their health.
const HEALTH_INTERVAL: &str = "0.1s";
/// What a call may be repeated after: the server says that it takes none. It has not worked on it then.
pub const UNAVAILABLE: &str = "unavailable";
/// And after what never reached a server: the connection was not made, or was closing.
pub const NEVER_ARRIVED: &str = "unavailable,connect-failure,refused-stream";
/// How often another process is asked again: it tells no events.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A running proxy. Dropping it kills it.
struct Process {
    name: &'static str,
    folder: TempDir,
    child: Child,
}

impl Process {
    /// Starts `command`; what it prints goes into the file `log` of its folder.
    fn start(name: &'static str, folder: TempDir, command: &mut Command) -> Self {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name, folder, child }
    }

    /// Asks again until there is an answer. Fails the test, with what the proxy printed, when it has ended or there is none in
    /// time.
    async fn until<T, F>(&mut self, what: &str, mut ask: impl FnMut(&Path) -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let mut again = tokio::time::interval(ASK_AGAIN);
        let answer = tokio::time::timeout(PATIENCE, async {
            loop {
                again.tick().await;
                if let Some(answer) = ask(self.folder.path()).await {
                    return Ok(answer);
                }
                if let Some(status) = self.child.try_wait().unwrap() {
                    return Err(status);
                }
            }
        });
        let problem = match answer.await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(status)) => format!("{} has ended, {status}", self.name),
            Err(_) => format!("waited {PATIENCE:?} for {what}"),
        };
        panic!("{problem}: {}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
    }
}

/// nginx with `grpc_pass`, on a socket in its folder: it tells no port that it was given.
pub struct Nginx {
    process: Process,
    channel: Channel,
}

impl Nginx {
    /// In front of one server. `None`, with a note, when it is not installed.
    pub async fn start(server: SocketAddr) -> Option<Self> {
        let nginx = require_installed("nginx")?;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("nginx.conf"), nginx_config(folder.path(), server)).unwrap();
        let mut command = Command::new(nginx);
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut process = Process::start("nginx", folder, &mut command);
        let channel = process.until("nginx", |folder| {
            let socket = Endpoint::from_shared(format!("unix://{}", folder.join("socket").display())).unwrap();
            async move { socket.connect().await.ok() }
        });
        let channel = channel.await;
        Some(Self { process, channel })
    }

    /// A connection as it comes.
    pub async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.process.folder.path().join("socket")).await.unwrap()
    }

    /// The way to the server through it.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// Nothing but what gRPC needs: the rest is as it comes, the sizes of its buffers too.
fn nginx_config(folder: &Path, server: SocketAddr) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|module| format!("  {module}_temp_path {}/{module};\n", folder.display()))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n\
         http {{\n{temporary}  access_log off;\n\
         \x20 upstream sightline {{ server {server}; keepalive 8; }}\n\
         \x20 server {{\n    listen unix:{folder}/socket http2;\n\
         \x20   client_max_body_size 0;  # pictures are larger than 1 MB, and the server has a limit of its own\n\
         \x20   location / {{ grpc_pass grpc://sightline; }}\n  }}\n}}\n",
        folder = folder.display()
    )
}

/// Envoy with one cluster, whose servers are a file that it reads again, as a mesh's control plane names them.
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    address: SocketAddr,
    channel: Channel,
}

impl Envoy {
    /// In front of these servers, once all of them are healthy. `None`, with a note, when it is not there.
    pub async fn start(servers: &[SocketAddr]) -> Option<Self> {
        Self::repeating(UNAVAILABLE, servers).await
    }

    /// The same, with calls other than streams repeated after these failures.
    pub async fn repeating(failures: &str, servers: &[SocketAddr]) -> Option<Self> {
        let envoy = require_tool("envoy")?;
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("envoy.json");
        fs::write(&config, envoy_config(folder.path(), failures).to_string()).unwrap();
        write_servers(folder.path(), servers);
        let mut command = Command::new(envoy);
        command.arg("--config-path").arg(config).arg("--admin-address-path").arg(folder.path().join("admin"));
        command.args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"]);
        let mut process = Process::start("Envoy", folder, &mut command);
        let admin = process.until("the admin port", |folder| {
            let file = fs::read_to_string(folder.join("admin"));
            std::future::ready(file.ok().and_then(|address| address.parse().ok()))
        });
        let admin = admin.await;
        process.until("readiness", |_| async move { ask(admin, "/ready").await?.contains("LIVE").then_some(()) }).await;
        let address =
            process.until("the listener", |_| async move { listener(&ask(admin, "/listeners").await?) }).await;
        let channel = super::service::channel(address).await;
        let mut envoy = Self { process, admin, address, channel };
        envoy.healthy(servers.len()).await;
        Some(envoy)
    }

    /// The way to the servers through it.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A connection as it comes.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Another connection.
    pub async fn another_channel(&self) -> Channel {
        super::service::channel(self.address).await
    }

    /// Names other servers, and returns once exactly these are there and healthy.
    pub async fn set_servers(&mut self, servers: &[SocketAddr]) {
        write_servers(self.process.folder.path(), servers);
        let total = format!("membership_total: {}\n", servers.len());
        self.until("other servers", "membership", &total).await;
        self.healthy(servers.len()).await;
    }

    /// Returns once exactly so many of its servers are healthy.
    pub async fn healthy(&mut self, count: usize) {
        self.until("healthy servers", "membership", &format!("membership_healthy: {count}\n")).await;
    }

    /// What a counter of the cluster stands at.
    pub async fn counted(&self, name: &str) -> u64 {
        let name = format!("cluster.sightline.{name}: ");
        let stats = ask(self.admin, "/stats?filter=cluster.sightline").await.expect("the admin port answers");
        let value = stats.split_once(&name).and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {stats}"))
    }

    async fn until(&mut self, what: &str, stats: &str, says: &str) {
        let (admin, path) = (self.admin, format!("/stats?filter=cluster.sightline.{stats}"));
        let asked = self.process.until(what, |_| async { ask(admin, &path).await?.contains(says).then_some(()) });
        asked.await;
    }
}

/// What the admin port answers; `None` when it does not.
async fn ask(admin: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(admin).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer.replace("\r\n", "\n"))
}

/// The address in `callers::127.0.0.1:1234`.
fn listener(listeners: &str) -> Option<SocketAddr> {
    listeners.lines().find_map(|line| line.strip_prefix("callers::")?.parse().ok())
}

/// Replaces the file in one step, for it is read as soon as it changes.
fn write_servers(folder: &Path, servers: &[SocketAddr]) {
    let endpoints: Vec<_> = servers.iter().map(|server| json!({"endpoint": {"address": socket(*server)}})).collect();
    let servers = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "sightline",
        "endpoints": [{"lb_endpoints": endpoints}],
    }]});
    let new = folder.join("new.json");
    fs::write(&new, servers.to_string()).unwrap();
    fs::rename(new, folder.join("servers.json")).unwrap();
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// A file's message of the type that Envoy knows by this name.
fn typed(name: &str, mut message: Value) -> Value {
    message["@type"] = format!("type.googleapis.com/envoy.extensions.{name}").into();
    message
}

fn envoy_config(folder: &Path, failures: &str) -> Value {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": typed("filters.http.router.v3.Router", json!({})),
    });
    let manager = json!({
        "stat_prefix": "callers",
        "codec_type": "HTTP2",
        "stream_idle_timeout": "300s",
        "route_config": {"virtual_hosts": [{"name": "sightline", "domains": ["*"], "routes": envoy_routes(failures)}]},
        "http_filters": [router],
    });
    json!({
        // Files as sources want to know who asks.
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": socket(any_port)},
        "static_resources": {
            "listeners": [{
                "name": "callers",
                "address": socket(any_port),
                "filter_chains": [{"filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config":
                        typed("filters.network.http_connection_manager.v3.HttpConnectionManager", manager),
                }]}],
            }],
            "clusters": [envoy_cluster(folder)],
        },
    })
}

fn envoy_routes(failures: &str) -> Value {
    let elsewhere = json!({
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": typed("retry.host.previous_hosts.v3.PreviousHostsPredicate", json!({})),
    });
    json!([
        // A stream is never repeated: its first results are out.
        {
            "match": {"path": "/sightline.v1.ImageAnalysisService/AnalyzeMany"},
            "route": {"cluster": "sightline", "timeout": "0s"},
        },
        {
            "match": {"prefix": "/sightline.v1.ImageAnalysisService/"},
            "route": {
                "cluster": "sightline",
                "timeout": "180s",
                "retry_policy": {
                    "retry_on": failures,
                    "num_retries": 2,
                    "retry_back_off": {"base_interval": "0.2s"},
                    // Another server than the one that said no. That one has the fewest calls, so it is picked again and again.
                    "retry_host_predicate": [elsewhere],
                    "host_selection_retry_max_attempts": 20,
                },
            },
        },
        {"match": {"prefix": "/grpc."}, "route": {"cluster": "sightline", "timeout": "0s"}},
    ])
}

fn envoy_cluster(folder: &Path) -> Value {
    let protocol =
        typed("upstreams.http.v3.HttpProtocolOptions", json!({"explicit_http_config": {"http2_protocol_options": {}}}));
    json!({
        "name": "sightline",
        "type": "EDS",
        "connect_timeout": "3s",
        "lb_policy": "LEAST_REQUEST",
        "eds_cluster_config": {"eds_config": {
            "resource_api_version": "V3",
            "path_config_source": {"path": folder.join("servers.json")},
        }},
        "health_checks": [{
            "timeout": "2s",
            "interval": HEALTH_INTERVAL,
            "no_traffic_interval": HEALTH_INTERVAL,
            "unhealthy_interval": HEALTH_INTERVAL,
            "unhealthy_threshold": 2,
            "healthy_threshold": 1,
            "grpc_health_check": {},
        }],
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        // As many may be repeated as there are: when a server goes, that is half of them. The default is 3.
        "circuit_breakers": {"thresholds": [{"max_retries": 1024}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
    })
}
