//! A JWKS: the public keys that JWTs may be signed with, and for which algorithms each is good. The key says so, never the
//! token: else a token could have a public key taken for an HMAC secret.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;

/// Most keys of a set.
const MAX_KEYS: usize = 100;

/// One key.
pub(super) struct Key {
    pub(super) id: Option<String>,
    /// What it may have signed.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// The keys that can be used, in the set's order.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// Reads a JWKS. Keys of other kinds and for other uses are left out.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Written {
            keys: Vec<serde_json::Value>,
        }
        let written: Written = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is no JWKS, a JSON object with a list `keys` (line {})", error.line()))?;
        if written.keys.len() > MAX_KEYS {
            return Err(format!("it has more than {MAX_KEYS} keys"));
        }
        let keys: Vec<Key> = written.keys.into_iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err("it has no key for RS256, RS384, RS512, PS256, ES256, ES384 or EdDSA".to_owned());
        }
        Ok(Self(keys))
    }

    /// The keys that a token may be signed with that names the key `id`, or none: then the set must have one alone.
    pub(super) fn of(&self, id: Option<&str>) -> Vec<&Key> {
        match id {
            Some(id) => self.0.iter().filter(|key| key.id.as_deref() == Some(id)).collect(),
            None => {
                if let [only] = self.0.as_slice() {
                    vec![only]
                } else {
                    Vec::new()
                }
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn usable(written: serde_json::Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(written).ok()?;
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !signs || !verifies {
        return None;
    }
    let mut algorithms = of_kind(&jwk.algorithm);
    if let Some(named) = common.key_algorithm {
        let named = of_name(named)?;
        algorithms.retain(|algorithm| *algorithm == named);
    }
    if algorithms.is_empty() {
        return None;
    }
    Some(Key { id: common.key_id.clone(), algorithms, decoding: DecodingKey::from_jwk(&jwk).ok()? })
}

/// What a key of this kind can sign.
fn of_kind(kind: &AlgorithmParameters) -> Vec<Algorithm> {
    match kind {
        AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            EllipticCurve::P521 | EllipticCurve::Ed25519 => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        // A secret has no place among public keys.
        AlgorithmParameters::OctetKeyPair(_) | AlgorithmParameters::OctetKey(_) => Vec::new(),
    }
}

fn of_name(name: KeyAlgorithm) -> Option<Algorithm> {
    Some(match name {
        KeyAlgorithm::RS256 => Algorithm::RS256,
        KeyAlgorithm::RS384 => Algorithm::RS384,
        KeyAlgorithm::RS512 => Algorithm::RS512,
        KeyAlgorithm::PS256 => Algorithm::PS256,
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::ES384 => Algorithm::ES384,
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";

    fn algorithms(key: serde_json::Value) -> Option<Vec<Algorithm>> {
        let set = json!({"keys": [key]}).to_string();
        Keys::parse(set.as_bytes()).ok().map(|keys| keys.0[0].algorithms.clone())
    }

    #[test]
    fn the_key_says_which_algorithms_it_is_good_for() {
        let rsa = vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256];
        assert_eq!(algorithms(json!({"kty": "RSA", "n": X, "e": "AQAB"})), Some(rsa));
        let named = json!({"kty": "RSA", "n": X, "e": "AQAB", "alg": "PS256", "use": "sig", "key_ops": ["verify"]});
        assert_eq!(algorithms(named), Some(vec![Algorithm::PS256]));
        assert_eq!(algorithms(json!({"kty": "EC", "crv": "P-256", "x": X, "y": X})), Some(vec![Algorithm::ES256]));
        assert_eq!(algorithms(json!({"kty": "EC", "crv": "P-384", "x": X, "y": X})), Some(vec![Algorithm::ES384]));
        assert_eq!(algorithms(json!({"kty": "OKP", "crv": "Ed25519", "x": X})), Some(vec![Algorithm::EdDSA]));
    }

    #[test]
    fn secrets_and_keys_for_something_else_are_left_out() {
        for key in [
            json!({"kty": "oct", "k": X}),
            json!({"kty": "oct", "k": X, "alg": "HS256"}),
            json!({"kty": "RSA", "n": X, "e": "AQAB", "alg": "HS256"}),
            json!({"kty": "RSA", "n": X, "e": "AQAB", "alg": "none"}),
            json!({"kty": "RSA", "n": X, "e": "AQAB", "alg": "RSA-OAEP"}),
            json!({"kty": "RSA", "n": X, "e": "AQAB", "use": "enc"}),
            json!({"kty": "RSA", "n": X, "e": "AQAB", "key_ops": ["sign"]}),
            json!({"kty": "EC", "crv": "P-256", "x": X, "y": X, "alg": "ES384"}),
            json!({"kty": "EC", "crv": "P-521", "x": X, "y": X}),
            json!({"kty": "EC", "crv": "secp256k1", "x": X, "y": X}),
            json!({"kty": "OKP", "crv": "X25519", "x": X}),
            json!("nothing"),
        ] {
            assert_eq!(algorithms(key.clone()), None, "{key}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_id_or_when_it_is_alone() {
        let key = |id: &str| json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": id});
        let two = Keys::parse(json!({"keys": [key("a"), key("b")]}).to_string().as_bytes()).unwrap();
        let one = Keys::parse(json!({"keys": [key("a")]}).to_string().as_bytes()).unwrap();
        let counts = |keys: &Keys| [Some("a"), Some("c"), None].map(|id| keys.of(id).len());
        assert_eq!((counts(&two), counts(&one)), ([1, 0, 0], [1, 0, 1]));
    }

    #[test]
    fn what_is_no_set_of_keys_is_refused() {
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": X});
        let many = json!({"keys": vec![key; MAX_KEYS + 1]}).to_string();
        for text in ["", "{}", "[]", "{\"keys\": 1}", "{\"keys\": []}", &many] {
            assert!(Keys::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
