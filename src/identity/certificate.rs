//! The caller that a certificate names: its one SPIFFE id, else its first DNS name.

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::name::{NameFault, is_spiffe, spiffe_caller};
use crate::domain::Caller;

/// Why the names of a certificate make no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NamesFault {
    /// No X.509 certificate of version 3.
    #[error("cannot be read")]
    Unreadable,
    /// Neither kind of name.
    #[error("has neither a SPIFFE id nor a DNS name")]
    Unnamed,
    /// Whose call would it be?
    #[error("has several SPIFFE ids")]
    Ambiguous,
    /// A name that no caller may have.
    #[error("has a name that {0}")]
    Unfit(NameFault),
}

/// The caller of a client's certificate, whose chain the TLS handshake has verified.
pub(crate) fn caller_of(certificate: &CertificateDer<'_>) -> Result<Caller, NamesFault> {
    let certificate = EndEntityCert::try_from(certificate).map_err(|_| NamesFault::Unreadable)?;
    choose(certificate.valid_uri_names(), certificate.valid_dns_names())
}

/// The caller of these names. Several different SPIFFE ids are refused: a certificate of one workload has one.
pub(super) fn choose<'a>(
    uris: impl Iterator<Item = &'a str>,
    mut dns_names: impl Iterator<Item = &'a str>,
) -> Result<Caller, NamesFault> {
    let mut spiffe = None;
    for uri in uris.filter(|uri| is_spiffe(uri)) {
        match spiffe {
            Some(found) if found != uri => return Err(NamesFault::Ambiguous),
            _ => spiffe = Some(uri),
        }
    }
    if let Some(uri) = spiffe {
        return spiffe_caller(uri).map_err(NamesFault::Unfit);
    }
    // A wildcard names many hosts, and means something else in a policy.
    let name = dns_names.find(|name| !name.contains('*')).ok_or(NamesFault::Unnamed)?;
    // DNS names have no case; policies do.
    super::name::caller(&name.to_ascii_lowercase()).map_err(NamesFault::Unfit)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn names(uris: &[&str], dns: &[&str]) -> Result<String, NamesFault> {
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        let dns = dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()));
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.chain(dns).collect();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        caller_of(certificate.der()).map(|caller| caller.name().to_owned())
    }

    #[test]
    fn the_spiffe_id_comes_before_dns_names() {
        let id = "spiffe://example.org/ns/shop/sa/web";
        assert_eq!(names(&["https://example.org", id], &["web.example.org"]).as_deref(), Ok(id));
        assert_eq!(names(&[id, id], &[]).as_deref(), Ok(id));
        assert_eq!(names(&[], &["*.example.org", "Web.Example.org", "b.org"]).as_deref(), Ok("web.example.org"));
    }

    #[test]
    fn what_names_nobody_or_several_is_refused() {
        assert_eq!(names(&["spiffe://a/x", "spiffe://a/y"], &["web.example.org"]), Err(NamesFault::Ambiguous));
        assert_eq!(names(&["https://example.org"], &["*.example.org"]), Err(NamesFault::Unnamed));
        assert_eq!(names(&[], &["anonymous"]), Err(NamesFault::Unfit(NameFault::Reserved)));
        let unfit = Err(NamesFault::Unfit(NameFault::SpiffeInvalid));
        assert_eq!(
            names(&["spiffe://a/../b"], &["web.example.org"]),
            unfit,
            "no fall-back from a bad id to a DNS name"
        );
        assert_eq!(caller_of(&CertificateDer::from_slice(b"nothing")), Err(NamesFault::Unreadable));
    }
}
