//! Who is let in: the verdicts over token, name, key and addresses, against the store.
//!
//! The order: the token's id, its secret, revoked, expired, the request itself, then whether it is
//! a repetition, used up, or for a name or address that is taken. So nobody without the secret
//! learns anything but that the token is wrong.
//!
//! A use is recorded by a transaction that holds only if nothing that was looked at has changed,
//! and only then is the certificate given out: of any number that race for a last use, one wins.
//! The same node asking again with the same key is the same join, because an answer may be lost;
//! it succeeds while the token holds and the node was not deleted since.
//!
//! It never serves sockets; the clock is given to it.

use std::net::SocketAddr;
use std::sync::Arc;

use tombolo_model::kinds::TokenUse;
use tombolo_model::{Name, Node, Resource, Token};
use tombolo_store::{Resources, Revision, Store, StoreError};

use super::attempts::Attempts;
use super::checks::{
    Applicant, applicant, bad_csr, endpoint_host, has_address, token_holds, used_up,
};
use super::error::{Refusal, ServeError};
use super::record::{Identity, Read, Records};
use super::wire::{Admission, JoinRequest, RenewRequest};
use crate::ca::{Authority, San};
use crate::read;

/// Tells the time, in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How often a decision is made anew because the store changed meanwhile. Each time, somebody
/// else's request went through.
const ROUNDS: u32 = 128;

/// What enrolment needs.
pub struct EnrolmentConfig {
    /// Where tokens and nodes are kept.
    pub store: Arc<dyn Store>,
    /// The cluster's authority.
    pub authority: Arc<Authority>,
    /// Where the store answers to nodes, as `https://10.0.0.1:2379`.
    pub store_endpoints: Vec<String>,
    /// The time.
    pub clock: Clock,
}

/// Decides who is let in.
pub struct Enrolment {
    records: Records,
    authority: Arc<Authority>,
    store_endpoints: Vec<String>,
    clock: Clock,
    attempts: Attempts,
}

/// What a look at the store says about a join.
enum Standing {
    /// It has happened already: certify again.
    Joined,
    /// It may happen, if the store is still so.
    New {
        token: Box<Resource<Token>>,
        token_revision: Revision,
        identity_revision: Revision,
    },
}

impl Enrolment {
    /// Enrolment into the cluster of an authority.
    #[must_use]
    pub fn new(config: EnrolmentConfig) -> Enrolment {
        Enrolment {
            records: Records::new(Resources::new(config.store)),
            authority: config.authority,
            store_endpoints: config.store_endpoints,
            clock: config.clock,
            attempts: Attempts::default(),
        }
    }

    /// The authority.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Records a node that holds the authority itself and was certified without a token: makes its
    /// Node if there is none. May be repeated.
    ///
    /// # Errors
    /// When the store does not answer or the certificate (PEM) cannot be read.
    pub async fn register(&self, node: &Name, certificate: &str) -> Result<(), ServeError> {
        let facts = read::facts(&read::certificate(certificate)?)?;
        for _ in 0..ROUNDS {
            let there = self.records.node(node).await?.revision;
            let known = self.records.identity(node).await?;
            let identity = self.identity(&facts.key_hash, None);
            let expected = (&identity, known.revision);
            if self.records.replace(node, there, expected).await? {
                return Ok(());
            }
        }
        Err(ServeError::Store(StoreError::Unavailable {
            endpoint: "the cluster".to_owned(),
            cause: format!("node {node} changes all the time"),
        }))
    }

    /// Decides about a join.
    ///
    /// # Errors
    /// The verdict, if it is no.
    pub async fn join(&self, peer: SocketAddr, ask: &JoinRequest) -> Result<Admission, Refusal> {
        let now = (self.clock)();
        if let Some(seconds) = self.attempts.wait(peer.ip(), now) {
            return Err(Refusal::TooManyAttempts { seconds });
        }
        let (token, _) = self.authorised(peer, ask, now).await?;
        token_holds(&token, now)?;
        let applicant = applicant(&ask.node, &ask.csr, &ask.addresses)?;
        let certificate = self.certify(&applicant, now)?;
        for _ in 0..ROUNDS {
            let (token, revision) = self.authorised(peer, ask, now).await?;
            token_holds(&token, now)?;
            match self.standing(token, revision, &applicant, now).await? {
                Standing::Joined => return Ok(self.admission(certificate)),
                Standing::New {
                    token,
                    token_revision,
                    identity_revision,
                } => {
                    let identity = self.identity(&applicant.key_hash, None);
                    let token = (&*token, token_revision);
                    let identity = (&identity, identity_revision);
                    let admitted = self.records.admit(token, &ask.node, identity).await;
                    if admitted.map_err(unavailable)? {
                        return Ok(self.admission(certificate));
                    }
                }
            }
        }
        Err(busy())
    }

    /// The token of a request, if its secret is right.
    async fn authorised(
        &self,
        peer: SocketAddr,
        ask: &JoinRequest,
        now: u64,
    ) -> Result<(Resource<Token>, Revision), Refusal> {
        let id = ask.token_id.clone();
        let Read { value, revision } = self.records.token(&id).await.map_err(unavailable)?;
        let Some(token) = value else {
            self.attempts.wrong(peer.ip(), now);
            return Err(Refusal::UnknownToken { id });
        };
        if !ask.secret.matches(&token.spec.secret_hash) {
            self.attempts.wrong(peer.ip(), now);
            return Err(Refusal::WrongSecret { id });
        }
        Ok((token, revision))
    }

