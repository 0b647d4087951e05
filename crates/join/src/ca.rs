//! The cluster's certificate authority: what certificates say, and how long they hold.
//!
//! Keys are ECDSA on P-256, which every TLS library in use takes (rustls with ring, Go's in etcd
//! and etcdctl, OpenSSL's in curl). The CA holds for ten years, a node's certificate for one, and
//! a node renews its own when two thirds of that are over. Both begin an hour before they are
//! made, so that hosts whose clocks differ a little still trust each other.
//!
//! A node's certificate says who it is by the URI `tombolo://node/<name>` (and by the common
//! name, for people), and by which names and addresses others may reach it. What a signing
//! request says about names is never looked at: only its key is taken, after its signature proved
//! that the sender holds the private half.
//!
//! The clock is an argument everywhere. Nothing here touches files: `to_pem` gives the texts, and
//! who calls decides where they are kept.

use std::fmt;
use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use tombolo_model::Name;

use crate::read::{self, NODE_URI};
use crate::token::Fingerprint;
use crate::{random, tls};

/// How long a CA holds, in seconds: ten years.
pub const CA_LIFETIME: u64 = 10 * 365 * 86_400;
/// How long a node's certificate holds, in seconds: one year.
pub const NODE_LIFETIME: u64 = 365 * 86_400;
/// How long before now a certificate begins, in seconds, for hosts whose clocks are behind.
pub const BACKDATED: u64 = 3_600;
/// The longest common name (RFC 5280, appendix A.1, `ub-common-name`).
const LONGEST_COMMON_NAME: usize = 64;

/// Why a certificate or key could not be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// The text is no certificate.
    #[error("the certificate cannot be read: {0}; give the PEM text as it was written")]
    Unreadable(String),
    /// The text is no private key that can be used.
    #[error("the private key cannot be read: {0}; give the PEM text (PKCS #8) as it was written")]
    BadKey(String),
    /// The two do not belong together, or the certificate is not one of a CA.
    #[error("{0}; give the certificate and the key that were made together")]
    Mismatch(String),
    /// The signing request is not well-formed, or not signed by its own key.
    #[error("the certificate request cannot be accepted: {0}; make a new one")]
    BadRequest(String),
    /// The library refused to make a certificate.
    #[error("cannot make a certificate for {subject:?}: {cause}")]
    Signing {
        /// Whom it was for.
        subject: String,
        /// The library's reason.
        cause: String,
    },
}

/// A name or address that others reach a node by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    /// An address.
    Ip(IpAddr),
    /// A DNS name.
    Dns(String),
}

impl From<IpAddr> for San {
    fn from(address: IpAddr) -> San {
        San::Ip(address)
    }
}

/// A private key and the certificate for it, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyAndCert {
    /// The private key (PKCS #8). A secret.
    pub key: String,
    /// The certificate alone, without the CA's.
    pub certificate: String,
}

impl fmt::Debug for KeyAndCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAndCert")
            .field("key", &"(secret)")
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// An authority as text, to be kept in files.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityPem {
    /// The private key (PKCS #8). A secret: who has it can enter the cluster as any node.
    pub key: String,
    /// The certificate.
    pub certificate: String,
}

impl fmt::Debug for AuthorityPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityPem")
            .field("key", &"(secret)")
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// The certificate authority of one cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    cluster: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("cluster", &self.cluster)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes the authority of a new cluster. `now` in seconds since 1970.
    ///
    /// # Errors
    /// When the name does not fit into a certificate (1 to 64 bytes).
    pub fn create(cluster: &str, now: u64) -> Result<Authority, CaError> {
        let failed = |cause: String| CaError::Signing {
            subject: cluster.to_owned(),
            cause,
        };
        if cluster.is_empty() || cluster.len() > LONGEST_COMMON_NAME {
            return Err(failed("a cluster's name has 1 to 64 bytes".to_owned()));
        }
        let key = new_key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(cluster);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        dated(&mut params, now, CA_LIFETIME);
        let certificate = params
            .self_signed(&key)
            .map_err(|e| failed(e.to_string()))?;
        Authority::from_pem(&AuthorityPem {
            key: key.serialize_pem(),
            certificate: certificate.pem(),
        })
    }

    /// The authority that [`Authority::to_pem`] wrote.
    ///
    /// # Errors
    /// When a text cannot be read, the certificate is not a CA's, or the key is another one's.
    pub fn from_pem(pem: &AuthorityPem) -> Result<Authority, CaError> {
        let key = KeyPair::from_pem(&pem.key).map_err(|e| CaError::BadKey(e.to_string()))?;
        let certificate = read::certificate(&pem.certificate)?;
        let facts = read::facts(&certificate)?;
        if !facts.is_ca {
            let whose = &facts.common_name;
            return Err(CaError::Mismatch(format!(
                "the certificate of {whose:?} is not one of a certificate authority"
            )));
        }
        if facts.key_hash != read::sha256_hex(&key.subject_public_key_info()) {
            return Err(CaError::Mismatch(format!(
                "the key is not the one of the CA certificate of cluster {:?}",
                facts.common_name
            )));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|e| CaError::Unreadable(e.to_string()))?;
        Ok(Authority {
            issuer,
            certificate,
            certificate_pem: pem.certificate.clone(),
            cluster: facts.common_name,
        })
    }

    /// Key and certificate as text. The key is the cluster's greatest secret.
    #[must_use]
    pub fn to_pem(&self) -> AuthorityPem {
        AuthorityPem {
            key: self.issuer.key().serialize_pem(),
            certificate: self.certificate_pem.clone(),
        }
    }

    /// The CA's certificate as text, for everybody.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// SHA-256 of the CA's certificate: what a token carries.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Makes a key and a certificate for a node, for where both stay on this host.
    ///
    /// # Errors
    /// When a name does not fit into a certificate.
    pub fn issue_node(&self, name: &Name, sans: &[San], now: u64) -> Result<KeyAndCert, CaError> {
        let key = new_key()?;
        let certificate = self.certify(&key, name, sans, now)?;
        Ok(KeyAndCert {
            key: key.serialize_pem(),
            certificate,
        })
    }

    /// Certifies the key of a signing request (PEM) for a node. Nothing but the key is taken
    /// from the request. Answers the certificate as PEM.
    ///
    /// # Errors
    /// When the request is malformed or not signed by its own key.
    pub fn sign_csr(
        &self,
        csr: &str,
        name: &Name,
        sans: &[San],
        now: u64,
    ) -> Result<String, CaError> {
        let request = parse_csr(csr)?;
        self.certify(&request.public_key, name, sans, now)
    }

    fn certify(
        &self,
        key: &impl PublicKeyData,
        name: &Name,
        sans: &[San],
        now: u64,
    ) -> Result<String, CaError> {
        let failed = |e: rcgen::Error| CaError::Signing {
            subject: name.to_string(),
            cause: e.to_string(),
        };
        let mut params = CertificateParams::default();
        // A name may be longer than a common name; the URI has all of it.
        let short: String = name.as_str().chars().take(LONGEST_COMMON_NAME).collect();
        params.distinguished_name = common_name(&short);
        params.subject_alt_names = alternative_names(name, sans).map_err(failed)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        dated(&mut params, now, NODE_LIFETIME);
        Ok(params.signed_by(key, &self.issuer).map_err(failed)?.pem())
    }
}

