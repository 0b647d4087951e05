//! The protocol of joining: HTTP/1.1 with JSON over TLS, one request per connection.
//!
//! ```text
//! POST /v1/join    {tokenID, secret, node, csr, addresses}       a token is the right to do it
//! POST /v1/renew   {csr, addresses}                              the old certificate is
//!   200 {certificate, ca, store, cluster}      else {refusal: {code, …}, message}
//! ```
//!
//! | file | what is there |
//! | --- | --- |
//! | `wire` | the bodies |
//! | `error` | the verdicts, with the words that both sides show |
//! | `enrolment` | who is let in: token, name, key, addresses, against the store |
//! | `checks` | the rules of that which need no store |
//! | `record` | what joining keeps in the store |
//! | `attempts` | how often one address may be wrong |
//! | `server` | connections, TLS, limits of time and size |
//! | `client`, `target`, `http` | the side of the node that joins; no runtime needed |

mod attempts;
mod checks;
mod client;
mod enrolment;
mod error;
pub(crate) mod fuzzing;
mod http;
mod record;
mod server;
mod target;
#[cfg(test)]
mod tests;
mod wire;

pub use client::{JoinClient, Joined, renew};
pub use enrolment::{Clock, Enrolment, EnrolmentConfig};
pub use error::{JoinError, Refusal, ServeError};
pub use record::IDENTITIES;
pub use server::{IdentitySlot, JoinServer, Limits};
pub use target::DEFAULT_PORT;
pub use wire::{Admission, JoinRequest, RenewRequest};
