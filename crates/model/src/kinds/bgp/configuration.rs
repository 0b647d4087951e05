//! BGPConfiguration: what holds for all of a cluster's speakers, or for one node's.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AsNumber, BgpPassword, Span};
use crate::names::Name;
use crate::resource::FieldError;

/// What holds for all of a cluster's speakers (`default`), or for one node's (`node.NAME`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BgpConfiguration {
    /// The autonomous system of nodes that say no other; 64512 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_number: Option<AsNumber>,
    /// Whether every node speaks with every other; if not given, as long as no node is a reflector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_to_node_mesh_enabled: Option<bool>,
    /// The key of sessions between nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_mesh_password: Option<BgpPassword>,
    /// How long peers wait for a node's return; 120 s if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_mesh_max_restart_time: Option<Span>,
    /// How long routes of a peer that has not come back in time are kept as a last resort (RFC 9494); not at
    /// all if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_lived_stale_time: Option<Span>,
    /// The port that speakers listen on; 179 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_port: Option<u16>,
    /// Communities with names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<NamedCommunity>,
    /// What is told with our prefixes in these ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefix_advertisements: Vec<PrefixAdvertisement>,
    /// Ranges of services' addresses inside the cluster, which every node announces.
    #[serde(
        default,
        rename = "serviceClusterIPs",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub service_cluster_ips: Vec<ServiceRange>,
    /// Ranges of services' external addresses, which every node announces.
    #[serde(
        default,
        rename = "serviceExternalIPs",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub service_external_ips: Vec<ServiceRange>,
    /// Ranges of load balancers' addresses, which every node announces.
    #[serde(
        default,
        rename = "serviceLoadBalancerIPs",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub service_load_balancer_ips: Vec<ServiceRange>,
    /// Fast detection that another node is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BfdChoice>,
    /// At most so many equally good paths are used at once; 16 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipath: Option<u8>,
    /// What is let in that usually is not.
    #[serde(default, skip_serializing_if = "is_default")]
    pub import: BgpImport,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A community and the name that it is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedCommunity {
    /// The name.
    pub name: String,
    /// `65000:1`, or `65000:1:2` for a large one.
    pub value: String,
}

/// What is told with our prefixes in a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrefixAdvertisement {
    /// The range.
    pub cidr: IpNet,
    /// Communities, by their names or themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<String>,
}

/// A range of services' addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRange {
    /// The range.
    pub cidr: IpNet,
}

/// Whether and how the loss of a peer is detected by BFD: `true`, or how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum BfdChoice {
    /// Not.
    Off,
    /// By packets at an interval; after so many that are missing the peer is gone.
    On {
        /// Between two packets, both ways.
        interval: Span,
        /// How many.
        multiplier: u8,
    },
}

/// What is let in that usually is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BgpImport {
    /// A default route.
    #[serde(default)]
    pub default_route: bool,
    /// Routes that cover a pool of ours, or lie in one and are of no block that we know.
    #[serde(default)]
    pub pools: bool,
}

impl BfdChoice {
    /// 300 ms, three times.
    #[must_use]
    pub fn usual() -> BfdChoice {
        BfdChoice::On {
            interval: Span(std::time::Duration::from_millis(300)),
            multiplier: 3,
        }
    }
}

impl TryFrom<Value> for BfdChoice {
    type Error = String;

    fn try_from(value: Value) -> Result<BfdChoice, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Given {
            interval: Option<Span>,
            multiplier: Option<u8>,
        }
        match value {
            Value::Bool(false) => Ok(BfdChoice::Off),
            Value::Bool(true) => Ok(BfdChoice::usual()),
            value @ Value::Object(_) => {
                let given: Given = serde_json::from_value(value).map_err(|e| e.to_string())?;
                let usual = Span(std::time::Duration::from_millis(300));
                let (interval, multiplier) = (
                    given.interval.unwrap_or(usual),
                    given.multiplier.unwrap_or(3),
                );
                let millis = interval.0.as_millis();
                if !(10..=60_000).contains(&millis) || multiplier == 0 {
                    return Err(format!(
                        "{interval} times {multiplier} is not allowed: the interval is 10ms to 60s, \
                         the multiplier 1 to 255"
                    ));
                }
                Ok(BfdChoice::On {
                    interval,
                    multiplier,
                })
            }
            other => Err(format!(
                "{other} is neither true nor false nor a map of interval and multiplier"
            )),
        }
    }
}

impl From<BfdChoice> for Value {
    fn from(choice: BfdChoice) -> Value {
        match choice {
            BfdChoice::Off => false.into(),
            BfdChoice::On {
                interval,
                multiplier,
            } => serde_json::json!({"interval": interval, "multiplier": multiplier}),
        }
    }
}

