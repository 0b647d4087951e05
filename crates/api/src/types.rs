//! Requests and answers of the local API.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tombolo_model::kinds::policy::NamedPort;
use tombolo_model::{ContainerId, IfName, MacAddr, Name, PortMapping, ResourceKey};

use crate::{BgpState, TunnelState};

/// Plug a container into a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttachRequest {
    /// The runtime's id of the container.
    #[serde(rename = "containerID")]
    pub container_id: ContainerId,
    /// The name that its interface shall have.
    pub interface: IfName,
    /// Path of its sandbox; empty if `handover` is set and it is not known yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// Make the container's end in the host's namespace, and leave it there: the runtime puts it
    /// into the sandbox itself, with its addresses and routes (CNM).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handover: bool,
    /// The inode of the namespace that the path leads to; the agent finds it if it is not given.
    #[serde(default, rename = "sandboxID", skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<u64>,
    /// The network.
    pub network: Name,
    /// The runtime's name of the configuration that asks, so that its garbage can be told from
    /// others'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Name>,
    /// The tenant that the endpoint belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// Who it is, for addresses that stay; the container's id if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Addresses that it must have, at most one per family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Where other addresses must be from; anywhere in the network's pools if none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<AddressRange>,
    /// The link-layer address that it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Ports of the host that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMapping>,
    /// Labels of the endpoint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its profiles, in the order in which they are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Name>,
    /// Names of its ports, for rules that name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named_ports: Vec<NamedPort>,
}

/// Change who an endpoint of any node is to policies. It may be on another node; whoever asks is
/// answered once the kernel of the asked node has followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelRequest {
    /// The endpoint's name, any part of it that only one has, or the beginning of its container's id.
    pub endpoint: String,
    /// Its namespace; any if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// Labels that it gets, or loses where there is no value; others stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
    /// Its profiles; as they are if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiles: Option<Vec<Name>>,
}

pub use tombolo_model::AddressRange;

/// Unplug what a runtime does not know any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CollectRequest {
    /// The runtime's name of its configuration.
    pub configuration: Name,
    /// The network.
    pub network: Name,
    /// What stays.
    pub valid: Vec<ValidAttachment>,
}

/// An attachment that a runtime knows (CNI SPEC 1.1.0, section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValidAttachment {
    /// The container's id.
    #[serde(rename = "containerID")]
    pub container_id: ContainerId,
    /// The name of its interface.
    pub ifname: IfName,
}

/// Ask whether containers could be plugged into a network now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadyRequest {
    /// The network.
    pub network: Name,
}

/// Whether containers could be plugged in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Readiness {
    /// Why not, and what to do; none if they could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// Why those that are plugged in may not have what they need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// A container that is plugged in, as its runtime is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attached {
    /// The endpoint's namespace and name.
    pub endpoint: (Name, Name),
    /// The host's end of the pair; none for attachments that make no interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_interface: Option<InterfaceView>,
    /// The container's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_interface: Option<InterfaceView>,
    /// The bridge that it is a port of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<InterfaceView>,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Vec<AddressView>,
    /// Its routes.
    #[serde(default)]
    pub routes: Vec<RouteView>,
}

/// An interface, as a runtime is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InterfaceView {
    /// Its name.
    pub name: IfName,
    /// Its link-layer address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Its MTU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// An address, as a runtime is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressView {
    /// Address and prefix length.
    pub address: IpNet,
    /// The gateway, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// A route in a container, as a runtime is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteView {
    /// The destination.
    pub dst: IpNet,
    /// The gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// Unplug a container, or look at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DetachRequest {
    /// The runtime's id of the container.
    #[serde(rename = "containerID")]
    pub container_id: ContainerId,
    /// The name of its interface.
    pub interface: IfName,
}

/// An attachment as it should be, and how the kernel differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inspected {
    /// As it should be.
    pub attached: Attached,
    /// What the kernel lacks or has otherwise, in words; empty if all is well.
    pub differences: Vec<String>,
}

/// Change what may change of a container that is plugged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AmendRequest {
    /// The runtime's id of the container.
    #[serde(rename = "containerID")]
    pub container_id: ContainerId,
    /// The name of its interface.
    pub interface: IfName,
    /// Path of its sandbox, empty if it has left it; as it is if not given. Only where the runtime
    /// puts the interface there itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// Ports of the host that lead to it; as they are if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<PortMapping>>,
}

