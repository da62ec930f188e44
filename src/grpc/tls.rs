//! What the server shows and asks for in a TLS handshake, out of PEM files that are read again when they change.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::reload::{ReloadError, Reloaded};

/// The files of the server's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// The authorities of client certificates, which every client must show then.
    pub client_ca: Option<PathBuf>,
}

/// Reads the files and follows them. New connections get the newest version that can be used; existing ones live on. Needs
/// the async runtime.
///
/// # Errors
/// A file that is missing or holds something else, or a key of another certificate.
pub fn open(files: &TlsFiles) -> Result<Arc<Reloaded<ServerConfig>>, ReloadError> {
    let mut paths = vec![("--tls-cert", files.certificate.clone()), ("--tls-key", files.key.clone())];
    paths.extend(files.client_ca.clone().map(|path| ("--tls-client-ca", path)));
    let config = Reloaded::open(paths, |contents| match contents {
        [certificate, key] => server_config(certificate, key, None),
        [certificate, key, client_ca] => server_config(certificate, key, Some(client_ca)),
        _ => Err("a file is missing".to_owned()),
    })?;
    config.watch();
    Ok(config)
}

fn server_config(certificate: &[u8], key: &[u8], client_ca: Option<&[u8]>) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = certificates(certificate, "--tls-cert")?;
    // The error of a key might repeat parts of it.
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "--tls-key holds no private key in PEM".to_owned())?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem)?), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| format!("--tls-client-ca: {error}"))?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("the key of --tls-key does not fit the certificate of --tls-cert ({error})"))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    if client_ca.is_some() {
        // A resumed session would not show its certificate again, which may have expired meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, "--tls-client-ca")? {
        roots
            .add(certificate)
            .map_err(|error| format!("--tls-client-ca has a certificate that is no authority: {error}"))?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8], setting: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{setting} holds no certificate in PEM")),
        Err(error) => Err(format!("{setting} is no PEM: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn what_cannot_be_used_is_said_by_flag() {
        let ((certificate, key), (other, _)) = (pair(), pair());
        assert!(server_config(certificate.as_bytes(), key.as_bytes(), None).is_ok());
        assert!(server_config(certificate.as_bytes(), key.as_bytes(), Some(other.as_bytes())).is_ok());
        for (certificate, key, client_ca, words) in [
            (other.as_str(), key.as_str(), None, "--tls-key does not fit"),
            ("", &key, None, "--tls-cert holds no certificate"),
            (&key, &key, None, "--tls-cert holds no certificate"),
            (&certificate, "", None, "--tls-key holds no private key"),
            (&certificate, &certificate, None, "--tls-key holds no private key"),
            (&certificate, &key, Some("hello"), "--tls-client-ca holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAA", &key, None, "--tls-cert is no PEM"),
        ] {
            let error =
                server_config(certificate.as_bytes(), key.as_bytes(), client_ca.map(str::as_bytes)).unwrap_err();
            assert!(error.contains(words) && !error.contains("PRIVATE"), "{error}");
        }
    }

    #[test]
    fn sessions_of_clients_with_certificates_are_not_resumed() {
        let (certificate, key) = pair();
        let config = server_config(certificate.as_bytes(), key.as_bytes(), Some(certificate.as_bytes())).unwrap();
        assert_eq!((config.send_tls13_tickets, config.session_storage.can_cache()), (0, false));
        assert_eq!(config.alpn_protocols, [b"h2"]);
    }
}