impl BgpConfiguration {
    /// The name of the one that holds for all nodes.
    pub const DEFAULT: &'static str = "default";

    /// The name of the one that holds for a node.
    #[must_use]
    pub fn name_of(node: &Name) -> String {
        format!("node.{node}")
    }

    /// A community by its name or itself, as it is written in numbers.
    #[must_use]
    pub fn community<'a>(&'a self, word: &'a str) -> &'a str {
        let named = self.communities.iter().find(|named| named.name == word);
        named.map_or(word, |named| &named.value)
    }

    /// The ranges of services, with the fields that they are in.
    pub fn service_ranges(&self) -> impl Iterator<Item = (&'static str, usize, IpNet)> {
        let lists = [
            ("serviceClusterIPs", &self.service_cluster_ips),
            ("serviceExternalIPs", &self.service_external_ips),
            ("serviceLoadBalancerIPs", &self.service_load_balancer_ips),
        ];
        let ranges = |(field, list): (&'static str, &Vec<ServiceRange>)| {
            let cidrs: Vec<IpNet> = list.iter().map(|range| range.cidr).collect();
            cidrs
                .into_iter()
                .enumerate()
                .map(move |(index, cidr)| (field, index, cidr))
        };
        lists.into_iter().flat_map(ranges)
    }

    /// What may not be in the configuration of one node, since it is all nodes'.
    #[must_use]
    pub fn only_for_all(&self) -> Vec<&'static str> {
        let given = [
            ("asNumber", self.as_number.is_some()),
            (
                "nodeToNodeMeshEnabled",
                self.node_to_node_mesh_enabled.is_some(),
            ),
            ("nodeMeshPassword", self.node_mesh_password.is_some()),
        ];
        let given = given.into_iter().filter(|(_, given)| *given);
        given.map(|(field, _)| field).collect()
    }

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let mut fault = |field: String, message: String| {
            faults.push(FieldError::new(format!("spec.{field}"), message));
        };
        if let Some(password) = self
            .node_mesh_password
            .as_ref()
            .and_then(BgpPassword::fault)
        {
            fault("nodeMeshPassword".into(), password);
        }
        if let Some(message) = self.node_mesh_max_restart_time.and_then(restart_fault) {
            fault("nodeMeshMaxRestartTime".into(), message);
        }
        if let Some(message) = self.long_lived_stale_time.and_then(stale_fault) {
            fault("longLivedStaleTime".into(), message);
        }
        if self.listen_port == Some(0) {
            fault("listenPort".into(), "0 is no port; 1 to 65535".into());
        }
        if self.multipath == Some(0) {
            fault("multipath".into(), "0 is not allowed: at least 1".into());
        }
        for (index, named) in self.communities.iter().enumerate() {
            if !is_community(&named.value) {
                fault(
                    format!("communities[{index}].value"),
                    no_community(&named.value),
                );
            }
        }
        for (index, advertised) in self.prefix_advertisements.iter().enumerate() {
            let at = format!("prefixAdvertisements[{index}]");
            if let Some(message) = masked_fault(advertised.cidr) {
                fault(format!("{at}.cidr"), message);
            }
            for (place, word) in advertised.communities.iter().enumerate() {
                if !is_community(self.community(word)) {
                    let message = format!("{}, or one of spec.communities", no_community(word));
                    fault(format!("{at}.communities[{place}]"), message);
                }
            }
        }
        for (field, index, cidr) in self.service_ranges() {
            if let Some(message) = masked_fault(cidr) {
                fault(format!("{field}[{index}].cidr"), message);
            }
        }
        faults
    }
}

/// What is wrong with a restart time: it has twelve bits (RFC 4724 section 3).
pub(super) fn restart_fault(span: Span) -> Option<String> {
    (span.0.as_secs() > 4095).then(|| format!("{span} is not allowed: at most 4095s"))
}

/// What is wrong with a long-lived stale time: it has twenty-four bits (RFC 9494 section 3.1).
pub(super) fn stale_fault(span: Span) -> Option<String> {
    (span.0.as_secs() >= 1 << 24).then(|| format!("{span} is not allowed: at most 16777215s"))
}

fn masked_fault(cidr: IpNet) -> Option<String> {
    let message = format!(
        "{cidr} has bits set below its prefix; write {}",
        cidr.trunc()
    );
    (cidr.trunc() != cidr).then_some(message)
}

fn no_community(text: &str) -> String {
    format!("{text:?} is no community: write it as 65000:1, or as 65000:1:2 for a large one")
}

fn is_community(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.len() {
        2 => parts.iter().all(|part| part.parse::<u16>().is_ok()),
        3 => parts.iter().all(|part| part.parse::<u32>().is_ok()),
        _ => false,
    }
}
