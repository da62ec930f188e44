//! Who calls, over plain connections: bearer tokens, JWTs, and what a proxy says of its client. Every call that names nobody
//! whom the server knows is refused before a handler runs.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, get_current_timestamp};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sightline::proto::{AnalyzeImageRequest, GetCapabilitiesRequest};
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};

use crate::support::{
    loopback::{self, Counter, Ending, Loopback, PATIENCE},
    many::describing,
    service::{Details, Service, assert_error, channel, content, describe, photo},
};

const ISSUER: &str = "https://issuer.example.org";
const AUDIENCE: &str = "sightline";

/// A request that needs no model: it is checked and answered.
fn request(headers: &[(&'static str, &str)]) -> Request<AnalyzeImageRequest> {
    let message = content(&photo("coffee.png"), describe());
    let mut request = Request::new(AnalyzeImageRequest { validate_only: true, ..message });
    for (name, value) in headers {
        request.metadata_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// Whether the call is served, or else the `why` of its error.
async fn outcome(service: &Service, headers: &[(&'static str, &str)]) -> Result<(), String> {
    match service.client().analyze_image(request(headers)).await {
        Ok(_) => Ok(()),
        Err(status) => Err(why(status)),
    }
}

/// The `why` of an error that must be CALLER_UNKNOWN.
fn why(status: Status) -> String {
    let (_, details) = assert_error::<()>(Err(status), Code::Unauthenticated, "CALLER_UNKNOWN");
    details.info.metadata["why"].clone()
}

async fn bearer(service: &Service, token: &str) -> Result<(), String> {
    outcome(service, &[("authorization", &format!("Bearer {token}"))]).await
}

fn refused(why: &str) -> Result<(), String> {
    Err(why.to_owned())
}

/// A file that is gone with the test.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn tokens_file() -> (tempfile::TempDir, String) {
    let digest: String = Sha256::digest("correct-horse").iter().map(|byte| format!("{byte:02x}")).collect();
    file(&format!("[[token]]\ncaller = \"team-a\"\nsha256 = \"{digest}\"\n"))
}

#[tokio::test]
async fn a_token_of_the_file_is_served_and_no_other_is() {
    let (_folder, path) = tokens_file();
    let service = Service::with(&["--tokens", &path]).await;
    assert_eq!(bearer(&service, "correct-horse").await, Ok(()));
    assert_eq!(outcome(&service, &[]).await, refused("no_identity"));
    assert_eq!(bearer(&service, "battery-staple").await, refused("token_unknown"));
    assert_eq!(outcome(&service, &[("authorization", "Basic dTpw")]).await, refused("token_malformed"));
    let status =
        service.client().analyze_image(request(&[("authorization", "Bearer battery-staple")])).await.unwrap_err();
    let all = format!("{status:?}{:?}", Details::of(&status).all);
    assert!(!all.contains("battery-staple"), "{all}");
}

#[tokio::test]
async fn every_method_of_the_service_needs_a_caller_and_probes_need_none() {
    let (_folder, path) = tokens_file();
    let service = Service::with(&["--tokens", &path]).await;
    let mut client = service.client();
    assert_eq!(why(client.get_capabilities(GetCapabilitiesRequest {}).await.unwrap_err()), "no_identity");
    let stream = || tokio_stream::iter([describing()]);
    assert_eq!(why(client.analyze_many(stream()).await.unwrap_err()), "no_identity");
    let mut identified = Request::new(stream());
    identified.metadata_mut().insert("authorization", "Bearer correct-horse".parse().unwrap());
    let mut answers = client.analyze_many(identified).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    let mut health = HealthClient::new(channel(service.running.address).await);
    health.check(HealthCheckRequest::default()).await.expect("health needs no identity");
    // What does not exist is told to nobody in particular.
    let mut unknown = tonic::client::Grpc::new(channel(service.running.address).await);
    unknown.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/sightline.v1.ImageAnalysisService/Nothing");
    let codec = tonic_prost::ProstCodec::<GetCapabilitiesRequest, GetCapabilitiesRequest>::default();
    let status = unknown.unary(Request::new(GetCapabilitiesRequest {}), path, codec).await.unwrap_err();
    assert_eq!(why(status), "no_identity");
}

#[tokio::test]
async fn anonymous_callers_are_served_beside_others_when_that_is_said() {
    let (_folder, path) = tokens_file();
    let service = Service::with(&["--tokens", &path, "--allow-anonymous"]).await;
    assert_eq!(outcome(&service, &[]).await, Ok(()));
    assert_eq!(bearer(&service, "battery-staple").await, refused("token_unknown"));
}

#[tokio::test]
async fn a_forwarded_certificate_counts_from_trusted_proxies_alone() {
    let header = "x-forwarded-client-cert";
    let forged = "By=spiffe://a/me;Hash=ab;URI=spiffe://a/admin";
    let trusting = Service::with(&["--trusted-proxies", "127.0.0.1/32,::1/128"]).await;
    assert_eq!(outcome(&trusting, &[(header, forged)]).await, Ok(()));
    assert_eq!(outcome(&trusting, &[]).await, refused("no_identity"));
    assert_eq!(outcome(&trusting, &[(header, "URI=\"spiffe://a/admin")]).await, refused("forwarded_malformed"));
    assert_eq!(outcome(&trusting, &[(header, "Hash=ab")]).await, refused("forwarded_unnamed"));
    let several = "URI=spiffe://a/admin;URI=spiffe://a/other";
    assert_eq!(outcome(&trusting, &[(header, several)]).await, refused("forwarded_ambiguous"));
    // What the client sent to the proxy stands before what the proxy says.
    let behind = [(header, forged), (header, "Hash=cd;Subject=\"\"")];
    assert_eq!(outcome(&trusting, &behind).await, refused("forwarded_unnamed"));
    let stranger = Service::with(&["--trusted-proxies", "10.0.0.0/8"]).await;
    assert_eq!(outcome(&stranger, &[(header, forged)]).await, refused("no_identity"));
}

/// Someone who signs JWTs with ES256.
struct Issuer {
    id: &'static str,
    key: KeyPair,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        Self { id, key: KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    fn keys(&self) -> String {
        let (x, y) = self.key.der_bytes()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": x, "y": y}]}).to_string()
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = jsonwebtoken::Header::new(Algorithm::ES256);
        header.kid = Some(self.id.to_owned());
        let mut claims = claims();
        change(&mut claims);
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(self.key.serialized_der())).unwrap()
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "team-a", "exp": get_current_timestamp() + 600})
}

fn with_jwks(keys: &str) -> Vec<&str> {
    vec!["--jwks", keys, "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE]
}

#[tokio::test]
async fn a_jwt_is_served_when_all_of_it_holds() {
    let issuer = Issuer::new("k1");
    let (_folder, path) = file(&issuer.keys());
    let service = Service::with(&with_jwks(&path)).await;
    let now = get_current_timestamp();
    assert_eq!(bearer(&service, &issuer.token(|_| ())).await, Ok(()));
    for (claim, value, why) in [
        ("exp", json!(now - 600), "token_expired"),
        ("nbf", json!(now + 600), "token_not_yet_valid"),
        ("aud", json!("another"), "audience_wrong"),
        ("iss", json!("https://evil.example.org"), "issuer_wrong"),
        ("exp", Value::Null, "claim_missing"),
        ("sub", json!("anonymous"), "subject_unfit"),
    ] {
        let token = issuer.token(|claims| claims[claim] = value);
        assert_eq!(bearer(&service, &token).await, refused(why), "{claim}");
    }
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims()));
    assert_eq!(bearer(&service, &none).await, refused("algorithm_refused"));
    // The public key, which everybody knows, as the secret of an HMAC.
    let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
    header.kid = Some("k1".to_owned());
    let secret = EncodingKey::from_secret(issuer.key.der_bytes());
    let hmac = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
    assert_eq!(bearer(&service, &hmac).await, refused("algorithm_refused"));
    assert_eq!(bearer(&service, &Issuer::new("k1").token(|_| ())).await, refused("signature_wrong"));
    assert_eq!(bearer(&service, &Issuer::new("k2").token(|_| ())).await, refused("key_unknown"));
}

/// A web server with a JWKS, which counts who asks. An empty one is a fault.
async fn publish(keys: String) -> (Loopback, Arc<Mutex<String>>, Counter) {
    let (keys, asked) = (Arc::new(Mutex::new(keys)), Counter::default());
    let (published, counter) = (Arc::clone(&keys), asked.clone());
    let server = Loopback::serve(move |_| {
        counter.increment();
        let text = published.lock().unwrap().clone();
        let status = if text.is_empty() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        let body = loopback::body(Bytes::from(text), Ending::Complete);
        async move { http::Response::builder().status(status).body(body).unwrap() }
    })
    .await;
    (server, keys, asked)
}

/// The states of the server's health, as they change.
async fn states(service: &Service) -> Streaming<HealthCheckResponse> {
    let mut health = HealthClient::new(channel(service.running.address).await);
    health.watch(HealthCheckRequest::default()).await.unwrap().into_inner()
}

async fn state(states: &mut Streaming<HealthCheckResponse>) -> &'static str {
    let next = tokio::time::timeout(PATIENCE, states.message()).await.expect("the state changes in time");
    next.unwrap().unwrap().status().as_str_name()
}

#[tokio::test]
async fn keys_of_a_url_are_changed_without_a_restart_and_outlive_a_fault_of_the_issuer() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let (server, published, asked) = publish(old.keys()).await;
    let url = format!("{}/keys", server.endpoint());
    let service = Service::with(&with_jwks(&url)).await;
    let mut states = states(&service).await;
    while state(&mut states).await != "SERVING" {}
    assert_eq!(bearer(&service, &old.token(|_| ())).await, Ok(()));
    let (before, began) = (asked.get(), Instant::now());
    *published.lock().unwrap() = new.keys();
    assert_eq!(bearer(&service, &new.token(|_| ())).await, Ok(()), "an unknown key is looked for at once");
    assert_eq!(bearer(&service, &old.token(|_| ())).await, refused("key_unknown"));
    published.lock().unwrap().clear();
    for _ in 0..20 {
        assert_eq!(bearer(&service, &Issuer::new("invented").token(|_| ())).await, refused("key_unknown"));
    }
    // Once for the new key, and once more for each ten seconds that the test takes.
    let most = before + 1 + began.elapsed().as_secs() as usize / 10 + 1;
    assert!(asked.get() <= most, "invented keys do not send the server to the issuer again and again");
    assert_eq!(bearer(&service, &new.token(|_| ())).await, Ok(()), "the last good keys stay");
}

#[tokio::test]
async fn a_server_comes_up_without_its_issuer_and_says_that_keys_are_missing() {
    let issuer = Issuer::new("k1");
    let (server, published, asked) = publish(String::new()).await;
    let url = format!("{}/keys", server.endpoint());
    let service = Service::with(&with_jwks(&url)).await;
    asked.reaches(1).await;
    assert_eq!(bearer(&service, &issuer.token(|_| ())).await, refused("keys_unavailable"));
    let mut states = states(&service).await;
    assert_eq!(state(&mut states).await, "NOT_SERVING", "callers would all be refused");
    *published.lock().unwrap() = issuer.keys();
    while state(&mut states).await != "SERVING" {}
    assert_eq!(bearer(&service, &issuer.token(|_| ())).await, Ok(()));
}
