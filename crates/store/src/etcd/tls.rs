//! Who may talk to whom: certificates, keys, and the names in them.
//!
//! Both sides show a certificate of the same CA, always; there is no mode without. The
//! cryptography is ring's, named explicitly, so that nothing depends on what else the
//! program has installed as the process's default. Keys never appear in a log: the types
//! that hold them print nothing.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::error::{InvalidRequest, StoreError};

/// HTTP/2, in the handshake's application protocol list.
const ALPN_H2: &[u8] = b"h2";

/// What a client needs to be let in, as PEM text.
#[derive(Clone)]
pub struct ClientTls {
    /// The CA that signed the server's certificate.
    pub ca: String,
    /// The client's certificate, and those between it and the CA.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

/// What a server needs, as PEM text.
#[derive(Clone)]
pub struct ServerTls {
    /// The CA that signs those who are let in.
    pub ca: String,
    /// The server's certificate, and those between it and the CA.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls(not shown)")
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(not shown)")
    }
}

/// The names in a client's verified certificate (RFC 5280, 4.2.1.6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its DNS names.
    pub dns: Vec<String>,
    /// Its URIs, for instance a SPIFFE id.
    pub uris: Vec<String>,
}

/// Asked for each connection whose certificate is good; the reason of a refusal is logged.
pub type PeerHook = Arc<dyn Fn(&PeerIdentity) -> Result<(), String> + Send + Sync>;

impl PeerIdentity {
    /// Reads the names of a certificate.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<PeerIdentity, String> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        let names = parsed
            .subject_alternative_name()
            .map_err(|error| format!("the names of the certificate cannot be read: {error}"))?;
        let mut identity = PeerIdentity::default();
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => identity.dns.push((*name).to_owned()),
                GeneralName::URI(uri) => identity.uris.push((*uri).to_owned()),
                _ => {}
            }
        }
        Ok(identity)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn malformed(what: &str, why: impl fmt::Display) -> StoreError {
    InvalidRequest::Malformed(format!("the {what} given for TLS cannot be used: {why}")).into()
}

fn roots(ca: &str) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain("CA certificate", ca)? {
        roots
            .add(certificate)
            .map_err(|error| malformed("CA certificate", error))?;
    }
    Ok(roots)
}

fn chain(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let parsed = parsed.map_err(|error| malformed(what, error))?;
    if parsed.is_empty() {
        return Err(malformed(what, "there is no CERTIFICATE block in it"));
    }
    Ok(parsed)
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, StoreError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| malformed("private key", error))
}

impl ClientTls {
    pub(crate) fn config(&self) -> Result<rustls::ClientConfig, StoreError> {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| malformed("protocol versions", error))?
            .with_root_certificates(roots(&self.ca)?)
            .with_client_auth_cert(
                chain("client certificate", &self.cert)?,
                private_key(&self.key)?,
            )
            .map_err(|error| malformed("client certificate", error))?;
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        Ok(config)
    }
}

impl ServerTls {
    pub(crate) fn config(&self) -> Result<rustls::ServerConfig, StoreError> {
        let roots = Arc::new(roots(&self.ca)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| malformed("CA certificate", error))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| malformed("protocol versions", error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                chain("server certificate", &self.cert)?,
                private_key(&self.key)?,
            )
            .map_err(|error| malformed("server certificate", error))?;
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        Ok(config)
    }
}