    async fn standing(
        &self,
        mut token: Resource<Token>,
        token_revision: Revision,
        applicant: &Applicant<'_>,
        now: u64,
    ) -> Result<Standing, Refusal> {
        let name = applicant.node;
        let node = self.records.node(name).await.map_err(unavailable)?.value;
        let identity = self.records.identity(name).await.map_err(unavailable)?;
        let this_use = |u: &TokenUse| u.node == *name && u.key_hash == applicant.key_hash;
        let spec = &mut token.spec;
        let certified = identity.value.as_ref().map(|i| i.key_hash.as_str());
        let same_key = certified == Some(applicant.key_hash.as_str());
        if node.is_some() && same_key && spec.used_by.iter().any(this_use) {
            self.check_addresses(applicant).await?;
            return Ok(Standing::Joined);
        }
        if spec.used_by.len() >= spec.uses as usize {
            return Err(used_up(&token));
        }
        self.check_name(name).await?;
        self.check_addresses(applicant).await?;
        spec.used_by.push(TokenUse {
            node: name.clone(),
            key_hash: applicant.key_hash.clone(),
            at: now,
        });
        Ok(Standing::New {
            token: Box::new(token),
            token_revision,
            identity_revision: identity.revision,
        })
    }

    /// Decides about a renewal. `shown` is the certificate (DER) that the node proved to own, if
    /// it showed one; TLS has verified it.
    ///
    /// # Errors
    /// The verdict, if it is no.
    pub async fn renew(
        &self,
        shown: Option<&[u8]>,
        ask: &RenewRequest,
    ) -> Result<Admission, Refusal> {
        let now = (self.clock)();
        let facts = shown.and_then(|der| read::facts(der).ok());
        let Some((facts, name)) = facts.and_then(|f| Some((f.clone(), f.node?))) else {
            return Err(Refusal::NoCertificate);
        };
        let applicant = applicant(&name, &ask.csr, &ask.addresses)?;
        let certificate = self.certify(&applicant, now)?;
        for _ in 0..ROUNDS {
            let node = self.records.node(&name).await.map_err(unavailable)?;
            let identity = self.records.identity(&name).await.map_err(unavailable)?;
            let (Some(_), Some(known)) = (&node.value, &identity.value) else {
                return Err(Refusal::NodeGone { node: name });
            };
            let current = known.key_hash == facts.key_hash;
            if !current && known.previous.as_ref() != Some(&facts.key_hash) {
                return Err(Refusal::Superseded { node: name });
            }
            self.check_addresses(&applicant).await?;
            let new = self.identity(&applicant.key_hash, Some(facts.key_hash.clone()));
            let expected = (&new, identity.revision);
            let replaced = self.records.replace(&name, node.revision, expected).await;
            if replaced.map_err(unavailable)? {
                return Ok(self.admission(certificate));
            }
        }
        Err(busy())
    }

    /// Refuses names that belong to another node or to the store. A name becomes a DNS name of the
    /// certificate, and DNS knows no difference between upper and lower case.
    async fn check_name(&self, name: &Name) -> Result<(), Refusal> {
        let nodes = self.records.nodes().await.map_err(unavailable)?;
        let same = |node: &&Resource<Node>| {
            let other = node.name().as_str();
            other.eq_ignore_ascii_case(name.as_str())
        };
        if let Some(node) = nodes.iter().find(same) {
            let node = node.name().clone();
            return Err(Refusal::NameTaken { node });
        }
        if self.is_store_host(name.as_str()) {
            let (address, owner) = (name.to_string(), "the store".to_owned());
            return Err(Refusal::AddressTaken { address, owner });
        }
        Ok(())
    }

    /// Refuses addresses that belong to another node or to the store: a certificate for one would
    /// let its owner be impersonated.
    async fn check_addresses(&self, applicant: &Applicant<'_>) -> Result<(), Refusal> {
        if applicant.addresses.is_empty() {
            return Ok(());
        }
        let nodes = self.records.nodes().await.map_err(unavailable)?;
        for address in applicant.addresses.iter().filter(|a| !a.is_loopback()) {
            let holder = nodes.iter().find(|node| has_address(node, *address));
            let owner = match holder {
                Some(node) if node.name() == applicant.node => continue,
                Some(node) => format!("node {}", node.name()),
                None if self.is_store_host(&address.to_string()) => "the store".to_owned(),
                None => continue,
            };
            let address = address.to_string();
            return Err(Refusal::AddressTaken { address, owner });
        }
        Ok(())
    }

    fn is_store_host(&self, host: &str) -> bool {
        self.store_endpoints
            .iter()
            .any(|endpoint| endpoint_host(endpoint).eq_ignore_ascii_case(host))
    }

    fn certify(&self, applicant: &Applicant<'_>, now: u64) -> Result<String, Refusal> {
        let sans: Vec<San> = applicant.addresses.iter().copied().map(San::Ip).collect();
        self.authority
            .sign_csr(applicant.csr, applicant.node, &sans, now)
            .map_err(|e| bad_csr(&e))
    }

    fn identity(&self, key_hash: &str, previous: Option<String>) -> Identity {
        Identity {
            key_hash: key_hash.to_owned(),
            previous: previous.filter(|previous| previous != key_hash),
            at: (self.clock)(),
        }
    }

    fn admission(&self, certificate: String) -> Admission {
        Admission {
            certificate,
            ca: self.authority.certificate_pem().to_owned(),
            store: self.store_endpoints.clone(),
            cluster: self.authority.cluster().to_owned(),
        }
    }
}

fn busy() -> Refusal {
    let why = "many nodes join at once".to_owned();
    Refusal::Unavailable { why }
}

fn unavailable(error: StoreError) -> Refusal {
    tracing::warn!(%error, "the store failed a joining node");
    let why = "its store does not answer; the log of the agent that was asked says more".to_owned();
    Refusal::Unavailable { why }
}
