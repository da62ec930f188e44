//! Certificates of the tests' own authorities, and gRPC clients that show and check them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server on loopback.
    pub fn server(&self) -> Identity {
        self.issue(vec![SanType::IpAddress("127.0.0.1".parse().unwrap())])
    }

    /// A certificate with these URIs and DNS names.
    pub fn client(&self, uris: &[&str], dns: &[&str]) -> Identity {
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        self.issue(uris.chain(dns.iter().map(|name| SanType::DnsName((*name).try_into().unwrap()))).collect())
    }

    fn issue(&self, names: Vec<SanType>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

/// A folder with the files of a server's TLS. They are gone with it.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new(identity: &Identity) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.put(identity);
        files
    }

    /// Other certificate, other key, one after the other as a careless tool does it.
    pub fn put(&self, identity: &Identity) {
        self.write("cert.pem", &identity.certificate);
        self.write("key.pem", &identity.key);
    }

    /// A file of the folder.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The flags of a server that uses certificate and key.
    pub fn flags(&self) -> Vec<String> {
        let path = |name: &str| self.0.path().join(name).to_str().unwrap().to_owned();
        vec!["--tls-cert".to_owned(), path("cert.pem"), "--tls-key".to_owned(), path("key.pem")]
    }
}

/// A connection that trusts this authority and shows this certificate.
pub async fn tls_channel(
    address: SocketAddr,
    authority: &Authority,
    shown: Option<&Identity>,
) -> Result<Channel, tonic::transport::Error> {
    let connector = TlsConnector::from(Arc::new(client_config(authority, shown)));
    let connect = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("127.0.0.1").unwrap();
            std::io::Result::Ok(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    Endpoint::from_shared(format!("https://{address}")).unwrap().connect_with_connector(connect).await
}

fn client_config(authority: &Authority, shown: Option<&Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
