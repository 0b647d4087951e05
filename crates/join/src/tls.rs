//! Which certificates each side of a connection accepts. The cryptography is ring's, said
//! explicitly, so that no other crate's choice of a process default matters.
//!
//! - A node that joins has nothing but a fingerprint: [`pinned_client`] accepts a server only if
//!   the chain that it presents contains the CA certificate of that SHA-256, and its own
//!   certificate is signed by that CA and valid now. This is decided within the handshake, before
//!   anything is sent, so that a man in the middle learns nothing.
//! - The server's *name* is not compared there: a new node may reach it by any address, also by
//!   one that is translated on the way. Whoever holds a certificate of the CA is of the cluster.
//! - A node that renews presents its certificate; the server asks for one and does not insist,
//!   because a node that joins has none.
//!
//! Only TLS 1.3: both sides are always this program.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    ServerConfig, SignatureScheme,
};

use crate::ca::{CaError, KeyAndCert};
use crate::read;
use crate::token::Fingerprint;

/// Why no TLS configuration could be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TlsError {
    /// A text is no certificate or key.
    #[error(transparent)]
    Text(#[from] CaError),
    /// The TLS library does not take them.
    #[error("the TLS library refuses the certificate or the key: {0}; check that they are a pair")]
    Library(String),
}

/// No certificate of the chain is the CA that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server does not show the CA certificate with SHA-256 {expected}")]
pub struct OtherCluster {
    /// The fingerprint that the token carries.
    pub expected: Fingerprint,
}

/// Whether a text can stand in a certificate as a DNS name.
#[must_use]
pub fn is_dns_name(text: &str) -> bool {
    matches!(ServerName::try_from(text), Ok(ServerName::DnsName(_)))
}

/// The cryptography in use.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn library(error: impl std::fmt::Display) -> TlsError {
    TlsError::Library(error.to_string())
}

/// The join server's side: shows its certificate and the CA's, and verifies a client's where one
/// is shown.
///
/// # Errors
/// When a text cannot be read, or key and certificate do not match.
pub fn server(identity: &KeyAndCert, ca: &str) -> Result<ServerConfig, TlsError> {
    let ca = read::certificate(ca)?;
    let mut chain = read::certificates(&identity.certificate)?;
    chain.push(ca.clone());
    let roots = Arc::new(roots(ca)?);
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .allow_unauthenticated()
        .build()
        .map_err(library)?;
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(library)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, read::private_key(&identity.key)?)
        .map_err(library)
}

/// The side of a client that knows its cluster by the CA's fingerprint, with a certificate of its
/// own or none.
///
/// # Errors
/// When a text cannot be read, or key and certificate do not match.
pub fn pinned_client(
    expected: Fingerprint,
    identity: Option<&KeyAndCert>,
) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let verifier = PinnedCa {
        expected,
        provider: provider.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(library)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(identity) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = read::certificates(&identity.certificate)?;
    builder
        .with_client_auth_cert(chain, read::private_key(&identity.key)?)
        .map_err(library)
}

/// Verifies that a certificate (DER) is one of a CA's nodes, and valid now by this host's clock.
pub(crate) fn verify_node(
    certificate: &CertificateDer<'_>,
    ca: &CertificateDer<'_>,
) -> Result<(), Error> {
    let roots = roots(ca.clone().into_owned()).map_err(|e| Error::General(e.to_string()))?;
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(certificate)?,
        &roots,
        &[],
        UnixTime::now(),
        provider().signature_verification_algorithms.all,
    )
}

fn roots(ca: CertificateDer<'static>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(library)?;
    Ok(roots)
}

/// Accepts the servers of one CA, known by its fingerprint.
#[derive(Debug)]
struct PinnedCa {
    expected: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let expected = self.expected;
        let ca = intermediates
            .iter()
            .find(|certificate| Fingerprint::of(certificate) == expected)
            .ok_or_else(|| {
                let fault = OtherError(Arc::new(OtherCluster { expected }));
                Error::InvalidCertificate(CertificateError::Other(fault))
            })?;
        let roots = roots(ca.clone().into_owned()).map_err(|e| Error::General(e.to_string()))?;
        // No intermediates: the CA itself signs every node, and may sign no other CA.
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &roots,
            &[],
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
