//! The verdicts, with the words that both sides show, and what else can go wrong on each side.
//!
//! A [`Refusal`] travels as data and is put into words by whoever shows it, so that the server's
//! log and the client's terminal say the same. A refusal never repeats a secret.

use serde::{Deserialize, Serialize};
use tombolo_model::Name;

use crate::ca::{CaError, moment};
use crate::tls::TlsError;
use crate::token::Fingerprint;

/// Why a node is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "camelCase")]
pub enum Refusal {
    /// There is no token of that id.
    #[error(
        "token {id} is not known to this cluster; it was deleted or belongs to another one: make \
         one with `tombolo token create`"
    )]
    UnknownToken {
        /// The token's id.
        id: Name,
    },
    /// The secret is another one.
    #[error("the secret of token {id} is wrong; copy the token again, whole")]
    WrongSecret {
        /// The token's id.
        id: Name,
    },
    /// Its time is over.
    #[error(
        "token {id} expired at {at}; make another with `tombolo token create`",
        at = time_text(*at)
    )]
    Expired {
        /// The token's id.
        id: Name,
        /// When, in seconds since 1970.
        at: u64,
    },
    /// It was taken back.
    #[error("token {id} was revoked; make another with `tombolo token create`")]
    Revoked {
        /// The token's id.
        id: Name,
    },
    /// As many nodes joined with it as may.
    #[error(
        "token {id} was used by node {node} at {at}, and may not be used again; make another \
         with `tombolo token create`",
        at = time_text(*at)
    )]
    UsedUp {
        /// The token's id.
        id: Name,
        /// The last node that joined with it.
        node: Name,
        /// When, in seconds since 1970.
        at: u64,
    },
    /// Another node has the name.
    #[error(
        "the name {node} is taken by another node of this cluster; join under another name, or \
         remove that node first with `tombolo delete node {node}`"
    )]
    NameTaken {
        /// The name.
        node: Name,
    },
    /// Another node, or the store, has the address.
    #[error(
        "address {address} belongs to {owner}; a certificate for it would let one host pass for \
         the other: leave it out, or remove its owner first"
    )]
    AddressTaken {
        /// The address.
        address: String,
        /// Who has it, as `node a` or `the store`.
        owner: String,
    },
    /// An address that no host can be reached by.
    #[error("address {address} is nobody's to have; give unicast addresses, at most 32")]
    BadAddress {
        /// The address, or what is wrong with the list.
        address: String,
    },
    /// The signing request is not well-formed or not signed by its own key.
    #[error("{why}")]
    BadCsr {
        /// What is wrong.
        why: String,
    },
    /// The body is not what the call takes.
    #[error("the request cannot be understood: {why}; use the same version on both hosts")]
    Malformed {
        /// What is wrong, and where.
        why: String,
    },
    /// The body is too large.
    #[error("the request is larger than {limit} bytes")]
    TooLarge {
        /// The most bytes.
        limit: usize,
    },
    /// The body did not come in time.
    #[error("the request did not arrive within {seconds} s; check the network and try again")]
    TooSlow {
        /// How long was waited.
        seconds: u64,
    },
    /// Too many wrong tokens from one address.
    #[error("too many wrong tokens from this address; try again in {seconds} s with the right one")]
    TooManyAttempts {
        /// When the address is heard again.
        seconds: u64,
    },
    /// No such call.
    #[error("there is no {call} here; this is the join port of tombolo")]
    NoSuchCall {
        /// Method and path.
        call: String,
    },
    /// A renewal without a certificate of this cluster.
    #[error("a renewal needs the node's certificate, and none was shown; join with a token")]
    NoCertificate,
    /// A renewal by a node that was deleted.
    #[error("node {node} is not a node of this cluster any more; join again with a new token")]
    NodeGone {
        /// The node.
        node: Name,
    },
    /// A renewal with a certificate that a later one has replaced.
    #[error(
        "the certificate of node {node} is not its newest: another host has joined under that \
         name, or it was renewed twice since; join again with a new token"
    )]
    Superseded {
        /// The node.
        node: Name,
    },
    /// The server cannot decide now.
    #[error("the cluster cannot decide now: {why}; try again")]
    Unavailable {
        /// In general words; the server's log has the details.
        why: String,
    },
}

