//! Checks Signature Version 4 by signing the request again with AWS's own signer and comparing.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::primitives::{DateTime, DateTimeFormat};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use http::{HeaderName, StatusCode, header::AUTHORIZATION, request::Parts};

use super::{AccessKey, ServiceError};

const SERVICE: &str = "bedrock";
/// How far the client's clock may be off.
const MAX_SKEW: Duration = Duration::from_secs(15 * 60);
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                        Secret Access Key and signing method. Consult the service documentation for details.";

/// Whose signatures are accepted.
pub(super) struct Verifier {
    pub key: AccessKey,
    pub region: &'static str,
}

/// The parts of an `Authorization` header.
struct Authorization<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

fn forbidden(code: &'static str, message: impl Into<String>) -> ServiceError {
    ServiceError::new(StatusCode::FORBIDDEN, code, message)
}

impl Verifier {
    /// Refuses a request that is not signed with the key for Bedrock in this Region, now.
    pub fn verify(&self, parts: &Parts, body: &[u8], now: SystemTime) -> Result<(), ServiceError> {
        let missing = || forbidden("MissingAuthenticationTokenException", "Missing Authentication Token");
        let header = parts.headers.get(AUTHORIZATION).ok_or_else(missing)?;
        let incomplete = || {
            let message = "The Authorization header is not a complete AWS4-HMAC-SHA256 signature.";
            forbidden("IncompleteSignatureException", message)
        };
        let given = header.to_str().ok().and_then(Authorization::parse).ok_or_else(incomplete)?;
        if given.access_key_id != self.key.id {
            let message = "The security token included in the request is invalid.";
            return Err(forbidden("UnrecognizedClientException", message));
        }
        if given.service != SERVICE || given.region != self.region {
            let scope = format!("{}/{SERVICE}", self.region);
            let message = format!("Credential should be scoped to {scope}, not {}/{}.", given.region, given.service);
            return Err(forbidden("InvalidSignatureException", message));
        }
        let time = parts.headers.get("x-amz-date").and_then(|date| date.to_str().ok());
        let time = time.filter(|time| time.starts_with(given.date)).and_then(parse_time).ok_or_else(incomplete)?;
        let skew = now.duration_since(time).unwrap_or_else(|ahead| ahead.duration());
        if skew > MAX_SKEW {
            return Err(forbidden("InvalidSignatureException", "Signature expired or not yet current."));
        }
        let expected = self.sign_again(parts, body, &given.signed_headers, time);
        let expected = expected.ok_or_else(|| forbidden("InvalidSignatureException", MISMATCH))?;
        if same(expected.as_bytes(), given.signature.as_bytes()) {
            Ok(())
        } else {
            Err(forbidden("InvalidSignatureException", MISMATCH))
        }
    }

    /// The signature this request should have; `None` when it cannot be signed. The signer adds `host` and
    /// `x-amz-date` to the signed headers, so leaving them out ends in another signature.
    fn sign_again(&self, parts: &Parts, body: &[u8], signed: &[&str], time: SystemTime) -> Option<String> {
        let mut headers = Vec::new();
        for name in signed {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            for value in parts.headers.get_all(&name) {
                headers.push((name.as_str().to_owned(), value.to_str().ok()?));
            }
        }
        let headers = headers.iter().map(|(name, value)| (name.as_str(), *value));
        let body = SignableBody::Bytes(body);
        let request = SignableRequest::new(parts.method.as_str(), parts.uri.to_string(), headers, body).ok()?;
        let identity = Credentials::new(&self.key.id, &self.key.secret, None, None, "embedded").into();
        let mut settings = SigningSettings::default();
        settings.excluded_headers = None;
        let params = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(SERVICE)
            .time(time)
            .settings(settings)
            .build()
            .ok()?;
        let (_, signature) = sign(request, &params.into()).ok()?.into_parts();
        Some(signature)
    }
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256")?;
        let field = |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        let scope: Vec<&str> = field("Credential")?.split('/').collect();
        let [access_key_id, date, region, service, "aws4_request"] = scope.as_slice() else { return None };
        let signed_headers = field("SignedHeaders")?.split(';').collect();
        let signature = field("Signature")?;
        Some(Self { access_key_id, date, region, service, signed_headers, signature })
    }
}

/// Reads `20261122T122236Z`.
fn parse_time(text: &str) -> Option<SystemTime> {
    let part = |range: std::ops::Range<usize>| text.get(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(9..11)?, part(11..13)?, part(13..15)?);
    let whole = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    (text.len() == 16).then_some(())?;
    SystemTime::try_from(DateTime::from_str(&whole, DateTimeFormat::DateTime).ok()?).ok()
}

/// Compares without telling by its time where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}
