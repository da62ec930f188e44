//! Connections: TLS and mutual TLS, certificates that change under load, and connections that crowd or say nothing.

use std::{net::SocketAddr, time::Duration};

use sightline::proto::{AnalyzeImageRequest, GetCapabilitiesRequest};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    command::command,
    support::{
        loopback::PATIENCE,
        service::{Client, Service, assert_error, connect, content, describe, photo},
        tls::{Authority, Files, Identity, tls_channel},
    },
};

async fn serve(files: &Files, more: &[&str]) -> Service {
    let flags = files.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Service::with(&flags).await
}

async fn ask(channel: Channel) -> Result<(), Status> {
    Client::new(channel).get_capabilities(GetCapabilitiesRequest {}).await.map(|_| ())
}

/// Connects and asks. In TLS 1.3 a client learns only then that its certificate was refused.
async fn ask_at(address: SocketAddr, authority: &Authority, shown: Option<&Identity>) -> Result<(), Option<Status>> {
    let channel = tls_channel(address, authority, shown).await.map_err(|_| None)?;
    ask(channel).await.map_err(Some)
}

/// Checks that there was no answer, not even an error of the service.
fn assert_no_answer(outcome: Result<(), Option<Status>>) {
    let status = outcome.expect_err("no answer");
    assert!(status.is_none_or(|status| status.details().is_empty()), "the handshake fails, there is no call");
}

#[tokio::test]
async fn tls_is_spoken_to_those_who_trust_the_certificate() {
    let (authority, other) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.server());
    let service = serve(&files, &[]).await;
    let address = service.running.address;
    assert!(ask_at(address, &authority, None).await.is_ok());
    assert_no_answer(ask_at(address, &other, None).await);
    let plain = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    assert_no_answer(ask(plain).await.map_err(Some));
}

#[tokio::test]
async fn mutual_tls_takes_certificates_of_its_authority_that_name_one_caller() {
    let (authority, clients, other) = (Authority::new(), Authority::new(), Authority::new());
    let files = Files::new(&authority.server());
    let client_ca = files.write("clients.pem", &clients.pem());
    let service = serve(&files, &["--tls-client-ca", &client_ca]).await;
    let address = service.running.address;
    let id = "spiffe://example.org/ns/shop/sa/web";
    for good in [clients.client(&[id], &[]), clients.client(&[], &["web.example.org"])] {
        assert!(ask_at(address, &authority, Some(&good)).await.is_ok());
    }
    assert_no_answer(ask_at(address, &authority, None).await);
    assert_no_answer(ask_at(address, &authority, Some(&other.client(&[id], &[]))).await);
    assert_no_answer(ask_at(address, &authority, Some(&authority.client(&[id], &[]))).await);
    for (certificate, why) in [
        (clients.client(&[id, "spiffe://example.org/admin"], &[]), "certificate_ambiguous"),
        (clients.client(&["https://example.org"], &[]), "certificate_unnamed"),
    ] {
        let status = ask_at(address, &authority, Some(&certificate)).await.unwrap_err().expect("a call");
        let (_, details) = assert_error::<()>(Err(status), Code::Unauthenticated, "CALLER_UNKNOWN");
        assert_eq!(details.info.metadata["why"], why);
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_while_calls_on_old_ones_go_on() {
    let (before, after) = (Authority::new(), Authority::new());
    let files = Files::new(&before.server());
    let service = serve(&files, &[]).await;
    let address = service.running.address;
    let channel = tls_channel(address, &before, None).await.unwrap();
    let (done, is_done) = watch::channel(false);
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, is_done) = (Client::new(channel.clone()), is_done.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while !*is_done.borrow() {
                    let message = content(&photo("coffee.png"), describe());
                    let request = AnalyzeImageRequest { validate_only: true, ..message };
                    client.analyze_image(request).await.expect("calls go on");
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    files.put(&after.server());
    let changed = async { while ask_at(address, &after, None).await.is_err() {} };
    tokio::time::timeout(PATIENCE, changed).await.expect("the new certificate is shown without a restart");
    assert_no_answer(ask_at(address, &before, None).await);
    ask(channel).await.expect("the old connection lives on");
    done.send(true).unwrap();
    for calls in load {
        assert!(calls.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_said_at_the_start() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mismatched = Identity { key: other.server().key, ..authority.server() };
    let files = Files::new(&mismatched);
    let output = command().args(["serve", "--listen", "127.0.0.1:0"]).args(files.flags()).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("--tls-key does not fit the certificate of --tls-cert"), "{text}");
    let output = command().args(["serve", "--tokens", "/nonexistent"]).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && text.contains("/nonexistent") && text.contains("--tokens"), "{text}");
    let output = command().args(["serve", "--listen", "0.0.0.0:0"]).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && text.contains("--allow-anonymous"), "{text}");
}

#[tokio::test]
async fn the_command_line_speaks_mutual_tls() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let files = Files::new(&authority.server());
    let client_ca = files.write("clients.pem", &clients.pem());
    let service = serve(&files, &["--tls-client-ca", &client_ca]).await;
    let shown = clients.client(&[], &["cli.example.org"]);
    let ca = files.write("ca.pem", &authority.pem());
    let (certificate, key) = (files.write("cli.pem", &shown.certificate), files.write("cli-key.pem", &shown.key));
    let server = format!("https://{}", service.running.address);
    let health = |flags: Vec<String>| {
        let server = server.clone();
        async move { command().args(["health", "--server", &server]).args(flags).output().await.unwrap() }
    };
    let flags: Vec<String> = ["--tls-ca", &ca, "--tls-cert", &certificate, "--tls-key", &key].map(str::to_owned).into();
    let output = health(flags.clone()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!health(flags[..2].to_vec()).await.status.success(), "the server asks for a certificate");
    assert!(!health(Vec::new()).await.status.success(), "the system's authorities did not sign the server's");
}

#[tokio::test]
async fn a_token_of_the_environment_is_sent_and_never_shown() {
    let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let files = Files::new(&Authority::new().server());
    let tokens = files.write("tokens.toml", &format!("[[token]]\ncaller = \"cli\"\nsha256 = \"{digest}\"\n"));
    let service = Service::with(&["--tokens", &tokens]).await;
    service.bedrock.push(crate::support::bedrock::Reply::tool(serde_json::json!({"description": "A cup."})));
    let picture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/photos/coffee.png");
    let server = format!("http://{}", service.running.address);
    let analyze = |token: &'static str| {
        let mut command = command();
        command.args(["analyze", "--server", &server, "--description", picture.to_str().unwrap()]);
        command.env("SIGHTLINE_TOKEN", token);
        async move { command.output().await.unwrap() }
    };
    let output = analyze("hello").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = analyze("battery-staple").await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("CALLER_UNKNOWN") && !text.contains("battery"), "{text}");
    let help = command().args(["analyze", "--help"]).env("SIGHTLINE_TOKEN", "battery-staple").output().await.unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("battery"));
}

