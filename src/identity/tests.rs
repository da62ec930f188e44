use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::reload::Checked;

const SERVED: &str = "spiffe://example.org/web";

fn peer(address: &str) -> Peer {
    Peer { address: address.parse().unwrap(), certificate: None }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
}

/// Trusts loopback as a proxy, and takes the token `secret` of team-a.
fn mesh() -> (tempfile::NamedTempFile, Sources) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let digest: String = Sha256::digest("secret").iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(file.path(), format!("[[token]]\ncaller = \"team-a\"\nsha256 = \"{digest}\"\n")).unwrap();
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let sources = Sources { trusted_proxies, tokens: Some(file.path().to_owned()), ..Sources::default() };
    (file, sources)
}

fn name(identities: &Identities, peer: &Peer, pairs: &[(&'static str, &str)]) -> Result<String, &'static str> {
    let found = identities.caller(peer, &headers(pairs));
    found.map(|caller| caller.name().to_owned()).map_err(|error| error.why())
}

#[tokio::test]
async fn without_any_source_everybody_is_anonymous() {
    let identities = Identities::open(&Sources::default()).unwrap();
    let forged = format!("URI={SERVED}");
    for sent in [vec![], vec![("authorization", "Bearer x")], vec![(forwarded::HEADER, forged.as_str())]] {
        assert_eq!(name(&identities, &peer("127.0.0.1:1"), &sent).as_deref(), Ok(Caller::ANONYMOUS), "{sent:?}");
    }
}

#[tokio::test]
async fn a_forwarded_certificate_counts_from_trusted_peers_alone() {
    let (_file, sources) = mesh();
    let identities = Identities::open(&sources).unwrap();
    let sent = format!("By=spiffe://example.org/me;Hash=aa;URI={SERVED}");
    for trusted in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(
            name(&identities, &peer(trusted), &[(forwarded::HEADER, &sent)]).as_deref(),
            Ok(SERVED),
            "{trusted}"
        );
    }
    for stranger in ["10.0.0.1:1", "[::2]:1", "[::ffff:10.0.0.1]:1"] {
        let found = name(&identities, &peer(stranger), &[(forwarded::HEADER, &sent)]);
        assert_eq!(found, Err("no_identity"), "{stranger}");
    }
    let malformed = name(&identities, &peer("127.0.0.1:1"), &[(forwarded::HEADER, "URI")]);
    assert_eq!(malformed, Err("forwarded_malformed"));
}

#[tokio::test]
async fn a_token_comes_first_and_a_bad_one_is_no_reason_to_look_further() {
    let (_file, sources) = mesh();
    let sources = Sources { allow_anonymous: true, ..sources };
    let identities = Identities::open(&sources).unwrap();
    let sidecar = Peer { certificate: Some(Ok(Caller::named("sidecar"))), ..peer("127.0.0.1:1") };
    let forwarded_too = format!("URI={SERVED}");
    let with =
        |token: &str| name(&identities, &sidecar, &[("authorization", token), (forwarded::HEADER, &forwarded_too)]);
    for good in ["Bearer secret", "bearer  secret "] {
        assert_eq!(with(good).as_deref(), Ok("team-a"));
    }
    assert_eq!(with("Bearer other"), Err("token_unknown"));
    for malformed in ["Bearer", "Bearer ", "secret", "Basic c2VjcmV0", "Bearer secret secret", ""] {
        assert_eq!(with(malformed), Err("token_malformed"), "{malformed}");
    }
    let twice = [("authorization", "Bearer secret"), ("authorization", "Bearer secret")];
    let mut both = headers(&twice[..1]);
    both.append(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
    assert_eq!(identities.caller(&sidecar, &both), Err(Unidentified::TokenMalformed));
    assert_eq!(name(&identities, &sidecar, &[(forwarded::HEADER, &forwarded_too)]).as_deref(), Ok(SERVED));
    assert_eq!(name(&identities, &sidecar, &[]).as_deref(), Ok("sidecar"));
    assert_eq!(name(&identities, &peer("127.0.0.1:1"), &[]).as_deref(), Ok(Caller::ANONYMOUS));
}

#[tokio::test]
async fn a_certificate_that_names_nobody_is_an_error_even_where_anonymous_callers_are_served() {
    let sources = Sources { client_certificates: true, allow_anonymous: true, ..Sources::default() };
    let identities = Identities::open(&sources).unwrap();
    let unnamed = Peer { certificate: Some(Err(NamesFault::Ambiguous)), ..peer("10.0.0.1:1") };
    assert_eq!(name(&identities, &unnamed, &[]), Err("certificate_ambiguous"));
}

#[tokio::test]
async fn a_token_that_is_taken_back_names_nobody_any_more() {
    let (file, sources) = mesh();
    let identities = Identities::open(&sources).unwrap();
    let ask = || name(&identities, &peer("10.0.0.1:1"), &[("authorization", "Bearer secret")]);
    assert_eq!(ask().as_deref(), Ok("team-a"));
    std::fs::write(file.path(), "").unwrap();
    assert_eq!(identities.tokens.as_ref().unwrap().check_now(), Checked::Changed);
    assert_eq!(ask(), Err("token_unknown"));
}

#[test]
fn what_is_missing_is_said_with_what_is_taken() {
    let error = Unidentified::NoIdentity { accepted: mesh().1.accepted().into() }.to_string();
    assert!(
        error.contains("bearer token") && error.contains("proxy") && !error.contains("client certificate"),
        "{error}"
    );
}
