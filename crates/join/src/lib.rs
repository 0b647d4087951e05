//! Trust between nodes: who may enter a cluster, and by what each proves who it is.
//!
//! One certificate authority per cluster, made by `tombolo init`. A token lets a new node ask for
//! a certificate of its own, once per use, for a time; the certificate is then its key to the
//! store. The token carries the hash of the CA's certificate, so that the new node knows whom it
//! speaks to before it says anything secret.
//!
//! ```text
//!  new node                                          a node that holds the CA
//!  Client::join ── TLS, chain must hold the CA ────► JoinServer ── Enrolment ──► Store
//!     key stays here   of the token's hash               │ counts the use by compare-and-swap,
//!     ◄──────────── certificate, CA, endpoints ──────────┘ then signs
//! ```
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`ca`] | what a certificate says, and when it is to be renewed |
//! | [`token`] | the text of a token, and its form in the store |
//! | [`tls`] | which certificates each side of a connection accepts |
//! | [`enrol`] | the protocol: requests, verdicts, server and client |
//!
//! It never writes files and knows neither networks nor the kernel.

pub mod ca;
pub mod enrol;
#[doc(hidden)]
pub mod fuzzing;
mod random;
mod read;
pub mod tls;
pub mod token;

pub use ca::{Authority, AuthorityPem, CaError, KeyAndCert, San, expires_at, renew_due, validity};
pub use enrol::{
    Clock, DEFAULT_PORT, Enrolment, EnrolmentConfig, JoinClient, JoinError, JoinServer, Joined,
    Refusal, ServeError,
};
pub use token::{Fingerprint, JoinToken, TokenTextError};
