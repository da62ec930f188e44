//! JWTs as bearer tokens.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Validation, errors::ErrorKind};
use serde::Deserialize;

use super::{Unidentified, keys::Keys, name};
use crate::domain::Caller;

/// Most bytes of a token. A header of a call has at most twice as many.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How far clocks may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 60;

/// What a token must say beside its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) issuer: String,
    pub(super) audience: String,
}

/// The parts of a token's header that matter.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

/// Whether it has the shape of a JWT: three parts, the first of which is a JSON object with an algorithm.
pub(super) fn is_jwt(token: &str) -> bool {
    header(token).is_some()
}

/// The caller that the token names, its `sub`, once it is sure that a key of the set has signed it for this server.
pub(super) fn verify(token: &str, keys: &Keys, expected: &Expected) -> Result<Caller, Unidentified> {
    let header = header(token).ok_or(Unidentified::TokenMalformed)?;
    // What is critical must be understood, and nothing is.
    if header.crit.is_some() {
        return Err(Unidentified::TokenMalformed);
    }
    let algorithm = allowed(&header.alg).ok_or(Unidentified::AlgorithmRefused)?;
    let candidates = keys.of(header.kid.as_deref());
    if candidates.is_empty() {
        return Err(Unidentified::KeyUnknown);
    }
    let key = candidates.into_iter().find(|key| key.algorithms.contains(&algorithm));
    let key = key.ok_or(Unidentified::AlgorithmRefused)?;
    let validation = validation(algorithm, expected);
    let verified = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation);
    let claims = verified.map_err(|error| refused(error.kind()))?.claims;
    name::caller(&claims.sub).map_err(Unidentified::SubjectUnfit)
}

fn header(token: &str) -> Option<Header> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

/// Signatures that only the issuer can make. `none` is no signature, and an HMAC secret would have to be shared.
fn allowed(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

fn validation(algorithm: Algorithm, expected: &Expected) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[&expected.issuer]);
    validation.set_audience(&[&expected.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_nbf = true;
    validation.leeway = LEEWAY_SECONDS;
    validation
}

fn refused(kind: &ErrorKind) -> Unidentified {
    match kind {
        ErrorKind::ExpiredSignature => Unidentified::TokenExpired,
        ErrorKind::ImmatureSignature => Unidentified::TokenNotYetValid,
        ErrorKind::InvalidIssuer => Unidentified::IssuerWrong,
        ErrorKind::InvalidAudience => Unidentified::AudienceWrong,
        ErrorKind::InvalidAlgorithm => Unidentified::AlgorithmRefused,
        ErrorKind::MissingRequiredClaim(claim) => Unidentified::ClaimMissing(known_claim(claim)),
        ErrorKind::InvalidClaimFormat(claim) => Unidentified::ClaimMissing(known_claim(claim)),
        ErrorKind::InvalidToken | ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) => {
            Unidentified::TokenMalformed
        }
        _ => Unidentified::SignatureWrong,
    }
}

fn known_claim(name: &str) -> &'static str {
    ["exp", "nbf", "iss", "aud", "sub"].into_iter().find(|known| *known == name).unwrap_or("a claim")
}

#[cfg(test)]
mod tests;