/// Resolves when the server has closed it.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest));
    // A reset is an end too.
    let _ = ended.await.expect("the server closes it");
}

#[tokio::test]
async fn connections_that_say_nothing_or_nonsense_starve_nobody() {
    let service = Service::with(&["--max-connections", "2"]).await;
    let address = service.running.address;
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if number % 3 == 1 {
            stream.write_all(b"PRI * HTTP/2").await.unwrap();
        }
        silent.push(stream);
    }
    let mut nonsense = TcpStream::connect(address).await.unwrap();
    nonsense.write_all(&[0x16; 64]).await.unwrap();
    closed(nonsense).await;
    let mut caller = connect(address).await;
    caller.get_capabilities(GetCapabilitiesRequest {}).await.expect("a caller among silent connections");
    service.client().get_capabilities(GetCapabilitiesRequest {}).await.expect("the connection from before");
    // Both places are taken now: one more is closed at once.
    closed(TcpStream::connect(address).await.unwrap()).await;
    drop(caller);
    let again = async {
        loop {
            let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
            if let Ok(channel) = endpoint.connect().await
                && ask(channel).await.is_ok()
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a place that is given back is given again");
    drop(silent);
}

#[tokio::test]
async fn a_connection_is_told_to_end_at_its_age_and_a_client_that_goes_on_loses_nothing() {
    let service = Service::with(&["--max-connection-age", "50ms", "--max-connection-age-grace", "20s"]).await;
    let mut client = service.client();
    let begun = std::time::Instant::now();
    let mut calls = 0;
    while begun.elapsed() < Duration::from_millis(400) || calls < 20 {
        client.get_capabilities(GetCapabilitiesRequest {}).await.expect("no call is lost to GOAWAY");
        calls += 1;
    }
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn a_client_that_opens_and_resets_streams_is_cut_off_and_starves_nobody() {
    let service = Service::start().await;
    let path = b"/sightline.v1.ImageAnalysisService/GetCapabilities";
    // :method POST, :scheme http, and :path as it stands.
    let headers = [&[0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()], path.as_slice()].concat();
    let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    attack.extend(frame(4, 0, 0, &[]));
    for stream in (1..20_000).step_by(2) {
        attack.extend(frame(1, 4, stream, &headers));
        attack.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let (stream, attack) = (TcpStream::connect(service.running.address).await.unwrap(), attack.clone());
        attackers.push(tokio::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            // The server may cut it off in the middle. The client itself ends nothing.
            let sending = tokio::spawn(async move {
                let _ = writer.write_all(&attack).await;
                writer
            });
            let mut answer = Vec::new();
            let ended = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut answer)).await;
            let _ = ended.expect("the server cuts it off");
            drop(sending.await.unwrap());
        }));
    }
    for _ in 0..50 {
        service.client().get_capabilities(GetCapabilitiesRequest {}).await.expect("others are served");
    }
    for attacker in attackers {
        attacker.await.unwrap();
    }
}
