//! Network: endpoints that can reach each other, and how.
//!
//! `driver` says how a network works: an attachment, which is how an endpoint is plugged into its
//! host, and whether there is a transport between hosts. Which drivers and transports there are is
//! the planner's knowledge; here they are names, and a transport's own options are kept as they
//! were given, so that adding a transport does not touch this crate.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fan::Fan;
use super::physical::{Ipvlan, Macvlan, Physical, Vlan};
use crate::names::Name;
use crate::net::{Family, Mtu};
use crate::resource::FieldError;

/// Endpoints that can reach each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// How it works: `routed`, `overlay`, `bridge`, `ptp`, `fan`, `macvlan`, `ipvlan`,
    /// `vlan`, `none`, `host` or `container`.
    pub driver: Name,
    /// How packets leave for another node; only for drivers that span nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportSpec>,
    /// The pools that its addresses come from, in order of preference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<Name>,
    /// Where its endpoints send what leaves the network, at most one address a family; the driver's
    /// choice if none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateway: Vec<IpAddr>,
    /// No way leads out of it: its endpoints reach each other and nobody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Whether its endpoints and those of other networks reach each other without a policy.
    #[serde(default, skip_serializing_if = "Isolation::is_network")]
    pub isolation: Isolation,
    /// Whether its endpoints' connections are tracked before there is any policy.
    #[serde(default, skip_serializing_if = "Tracking::is_always")]
    pub tracking: Tracking,
    /// The largest packet of its endpoints: `auto` or a number of bytes.
    #[serde(default)]
    pub mtu: MtuChoice,
    /// Which of the node's addresses is used to reach peers that have both families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underlay: Option<Family>,
    /// How blocks follow from nodes' addresses; only for driver `fan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fan: Option<Fan>,
    /// How its containers are put on a physical network; only for driver `macvlan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macvlan: Option<Macvlan>,
    /// The same for driver `ipvlan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipvlan: Option<Ipvlan>,
    /// The same for driver `vlan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
}

/// Whether endpoints of different networks reach each other without a policy that allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// No: only a rule that allows it lets packets of another network in.
    #[default]
    Network,
    /// Yes, with every other network that says so too.
    None,
}

impl Isolation {
    fn is_network(&self) -> bool {
        *self == Isolation::Network
    }
}

/// Whether connections of endpoints are tracked that nobody judges yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tracking {
    /// Yes: the first policy of all finds the connections that exist, and who began them.
    #[default]
    Always,
    /// Only when a policy or a translation needs it: packets are cheaper, and connections that are older
    /// than the first policy of all are judged by whichever of their packets comes first.
    Needed,
}

impl Tracking {
    fn is_always(&self) -> bool {
        *self == Tracking::Always
    }
}

/// How packets leave for another node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct TransportSpec {
    /// The transport's name, as `vxlan`.
    pub name: Name,
    /// Use it only for nodes in another subnet of the underlay; nodes in the same one are reached
    /// without encapsulation.
    pub cross_subnet: bool,
    /// The transport's own options, as `vni`.
    pub options: Map<String, Value>,
}

impl TryFrom<Map<String, Value>> for TransportSpec {
    type Error = String;

    fn try_from(mut options: Map<String, Value>) -> Result<TransportSpec, String> {
        let name = match options.remove("type") {
            Some(Value::String(text)) => Name::new(text).map_err(|e| format!("type: {e}"))?,
            Some(other) => return Err(format!("type: {other} is not a name such as vxlan")),
            None => return Err("type: missing; name a transport such as vxlan or direct".into()),
        };
        let cross_subnet = match options.remove("crossSubnet") {
            None => false,
            Some(Value::Bool(value)) => value,
            Some(other) => return Err(format!("crossSubnet: {other} is neither true nor false")),
        };
        Ok(TransportSpec {
            name,
            cross_subnet,
            options,
        })
    }
}

impl From<TransportSpec> for Map<String, Value> {
    fn from(spec: TransportSpec) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("type".into(), Value::String(spec.name.into()));
        if spec.cross_subnet {
            map.insert("crossSubnet".into(), Value::Bool(true));
        }
        map.extend(spec.options);
        map
    }
}

impl TransportSpec {
    /// A transport without options.
    #[must_use]
    pub fn named(name: Name) -> TransportSpec {
        TransportSpec {
            name,
            cross_subnet: false,
            options: Map::new(),
        }
    }

    /// The same transport for every peer: what is left is what both ends must agree on.
    #[must_use]
    pub fn everywhere(&self) -> TransportSpec {
        TransportSpec {
            cross_subnet: false,
            ..self.clone()
        }
    }
}

impl std::fmt::Display for TransportSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.name)?;
        if self.cross_subnet {
            write!(f, "/crossSubnet")?;
        }
        for (name, value) in &self.options {
            write!(f, "/{name}={value}")?;
        }
        Ok(())
    }
}

/// `auto`, or a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum MtuChoice {
    /// The underlay's, less the transport's overhead.
    #[default]
    Auto,
    /// Exactly this.
    Fixed(Mtu),
}

impl TryFrom<Value> for MtuChoice {
    type Error = String;

    fn try_from(value: Value) -> Result<MtuChoice, String> {
        match &value {
            Value::String(text) if text == "auto" => Ok(MtuChoice::Auto),
            Value::Number(number) if number.is_u64() => {
                let bytes = number.as_u64().unwrap_or_default();
                Mtu::new(bytes)
                    .map(MtuChoice::Fixed)
                    .map_err(|e| e.to_string())
            }
            other => Err(format!("{other} is neither \"auto\" nor a number of bytes")),
        }
    }
}

impl From<MtuChoice> for Value {
    fn from(choice: MtuChoice) -> Value {
        match choice {
            MtuChoice::Auto => "auto".into(),
            MtuChoice::Fixed(mtu) => mtu.get().into(),
        }
    }
}

impl Network {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        for (index, pool) in self.pools.iter().enumerate() {
            if self.pools[..index].contains(pool) {
                faults.push(FieldError::new(
                    format!("spec.pools[{index}]"),
                    format!("{pool:?} is listed twice"),
                ));
            }
        }
        for (index, gateway) in self.gateway.iter().enumerate() {
            let family = Family::of(*gateway);
            if self.gateway[..index]
                .iter()
                .any(|g| Family::of(*g) == family)
            {
                faults.push(FieldError::new(
                    format!("spec.gateway[{index}]"),
                    format!("{gateway} is a second {family} gateway; a network has one a family"),
                ));
            }
        }
        faults.extend(self.macvlan.as_ref().and_then(Macvlan::faults));
        faults.extend(self.ipvlan.as_ref().and_then(Ipvlan::faults));
        faults.extend(self.vlan.as_ref().and_then(Vlan::faults));
        faults
    }

    /// How its containers are put on a physical network, if they are.
    #[must_use]
    pub fn physical(&self) -> Option<Physical> {
        let macvlan = self.macvlan.as_ref().map(Macvlan::physical);
        let ipvlan = || self.ipvlan.as_ref().map(Ipvlan::physical);
        let vlan = || self.vlan.as_ref().map(Vlan::physical);
        macvlan.or_else(ipvlan).or_else(vlan)
    }

    /// The router of its segment in a family; none for a network without a way out.
    #[must_use]
    pub fn way_out(&self, family: Family) -> Option<IpAddr> {
        let mut gateways = self.gateway.iter().copied();
        gateways.find(|gateway| !self.internal && Family::of(*gateway) == family)
    }
}

/// Whether two prefixes share an address.
#[must_use]
pub(crate) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}
