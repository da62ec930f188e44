//! Why nobody knows who calls.

use std::sync::Arc;

use super::{certificate::NamesFault, forwarded::ForwardedFault, name::NameFault};

/// Why it is not known who calls. The messages say what to do and never repeat what the caller sent, least of all a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// The call has no identity at all.
    #[error("Nothing tells who calls. Send {accepted}.")]
    NoIdentity {
        /// What this server takes.
        accepted: Arc<str>,
    },
    /// No token of the server's.
    #[error("The bearer token is not known here. Check that it is complete and was not taken back.")]
    TokenUnknown,
    /// Not a token at all.
    #[error("The `authorization` header holds no token that can be read. Send it once, as `Bearer` and the token.")]
    TokenMalformed,
    /// It was good once.
    #[error("The token has expired. Get a new one from its issuer.")]
    TokenExpired,
    /// It will be good.
    #[error("The token is not valid yet. Check the clocks of issuer and caller.")]
    TokenNotYetValid,
    /// Nobody whom the server trusts has signed it.
    #[error("The token's signature is wrong. Get a new one from the issuer that this server trusts.")]
    SignatureWrong,
    /// It is for someone else.
    #[error("The token is for another audience. Ask its issuer for one for this service's audience.")]
    AudienceWrong,
    /// It is from someone else.
    #[error("The token is from another issuer than the one that this server trusts.")]
    IssuerWrong,
    /// Not a signature that the key is for.
    #[error(
        "The token is signed with an algorithm that is not taken: use RS256, RS384, RS512, PS256, ES256, ES384 or EdDSA, whichever the key is for."
    )]
    AlgorithmRefused,
    /// Signed with a key that is not in the JWKS.
    #[error(
        "The token names a key that the issuer does not publish, or no key where there are several. Get a new token."
    )]
    KeyUnknown,
    /// The server has no keys yet.
    #[error(
        "The server could not fetch the issuer's keys yet. Try again shortly; its operator finds the cause in its log."
    )]
    KeysUnavailable,
    /// A claim that every token must have.
    #[error("The token has no claim `{0}` that can be read. It needs exp, iss, aud and sub.")]
    ClaimMissing(&'static str),
    /// A subject that no caller may have for a name.
    #[error("The subject of the token {0}.")]
    SubjectUnfit(NameFault),
    /// A client certificate that names nobody.
    #[error("The client certificate {0}. It needs one SPIFFE id, or a DNS name.")]
    Certificate(NamesFault),
    /// What a trusted proxy says of its client.
    #[error(
        "The header x-forwarded-client-cert {0}. The proxy must set it anew, with URI or DNS of its client's certificate."
    )]
    Forwarded(ForwardedFault),
}

impl Unidentified {
    /// A short word for it that never changes: the `why` of the error, and of the log.
    pub fn why(&self) -> &'static str {
        match self {
            Self::NoIdentity { .. } => "no_identity",
            Self::TokenUnknown => "token_unknown",
            Self::TokenMalformed => "token_malformed",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::SignatureWrong => "signature_wrong",
            Self::AudienceWrong => "audience_wrong",
            Self::IssuerWrong => "issuer_wrong",
            Self::AlgorithmRefused => "algorithm_refused",
            Self::KeyUnknown => "key_unknown",
            Self::KeysUnavailable => "keys_unavailable",
            Self::ClaimMissing(_) => "claim_missing",
            Self::SubjectUnfit(_) => "subject_unfit",
            Self::Certificate(NamesFault::Ambiguous) => "certificate_ambiguous",
            Self::Certificate(_) => "certificate_unnamed",
            Self::Forwarded(ForwardedFault::Malformed | ForwardedFault::TooLong) => "forwarded_malformed",
            Self::Forwarded(ForwardedFault::Names(NamesFault::Ambiguous)) => "forwarded_ambiguous",
            Self::Forwarded(ForwardedFault::Names(_)) => "forwarded_unnamed",
        }
    }
}