impl Refusal {
    /// The HTTP status that it travels under.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Malformed { .. } | Refusal::BadCsr { .. } | Refusal::BadAddress { .. } => 400,
            Refusal::UnknownToken { .. } | Refusal::WrongSecret { .. } | Refusal::NoCertificate => {
                401
            }
            Refusal::Expired { .. }
            | Refusal::Revoked { .. }
            | Refusal::UsedUp { .. }
            | Refusal::NodeGone { .. }
            | Refusal::Superseded { .. } => 403,
            Refusal::NoSuchCall { .. } => 404,
            Refusal::TooSlow { .. } => 408,
            Refusal::NameTaken { .. } | Refusal::AddressTaken { .. } => 409,
            Refusal::TooLarge { .. } => 413,
            Refusal::TooManyAttempts { .. } => 429,
            Refusal::Unavailable { .. } => 503,
        }
    }
}

/// Why a node could not join or renew.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JoinError {
    /// The address is none.
    #[error("address {given:?} is not allowed: {why}; give HOST or HOST:PORT, as in 10.0.0.1:7461")]
    Address {
        /// The text.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing answers there.
    #[error(
        "cannot reach {address}: {cause}; check that the agent runs there and that TCP port \
         {port} is open"
    )]
    Unreachable {
        /// The address.
        address: String,
        /// The port.
        port: u16,
        /// The reason.
        cause: String,
    },
    /// It is another cluster's host, or somebody in between.
    #[error(
        "the host at {address} does not belong to the cluster that the token is of: it does not \
         show the CA certificate with SHA-256 {expected}; nothing secret was sent. Check the \
         address and the token; if both are right, somebody is in between"
    )]
    OtherCluster {
        /// The address.
        address: String,
        /// The fingerprint that the token carries.
        expected: Fingerprint,
    },
    /// TLS failed for another reason.
    #[error("no secure connection to {address}: {cause}; nothing secret was sent")]
    Handshake {
        /// The address.
        address: String,
        /// The reason, with what to check.
        cause: String,
    },
    /// The connection ended before the answer. The node may be in: the same key may ask again.
    #[error("the connection to {address} was lost before the answer: {cause}; try again")]
    Lost {
        /// The address.
        address: String,
        /// The reason.
        cause: String,
    },
    /// The answer is not one of this protocol, or certifies something else.
    #[error(
        "{address} gave an answer that cannot be used: {cause}; use the same version on both hosts"
    )]
    BadAnswer {
        /// The address.
        address: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The server said no.
    #[error("{address} refuses: {refusal}")]
    Refused {
        /// The address.
        address: String,
        /// Why.
        refusal: Refusal,
    },
    /// The server said no in a way that this version does not know.
    #[error("{address} refuses (HTTP status {status}): {message}")]
    RefusedOtherwise {
        /// The address.
        address: String,
        /// The status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The node's own key or certificate cannot be used.
    #[error(transparent)]
    Own(#[from] TlsError),
}

impl JoinError {
    /// Whether asking again with the same key can help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            JoinError::Unreachable { .. } | JoinError::Lost { .. } => true,
            JoinError::Refused { refusal, .. } => matches!(
                refusal,
                Refusal::Unavailable { .. }
                    | Refusal::TooSlow { .. }
                    | Refusal::TooManyAttempts { .. }
            ),
            _ => false,
        }
    }
}

/// Why the server cannot serve.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServeError {
    /// The port cannot be had.
    #[error(
        "cannot listen for joining nodes on {address}: {cause}; give another address or free it"
    )]
    Listen {
        /// The address.
        address: String,
        /// The system's reason.
        cause: String,
    },
    /// The node's own key or certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate that was to be recorded cannot be read.
    #[error(transparent)]
    Certificate(#[from] CaError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] tombolo_store::StoreError),
}

/// A time as people read it, in UTC: `2026-01-31 23:59:59Z`.
pub(crate) fn time_text(seconds: u64) -> String {
    let at = moment(seconds);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = at.to_hms();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}
