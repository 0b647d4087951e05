//! Learned: the routes that a node has from its BGP peers, and how large a packet passes to others.
//!
//! Never in a store: each agent puts its own node's into its World, under the node's name, so that the
//! planner reads them as it reads everything else. Nobody writes one but for tests.
//!
//! There may be a hundred thousand routes, and a World is copied now and then: copies share them, and
//! routes with the same next hops share those.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::PeerIp;
use crate::names::IfName;
use crate::resource::FieldError;

/// What a node has found out, and nobody else knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Learned {
    /// No restart is being waited for: what is not here is gone. Otherwise these are the routes that
    /// the kernel held before.
    #[serde(default)]
    pub settled: bool,
    /// The routes, each prefix once, in order of their prefixes.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub routes: Arc<[LearnedRoute]>,
    /// The largest packet that its tunnel carries to an address of another node, without what the
    /// tunnel adds; where nothing is here, as large as the interfaces allow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub passes: BTreeMap<SocketAddr, u32>,
}

/// A route that came from peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LearnedRoute {
    /// The destination.
    pub prefix: IpNet,
    /// Where packets go next: several where they are equally good.
    pub next_hops: Arc<[LearnedHop]>,
}

/// Where packets go next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LearnedHop {
    /// The address that the peer told.
    pub address: IpAddr,
    /// The gateway that leads there, where the address is on no link of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The interface. Where none is given, the one in whose subnet the address is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<IfName>,
    /// The gateway is on the link though no address of the node says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
    /// The peer that told it; none of one that was kept over a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PeerIp>,
}

impl Learned {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            let mut fault = |field: &str, message: &str| {
                faults.push(FieldError::new(
                    format!("spec.routes[{index}].{field}"),
                    message,
                ));
            };
            if route.next_hops.is_empty() {
                fault("nextHops", "empty: a route leads somewhere");
            }
            if index > 0 && self.routes[index - 1].prefix >= route.prefix {
                fault("prefix", "not in order: each prefix once, the lower first");
            }
        }
        faults
    }
}