/// Take addresses of a network before there is an endpoint to use them. They are found by the
/// endpoint that is plugged in with `handover` and asks for them; those that none asks for within
/// minutes are free again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeRequest {
    /// The network.
    pub network: Name,
    /// The link-layer address of who will use them: who comes again under the same one gets the
    /// same addresses, while nobody else needed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// Addresses that it must be, at most one per family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Where other addresses must be from; anywhere in the network's pools if none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<AddressRange>,
}

/// Addresses that were taken: one for each family of the network's pools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taken {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
}

/// Give back what was taken and is not used; what is used, or not taken, stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GiveRequest {
    /// The network.
    pub network: Name,
    /// One of the addresses that were taken together.
    pub address: IpAddr,
}

/// Resources to be made so, as in files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyRequest {
    /// The resources, each with `apiVersion`, `kind`, `metadata` and `spec`.
    pub resources: Vec<Value>,
    /// Only say what would be done, or why it cannot be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// What applying did to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Applied {
    /// The resource.
    pub key: ResourceKey,
    /// What was done.
    pub action: ApplyAction,
}

/// What applying did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ApplyAction {
    /// It was not there before.
    Created,
    /// It was there, otherwise.
    Configured,
    /// It was there just so.
    Unchanged,
}

/// Resources to be deleted, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteRequest {
    /// Which ones; at most [`MOST_WRITES`].
    pub resources: Vec<ResourceKey>,
}

/// The most resources that are deleted at once: a transaction of etcd holds no more operations
/// (`--max-txn-ops`).
pub const MOST_WRITES: usize = 128;

/// One change, as a line of a watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum WatchLine {
    /// It is there, new or changed.
    Put {
        /// The resource.
        object: Value,
    },
    /// It is gone.
    Deleted {
        /// Which one.
        key: ResourceKey,
    },
}

/// How the node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Status {
    /// The node.
    pub node: Name,
    /// Version of the agent.
    pub version: String,
    /// What the store is, and whether it answers.
    pub store: StoreView,
    /// The store's newest revision that the agent has seen.
    pub seen_revision: i64,
    /// The revision that the kernel holds.
    pub applied_revision: i64,
    /// The underlay, with the reason for the choice.
    pub underlay: Vec<UnderlayView>,
    /// Nodes of the cluster, and whether their agents are alive.
    pub nodes: Vec<NodeView>,
    /// Endpoints on this node.
    pub endpoints: usize,
    /// Objects that the kernel holds of ours, by kind.
    pub objects: BTreeMap<String, usize>,
    /// Its BGP speaker; none where it speaks no BGP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp: Option<BgpState>,
    /// Its tunnel through user space; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<TunnelState>,
    /// What was repaired since the agent started, by kind.
    pub repaired: BTreeMap<String, u64>,
    /// What cannot be done as the resources ask, or failed, in words; empty if all is well.
    pub problems: Vec<String>,
}

/// The store, as the agent sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreView {
    /// `embedded`, or the addresses of the servers.
    pub place: String,
    /// Whether it answers.
    pub connected: bool,
    /// The last error, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How many containers were plugged in or out without it that it has not been told of yet.
    #[serde(default)]
    pub untold: usize,
}

/// An address of the underlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnderlayView {
    /// Address and prefix length.
    pub address: IpNet,
    /// The interface.
    pub interface: IfName,
    /// Its MTU.
    pub mtu: u32,
    /// Why it was chosen.
    pub reason: String,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeView {
    /// Its name.
    pub name: Name,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether its agent is alive, as far as the store knows; none if the store does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<bool>,
}

/// An object that the host should hold, and who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlannedObject {
    /// Where it is and which one, as `host route 10.244.3.0/26`.
    pub place: String,
    /// How it should be.
    pub object: String,
    /// The resource that asked for it.
    pub resource: ResourceKey,
    /// The planner's rule.
    pub rule: String,
}

/// Give an address back by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The address.
    pub address: IpAddr,
    /// Also if an endpoint uses it.
    #[serde(default)]
    pub force: bool,
}

/// Make a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// How long it is good for, in seconds.
    pub ttl: u64,
    /// How many nodes may join with it.
    pub uses: u32,
}

/// A token that was made; its secret is shown only this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    /// Its id.
    pub id: Name,
    /// The token.
    pub token: String,
    /// The command to type on the new node.
    pub command: String,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
}

/// Ask why an object is in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplainRequest {
    /// Words in the manner of `ip`, as `["route", "10.244.1.0/24"]`.
    pub question: Vec<String>,
    /// In which sandbox: an endpoint's name, its container's id with or without `/` and the
    /// interface, or the sandbox's path. The host's own namespace if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
}
