//! The local API: what the agent answers on its unix socket, and how to ask.
//!
//! HTTP/1.1 with JSON, so that `curl --unix-socket /run/tombolo/tombolo.sock http://tombolo/v1/status`
//! works. Every front (CNI, command line, and those to come) uses the types and the client of this
//! crate, which knows neither async nor the kernel.
//!
//! | method and path | body → answer |
//! | --- | --- |
//! | `GET /v1/status[?wait=true]` | → [`Status`]; with `wait` once the kernel holds the newest revision |
//! | `GET /v1/<kinds>[?namespace=]` | → resources, as in files |
//! | `GET /v1/<kinds>/<name>[?namespace=]` | → one resource |
//! | `GET /v1/watch/<kinds>` | → a line per change, [`WatchLine`] |
//! | `POST /v1/apply` | [`ApplyRequest`] → [`Applied`] list; all or nothing |
//! | `POST /v1/foresee` | [`ApplyRequest`] → [`Changes`]: flows between present endpoints that would fare otherwise |
//! | `DELETE /v1/<kinds>/<name>[?namespace=]` | → nothing |
//! | `POST /v1/delete` | [`DeleteRequest`] → nothing; all or nothing |
//! | `POST /v1/attach` | [`AttachRequest`] → [`Attached`], once the kernel holds it |
//! | `POST /v1/detach` | [`DetachRequest`] → nothing |
//! | `POST /v1/amend` | [`AmendRequest`] → [`Attached`], once the kernel holds it |
//! | `POST /v1/label` | [`LabelRequest`] → the endpoint, as in files, once this node's kernel holds it |
//! | `POST /v1/addresses/take` | [`TakeRequest`] → [`Taken`] |
//! | `POST /v1/addresses/give` | [`GiveRequest`] → nothing |
//! | `POST /v1/inspect` | [`DetachRequest`] → [`Inspected`]: what an attachment should be and is |
//! | `POST /v1/collect` | [`CollectRequest`] → nothing: unplugs what a runtime does not know |
//! | `POST /v1/ready` | [`ReadyRequest`] → [`Readiness`] |
//! | `GET /v1/alive` | → nothing: the agent answers |
//! | `GET /v1/plan` | → the HostPlan, one [`PlannedObject`] each |
//! | `POST /v1/explain` | [`ExplainRequest`] → objects, planned and as they are, with who asked for them |
//! | `POST /v1/flow` | [`FlowRequest`] → [`FlowAnswer`]: whether a flow is let through, and why |
//! | `GET /v1/denials` | → [`Denial`] list, the oldest first: the newest 1,000 of this node |
//! | `GET /v1/watch/denials` | → a line per [`Denial`], those that there were first |
//! | `GET /v1/bgp` | → [`BgpState`], or nothing where this node speaks no BGP |
//! | `GET /v1/check` | → what the agent knows that `tombolo check` judges |
//! | `GET /v1/ipam`, `GET /v1/ipam/check` | → use of pools; findings |
//! | `POST /v1/ipam/release` | [`ReleaseRequest`] → nothing |
//! | `POST /v1/tokens`, `GET /v1/tokens`, `DELETE /v1/tokens/<id>` | [`TokenRequest`] → [`NewToken`] |

mod bgp;
mod client;
mod error;
mod flow;
mod tunnel;
mod types;
mod words;

pub use bgp::{BgpSession, BgpState};
pub use client::{Client, ClientError, Lines};
pub use error::{Fault, FaultKind};
pub use flow::{Denial, FlowAnswer, FlowRequest};
pub use tombolo_policy::Changes;
pub use tunnel::{TunnelPeerView, TunnelState};
pub use types::*;
pub use words::named_port;

/// Where the agent listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tombolo/tombolo.sock";
/// Answers at once as long as the agent runs.
pub const ALIVE: &str = "/v1/alive";
