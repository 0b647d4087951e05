//! The side of the node that joins, or renews. Synchronous: it needs no runtime, and in one it
//! runs on a thread that may block.
//!
//! The key is made here and never leaves. The server is known by the token's fingerprint before
//! a byte of the request is sent. A join whose answer was lost may be repeated with the same
//! [`JoinClient`], or with another one that was given the same key, and is the same join.
//!
//! What comes back is verified before it is believed: the CA is the token's, and the certificate
//! is that CA's, for this node and this key.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::Serialize;
use tombolo_model::Name;

use super::error::JoinError;
use super::http::{self, Answer};
use super::target::{Deadline, Target};
use super::wire::{Admission, JOIN, JoinRequest, RENEW, RefusalBody, RenewRequest};
use crate::ca::{CaError, KeyAndCert, new_csr, new_key};
use crate::read;
use crate::tls::{self, OtherCluster, TlsError};
use crate::token::{Fingerprint, JoinToken};

/// The time for one attempt to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// The time for everything after the connection stands.
const WHOLE: Duration = Duration::from_secs(30);

/// What a node has after it joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The node's key and certificate (PEM).
    pub identity: KeyAndCert,
    /// The CA's certificate (PEM).
    pub ca: String,
    /// Where the cluster's store answers.
    pub store_endpoints: Vec<String>,
    /// The name of the cluster.
    pub cluster: String,
}

/// A node that wants to join.
#[derive(Debug)]
pub struct JoinClient {
    target: Target,
    token: JoinToken,
    node: Name,
    addresses: Vec<IpAddr>,
    key: KeyPair,
}

impl JoinClient {
    /// A node of that name, to be reached by these addresses, with a new key. `address` is
    /// `HOST` or `HOST:PORT` of a node that is in the cluster.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(
        address: &str,
        token: JoinToken,
        node: Name,
        addresses: Vec<IpAddr>,
    ) -> Result<JoinClient, JoinError> {
        Ok(JoinClient {
            target: Target::parse(address)?,
            token,
            node,
            addresses,
            key: new_key().map_err(TlsError::Text)?,
        })
    }

    /// The same with a key (PEM) that was made before, to repeat a join after a crash.
    ///
    /// # Errors
    /// When the text is no key.
    pub fn with_key(mut self, key: &str) -> Result<JoinClient, JoinError> {
        self.key =
            KeyPair::from_pem(key).map_err(|e| TlsError::Text(CaError::BadKey(e.to_string())))?;
        Ok(self)
    }

    /// The key (PEM). A secret.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Asks to be let in. Blocks, at most about 40 seconds per address that the host has.
    ///
    /// # Errors
    /// What failed, or the server's verdict.
    pub fn join(&self) -> Result<Joined, JoinError> {
        let fingerprint = self.token.fingerprint();
        let request = JoinRequest {
            token_id: self.token.id().clone(),
            secret: self.token.secret().clone(),
            node: self.node.clone(),
            csr: new_csr(&self.key).map_err(TlsError::Text)?,
            addresses: self.addresses.clone(),
        };
        let call = Call {
            target: &self.target,
            fingerprint,
            identity: None,
        };
        let admission = call.ask(JOIN, &request)?;
        call.believe(admission, &self.node, &self.key)
    }
}

/// Asks for a new certificate, with a new key, for the node of the old one. `ca` is the CA's
/// certificate (PEM). Blocks as [`JoinClient::join`] does.
///
/// # Errors
/// What failed, or the server's verdict. The old certificate then holds on.
pub fn renew(
    address: &str,
    identity: &KeyAndCert,
    ca: &str,
    addresses: Vec<IpAddr>,
) -> Result<Joined, JoinError> {
    let own = |e: CaError| JoinError::Own(TlsError::Text(e));
    let target = Target::parse(address)?;
    let old = read::certificate(&identity.certificate).map_err(own)?;
    let node = read::facts(&old).map_err(own)?.node.ok_or_else(|| {
        own(CaError::Unreadable(
            "the certificate names no node".to_owned(),
        ))
    })?;
    let key = new_key().map_err(own)?;
    let request = RenewRequest {
        csr: new_csr(&key).map_err(own)?,
        addresses,
    };
    let call = Call {
        target: &target,
        fingerprint: Fingerprint::of(&read::certificate(ca).map_err(own)?),
        identity: Some(identity),
    };
    let admission = call.ask(RENEW, &request)?;
    call.believe(admission, &node, &key)
}

/// One question to one server.
struct Call<'a> {
    target: &'a Target,
    fingerprint: Fingerprint,
    identity: Option<&'a KeyAndCert>,
}

