//! BGP: what the nodes say to routers and to each other, and what they let in.
//!
//! Field names and meaning are those of Calico's `projectcalico.org/v3`, so that what people have can
//! be pasted; what has no meaning here is refused by name ([`crate::parse`]).
//!
//! ```text
//!  BGPConfiguration   the cluster's system, whether the nodes form a mesh, what is told of ranges
//!                     (`default`, and `node.NAME` for what is otherwise on one node)
//!  BGPPeer            a router, or nodes, that some nodes speak with
//!  BGPFilter          which routes go to a peer and come from it
//!  Learned            which routes came; kept by the agent, never in a store
//! ```

mod configuration;
mod filter;
mod learned;
mod peer;
mod words;

pub use configuration::{
    BfdChoice, BgpConfiguration, BgpImport, NamedCommunity, PrefixAdvertisement, ServiceRange,
};
pub use filter::{BgpFilter, FilterAction, FilterRule, MatchOperator, PrefixLength, RouteSource};
pub use learned::{Learned, LearnedHop, LearnedRoute};
pub use peer::{AddPaths, BgpPeer, NextHopMode, SourceAddress};
pub use words::{AsNumber, BgpPassword, PeerIp, Span};
