//! What a certificate says: the few facts that joining needs, read from PEM or DER.
//!
//! It decides nothing about trust. A certificate that comes from outside is verified by TLS, or
//! with [`crate::tls`], before anything read here is believed.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tombolo_model::Name;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::ca::CaError;

/// The scheme and kind by which a certificate names its node.
pub(crate) const NODE_URI: &str = "tombolo://node/";

/// The facts of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The subject's common name.
    pub common_name: String,
    /// The node named by the URI `tombolo://node/<name>`.
    pub node: Option<Name>,
    /// SHA-256 of the public key (its SubjectPublicKeyInfo), hexadecimal.
    pub key_hash: String,
    /// When it begins to hold, in seconds since 1970.
    pub not_before: u64,
    /// When it ends, in seconds since 1970.
    pub not_after: u64,
    /// It may sign others.
    pub is_ca: bool,
}

/// Reads the facts of one certificate.
pub(crate) fn facts(der: &[u8]) -> Result<Facts, CaError> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|e| CaError::Unreadable(e.to_string()))?;
    let common_name = certificate
        .subject()
        .iter_common_name()
        .next()
        .and_then(|cn| cn.as_str().ok())
        .unwrap_or_default()
        .to_owned();
    let node = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .and_then(|san| {
            san.value.general_names.iter().find_map(|name| match name {
                GeneralName::URI(uri) => Name::new(uri.strip_prefix(NODE_URI)?).ok(),
                _ => None,
            })
        });
    let validity = certificate.validity();
    Ok(Facts {
        common_name,
        node,
        key_hash: sha256_hex(certificate.public_key().raw),
        not_before: seconds(validity.not_before.timestamp()),
        not_after: seconds(validity.not_after.timestamp()),
        is_ca: certificate.is_ca(),
    })
}

fn seconds(timestamp: i64) -> u64 {
    u64::try_from(timestamp).unwrap_or(0)
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Every certificate of a PEM text, in order; at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| CaError::Unreadable(e.to_string()))?;
    if found.is_empty() {
        return Err(CaError::Unreadable("no certificate in the text".to_owned()));
    }
    Ok(found)
}

/// The first certificate of a PEM text.
pub(crate) fn certificate(pem: &str) -> Result<CertificateDer<'static>, CaError> {
    Ok(certificates(pem)?.swap_remove(0))
}

/// The private key of a PEM text.
pub(crate) fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, CaError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| CaError::BadKey(e.to_string()))
}