impl Call<'_> {
    fn ask(&self, path: &str, body: &impl Serialize) -> Result<Admission, JoinError> {
        let config = tls::pinned_client(self.fingerprint, self.identity)?;
        let mut stream = self.handshake(config)?;
        let body = serde_json::to_vec(body).expect("structs of texts are always JSON");
        let host = self.target.to_string();
        let answer = http::post(&mut stream, &host, path, &body).map_err(|e| self.broken(&e))?;
        self.read(&answer)
    }

    /// Connects and makes sure whose server it is. Nothing of the request is sent before.
    fn handshake(
        &self,
        config: ClientConfig,
    ) -> Result<StreamOwned<ClientConnection, Deadline>, JoinError> {
        let name = self.target.server_name()?;
        let mut connection = ClientConnection::new(Arc::new(config), name)
            .map_err(|e| self.untrusted(&io::Error::other(e)))?;
        let mut stream = self.connect()?;
        while connection.is_handshaking() {
            connection
                .complete_io(&mut stream)
                .map_err(|e| self.untrusted(&e))?;
        }
        Ok(StreamOwned::new(connection, stream))
    }

    fn connect(&self) -> Result<Deadline, JoinError> {
        let unreachable = |cause: String| JoinError::Unreachable {
            address: self.target.to_string(),
            port: self.target.port,
            cause,
        };
        let found = (self.target.host.as_str(), self.target.port).to_socket_addrs();
        let found: Vec<SocketAddr> = found.map_err(|e| unreachable(e.to_string()))?.collect();
        let mut cause = "the name has no address".to_owned();
        for address in found {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => return Ok(Deadline::after(stream, WHOLE)),
                Err(e) => cause = e.to_string(),
            }
        }
        Err(unreachable(cause))
    }

    fn read(&self, answer: &Answer) -> Result<Admission, JoinError> {
        let address = self.target.to_string();
        if answer.status == 200 {
            let read = serde_json::from_slice(&answer.body);
            return read.map_err(|e| self.unusable(e.to_string()));
        }
        if let Ok(body) = serde_json::from_slice::<RefusalBody>(&answer.body) {
            let refusal = body.refusal;
            return Err(JoinError::Refused { address, refusal });
        }
        let body: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
        let message = body.as_ref().and_then(|b| b.get("message")?.as_str());
        Err(JoinError::RefusedOtherwise {
            address,
            status: answer.status,
            message: message.unwrap_or("no reason was given").to_owned(),
        })
    }

    /// Verifies what came back, and makes it the node's.
    fn believe(&self, got: Admission, node: &Name, key: &KeyPair) -> Result<Joined, JoinError> {
        let unusable = |e: CaError| self.unusable(e.to_string());
        let ca = read::certificate(&got.ca).map_err(unusable)?;
        if Fingerprint::of(&ca) != self.fingerprint {
            return Err(self.unusable("the CA certificate is another one".to_owned()));
        }
        let certificate = read::certificate(&got.certificate).map_err(unusable)?;
        tls::verify_node(&certificate, &ca).map_err(|e| self.unusable(clock_hint(&e)))?;
        let facts = read::facts(&certificate).map_err(unusable)?;
        let own_key = read::sha256_hex(&key.subject_public_key_info());
        if facts.node.as_ref() != Some(node) || facts.key_hash != own_key {
            let cause = "the certificate is for another node or another key".to_owned();
            return Err(self.unusable(cause));
        }
        Ok(Joined {
            identity: KeyAndCert {
                key: key.serialize_pem(),
                certificate: got.certificate,
            },
            ca: got.ca,
            store_endpoints: got.store,
            cluster: got.cluster,
        })
    }

    fn unusable(&self, cause: String) -> JoinError {
        let address = self.target.to_string();
        JoinError::BadAnswer { address, cause }
    }

    /// A connection that broke after the server was known.
    fn broken(&self, error: &io::Error) -> JoinError {
        let address = self.target.to_string();
        let cause = match (error.kind(), tls_fault(error)) {
            (io::ErrorKind::InvalidData, None) => return self.unusable(error.to_string()),
            // TLS 1.3 tells a client that its certificate is refused only after the handshake.
            (_, Some(rustls::Error::AlertReceived(alert))) => {
                format!("the server refuses this node's certificate ({alert:?})")
            }
            (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, _) => {
                format!("no answer within {} s", WHOLE.as_secs())
            }
            _ => error.to_string(),
        };
        JoinError::Lost { address, cause }
    }

    /// A handshake that did not succeed.
    fn untrusted(&self, error: &io::Error) -> JoinError {
        use rustls::{CertificateError, Error};
        let address = self.target.to_string();
        let cause = match tls_fault(error) {
            Some(Error::InvalidCertificate(CertificateError::Other(other)))
                if other.0.is::<OtherCluster>() =>
            {
                let expected = self.fingerprint;
                return JoinError::OtherCluster { address, expected };
            }
            Some(fault @ Error::InvalidMessage(_)) => {
                format!("it does not speak TLS, so it is no join port ({fault})")
            }
            Some(fault) => clock_hint(fault),
            None if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
            {
                format!("no answer within {} s", WHOLE.as_secs())
            }
            None => error.to_string(),
        };
        JoinError::Handshake { address, cause }
    }
}

fn tls_fault(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// A certificate that is not valid now mostly means that a clock is wrong.
fn clock_hint(fault: &rustls::Error) -> String {
    use rustls::{CertificateError as Fault, Error};
    match fault {
        Error::InvalidCertificate(
            Fault::Expired
            | Fault::ExpiredContext { .. }
            | Fault::NotValidYet
            | Fault::NotValidYetContext { .. },
        ) => format!("{fault}; check the clocks of both hosts"),
        _ => fault.to_string(),
    }
}