fn alternative_names(name: &Name, sans: &[San]) -> Result<Vec<SanType>, rcgen::Error> {
    let mut names = vec![SanType::URI(format!("{NODE_URI}{name}").try_into()?)];
    let mut add = |san: SanType| {
        if !names.contains(&san) {
            names.push(san);
        }
    };
    for dns in ["localhost", name.as_str()] {
        if tls::is_dns_name(dns) {
            add(SanType::DnsName(dns.try_into()?));
        }
    }
    for san in sans {
        add(match san {
            San::Ip(address) => SanType::IpAddress(*address),
            San::Dns(dns) => SanType::DnsName(dns.as_str().try_into()?),
        });
    }
    Ok(names)
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn dated(params: &mut CertificateParams, now: u64, lifetime: u64) {
    params.not_before = moment(now.saturating_sub(BACKDATED));
    params.not_after = moment(now.saturating_add(lifetime));
    // 16 bytes without the sign bit: positive, and within the 20 octets of RFC 5280, 4.1.2.2.
    let mut serial: [u8; 16] = random::bytes();
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
}

/// Seconds since 1970 as a date; what no calendar reaches becomes its last day.
pub(crate) fn moment(seconds: u64) -> OffsetDateTime {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or_else(|| time::PrimitiveDateTime::MAX.assume_utc())
}

/// A new private key.
pub(crate) fn new_key() -> Result<KeyPair, CaError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
        .map_err(|e| CaError::BadKey(e.to_string()))
}

/// A signing request (PEM) for a key. It names nobody: names are the authority's to give.
pub(crate) fn new_csr(key: &KeyPair) -> Result<String, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .serialize_request(key)
        .and_then(|request| request.pem())
        .map_err(|e| CaError::BadRequest(e.to_string()))
}

/// Reads a signing request (PEM) and verifies that it is signed by its own key.
pub(crate) fn parse_csr(csr: &str) -> Result<CertificateSigningRequestParams, CaError> {
    CertificateSigningRequestParams::from_pem(csr).map_err(|e| CaError::BadRequest(e.to_string()))
}

/// SHA-256 of the public key of a signing request (PEM), hexadecimal, after its signature held.
pub(crate) fn csr_key_hash(csr: &str) -> Result<String, CaError> {
    let request = parse_csr(csr)?;
    Ok(read::sha256_hex(
        &request.public_key.subject_public_key_info(),
    ))
}

/// From when on and until when a certificate (PEM) is good, in seconds since 1970.
///
/// # Errors
/// When the text is no certificate.
pub fn validity(certificate: &str) -> Result<(u64, u64), CaError> {
    let facts = read::facts(&read::certificate(certificate)?)?;
    Ok((facts.not_before, facts.not_after))
}

/// When a certificate (PEM) ends, in seconds since 1970.
///
/// # Errors
/// When the text is no certificate.
pub fn expires_at(certificate: &str) -> Result<u64, CaError> {
    Ok(read::facts(&read::certificate(certificate)?)?.not_after)
}

/// Whether a certificate (PEM) is to be renewed: two thirds of its life are over.
///
/// # Errors
/// When the text is no certificate.
pub fn renew_due(certificate: &str, now: u64) -> Result<bool, CaError> {
    let facts = read::facts(&read::certificate(certificate)?)?;
    let lifetime = facts.not_after.saturating_sub(facts.not_before);
    Ok(now >= facts.not_before.saturating_add(lifetime / 3 * 2))
}

#[cfg(test)]
mod tests;
