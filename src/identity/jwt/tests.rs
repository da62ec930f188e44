use jsonwebtoken::{EncodingKey, encode, get_current_timestamp};
use proptest::prelude::*;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use super::*;
use crate::identity::name::NameFault;

/// Someone who signs with ES256.
struct Issuer(KeyPair);

impl Issuer {
    fn new() -> Self {
        Self(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn point(&self) -> (String, String) {
        let (x, y) = self.0.der_bytes()[1..].split_at(32);
        (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y))
    }

    fn keys(&self) -> Keys {
        let (x, y) = self.point();
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": x, "y": y});
        Keys::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap()
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = jsonwebtoken::Header::new(Algorithm::ES256);
        header.kid = Some("k1".to_owned());
        let mut claims = good();
        change(&mut claims);
        encode(&header, &claims, &EncodingKey::from_ec_der(self.0.serialized_der())).unwrap()
    }
}

fn good() -> Value {
    json!({"iss": "https://issuer", "aud": "sightline", "sub": "team-a", "exp": get_current_timestamp() + 300})
}

fn expected() -> Expected {
    Expected { issuer: "https://issuer".to_owned(), audience: "sightline".to_owned() }
}

fn outcome(token: &str, keys: &Keys) -> Result<String, Unidentified> {
    verify(token, keys, &expected()).map(|caller| caller.name().to_owned())
}

/// A token of this header and these claims, with a signature that is given.
fn assembled(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let parts = [header.to_string().into_bytes(), claims.to_string().into_bytes(), signature.to_vec()];
    parts.map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[test]
fn a_good_token_names_its_subject() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let now = get_current_timestamp();
    assert_eq!(outcome(&issuer.token(|_| ()), &keys).as_deref(), Ok("team-a"));
    let several = issuer.token(|claims| claims["aud"] = json!(["other", "sightline"]));
    assert_eq!(outcome(&several, &keys).as_deref(), Ok("team-a"));
    let clocks = issuer.token(|claims| {
        claims["exp"] = json!(now - 30);
        claims["nbf"] = json!(now + 30);
    });
    assert_eq!(outcome(&clocks, &keys).as_deref(), Ok("team-a"), "clocks may be a minute apart");
}

#[test]
fn claims_that_do_not_hold_are_refused_by_name() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let now = get_current_timestamp();
    let of = |claim: &str, value: Value| outcome(&issuer.token(|claims| claims[claim] = value), &keys).unwrap_err();
    assert_eq!(of("exp", json!(now - 120)), Unidentified::TokenExpired);
    assert_eq!(of("nbf", json!(now + 120)), Unidentified::TokenNotYetValid);
    assert_eq!(of("iss", json!("https://other")), Unidentified::IssuerWrong);
    assert_eq!(of("aud", json!("other")), Unidentified::AudienceWrong);
    assert_eq!(of("aud", json!(["other"])), Unidentified::AudienceWrong);
    assert_eq!(of("sub", json!("anonymous")), Unidentified::SubjectUnfit(NameFault::Reserved));
    assert_eq!(of("sub", json!("a\u{7}")), Unidentified::SubjectUnfit(NameFault::Unprintable));
    assert_eq!(of("sub", json!("x".repeat(257))), Unidentified::SubjectUnfit(NameFault::TooLong));
    assert_eq!(of("exp", json!("soon")), Unidentified::ClaimMissing("exp"));
    for claim in ["exp", "iss", "aud"] {
        assert_eq!(of(claim, Value::Null), Unidentified::ClaimMissing(claim));
    }
    assert!(outcome(&issuer.token(|claims| claims["sub"] = Value::Null), &keys).is_err());
}

#[test]
fn a_signature_of_someone_else_is_refused() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    assert_eq!(outcome(&other.token(|_| ()), &issuer.keys()), Err(Unidentified::SignatureWrong));
    let token = issuer.token(|_| ());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut parts = signed.split('.');
    let header = parts.next().unwrap();
    let mut claims = good();
    claims["sub"] = json!("admin");
    let swapped = format!("{header}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
    assert_eq!(outcome(&swapped, &issuer.keys()), Err(Unidentified::SignatureWrong));
    assert_eq!(outcome(&format!("{signed}."), &issuer.keys()), Err(Unidentified::SignatureWrong));
}

#[test]
fn the_token_does_not_choose_how_it_is_checked() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let token = assembled(&json!({"alg": none, "kid": "k1"}), &good(), b"");
        assert_eq!(outcome(&token, &keys), Err(Unidentified::AlgorithmRefused), "{none}");
    }
    // HMAC with the public key as its secret, in every form a library might take it for one.
    let (x, y) = issuer.point();
    for secret in [issuer.0.der_bytes().to_vec(), issuer.0.public_key_raw().to_vec(), format!("{x}{y}").into_bytes()] {
        let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
        header.kid = Some("k1".to_owned());
        let token = encode(&header, &good(), &EncodingKey::from_secret(&secret)).unwrap();
        assert_eq!(outcome(&token, &keys), Err(Unidentified::AlgorithmRefused));
    }
    for other in ["RS256", "ES384", "EdDSA"] {
        let token = assembled(&json!({"alg": other, "kid": "k1"}), &good(), &[1; 64]);
        assert_eq!(outcome(&token, &keys), Err(Unidentified::AlgorithmRefused), "{other} with a key for ES256");
    }
    // A key that comes with the token is none.
    let embedded = json!({"alg": "ES256", "kid": "own", "jwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}});
    assert_eq!(outcome(&assembled(&embedded, &good(), &[1; 64]), &keys), Err(Unidentified::KeyUnknown));
}

#[test]
fn what_is_no_token_is_malformed() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let critical = assembled(&json!({"alg": "ES256", "kid": "k1", "crit": ["exp"]}), &good(), b"x");
    let long = format!("{}.e30.e30", "A".repeat(MAX_TOKEN_BYTES));
    for token in ["", "a", "a.b", "a.b.c", "e30.e30.e30", "a.b.c.d", "..", critical.as_str(), long.as_str()] {
        assert_eq!(outcome(token, &keys), Err(Unidentified::TokenMalformed), "{token:.60}");
    }
}

proptest! {
    #[test]
    fn nothing_but_what_was_signed_is_believed(token in "[A-Za-z0-9_.-]{0,200}", header in ".{0,60}", claims in ".{0,60}") {
        let keys = Issuer::new().keys();
        prop_assert!(outcome(&token, &keys).is_err());
        let parts = [header.as_bytes(), claims.as_bytes(), b"x"].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        prop_assert!(outcome(&parts.join("."), &keys).is_err());
    }
}
