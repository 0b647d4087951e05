//! Who may talk to whom: policies in tiers, profiles, and the sets that their rules name.
//!
//! Field names and meaning are those of Calico's `projectcalico.org/v3`, so that what people have can
//! be pasted. A Kubernetes `networking.k8s.io/v1` NetworkPolicy becomes a [`NetworkPolicy`] when it is
//! read ([`crate::parse`]), with the same meaning.
//!
//! ```text
//!  Tier            an order among groups of policies, and what happens at the end of one
//!  policies        which endpoints (selector), in which direction (types), by which rules
//!  Profile         rules for endpoints that name it, asked when no policy decided; labels for them
//!  Namespace       the labels of a tenant, which namespace selectors look at
//!  NetworkSet      addresses outside, with labels, so that selectors find them
//!  HostEndpoint    an interface of a node, so that policies apply to the host itself
//! ```

mod host_endpoint;
mod network_policy;
mod network_set;
mod profile;
mod rule;
mod rule_faults;
pub(crate) mod source;
mod tier;

pub use host_endpoint::{HostEndpoint, NamedPort};
pub use network_policy::{Direction, GlobalNetworkPolicy, NetworkPolicy, Order};
pub use network_set::{GlobalNetworkSet, Namespace, NetworkSet};
pub use profile::Profile;
pub use rule::{EntityMatch, Icmp, IpVersion, PolicyRule, PortMatch, ProtocolMatch, RuleAction};
pub use source::{ORIGINAL, SOURCE, source_line, source_of};
pub use tier::{DefaultAction, Tier};
