//! What a runtime passes beside the configuration: capabilities and `args` (CONVENTIONS.md).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};
use tombolo_api::AddressRange;
use tombolo_model::kinds::policy::NamedPort;
use tombolo_model::{MacAddr, Name, PortMapping, Protocol};

use crate::error::CniError;

/// What a runtime passes for the capabilities that the list declares (CONVENTIONS.md). Others are
/// the runtime's own business.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Runtime {
    #[serde(default)]
    port_mappings: Vec<RuntimePort>,
    #[serde(default)]
    ips: Vec<String>,
    #[serde(default)]
    pub mac: Option<MacAddr>,
    #[serde(default)]
    ip_ranges: Vec<Vec<RuntimeRange>>,
    #[serde(default)]
    dns: Option<RuntimeDns>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// What needs a device or a shaper that we do not have. To pass it over would be to lie.
const NOT_OURS: [&str; 3] = ["bandwidth", "infinibandGUID", "deviceID"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuntimeRange {
    subnet: IpNet,
    range_start: Option<IpAddr>,
    range_end: Option<IpAddr>,
    gateway: Option<IpAddr>,
}

#[derive(Debug, Deserialize)]
struct RuntimeDns {
    #[serde(default)]
    servers: Vec<String>,
    #[serde(default)]
    searches: Vec<String>,
    #[serde(default)]
    options: Vec<String>,
}

impl Runtime {
    /// Refuses what is asked for and cannot be had.
    pub fn refuse_others(&self) -> Result<(), CniError> {
        match self
            .others
            .iter()
            .find(|(name, _)| NOT_OURS.contains(&name.as_str()))
        {
            None => Ok(()),
            Some((name, value)) => Err(CniError::Field(format!(
                "field \"runtimeConfig.{name}\" with value {value} is not supported by tombolo-cni; take capability {name} out of its entry in the list, and put a plugin that has it behind it"
            ))),
        }
    }

    /// The ranges that addresses must be from.
    pub fn ranges(&self) -> Result<Vec<AddressRange>, CniError> {
        let ranges = self.ip_ranges.iter().flatten();
        ranges.map(RuntimeRange::range).collect()
    }

    /// What the result says of name servers, in the words of results.
    pub fn dns(&self) -> Option<Value> {
        let dns = self.dns.as_ref()?;
        let mut value = Map::new();
        for (name, list) in [
            ("nameservers", &dns.servers),
            ("search", &dns.searches),
            ("options", &dns.options),
        ] {
            if !list.is_empty() {
                value.insert(name.to_owned(), list.as_slice().into());
            }
        }
        Some(Value::Object(value))
    }
}

impl RuntimeRange {
    fn range(&self) -> Result<AddressRange, CniError> {
        let wrong = |text: String| CniError::Config(format!("runtimeConfig.ipRanges: {text}"));
        if let Some(gateway) = self.gateway {
            return Err(wrong(format!(
                "gateway {gateway} cannot be chosen: the network's driver says which it is; leave it out"
            )));
        }
        let first = self.range_start.unwrap_or(self.subnet.network());
        let last = self.range_end.unwrap_or(self.subnet.broadcast());
        for end in [first, last] {
            if !self.subnet.contains(&end) {
                return Err(wrong(format!("{end} is not in subnet {}", self.subnet)));
            }
        }
        if first > last {
            return Err(wrong(format!("{first} is behind {last}")));
        }
        Ok(AddressRange { first, last })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimePort {
    host_port: u16,
    container_port: u16,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default, rename = "hostIP")]
    host_ip: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Args {
    #[serde(default)]
    pub cni: CniSection,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct CniSection {
    #[serde(default)]
    ips: Vec<String>,
    #[serde(default)]
    pub labels: Vec<Label>,
    pub profiles: Option<Vec<Name>>,
    #[serde(rename = "namedPorts")]
    pub named_ports: Option<Vec<NamedPort>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Label {
    pub key: String,
    pub value: String,
}

pub(super) fn ports(runtime: &Runtime) -> Result<Vec<PortMapping>, CniError> {
    let wrong = |text: String| CniError::Config(format!("runtimeConfig.portMappings: {text}"));
    let mut ports = Vec::new();
    for port in &runtime.port_mappings {
        // A host port of 0 asks for none (as the reference plugin reads it).
        if port.host_port == 0 {
            continue;
        }
        let protocol = port
            .protocol
            .as_deref()
            .unwrap_or("tcp")
            .to_ascii_lowercase();
        let host_ip = port.host_ip.as_deref().filter(|ip| !ip.is_empty());
        ports.push(PortMapping {
            host_port: port.host_port,
            container_port: port.container_port,
            protocol: match protocol.as_str() {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                "sctp" => Protocol::Sctp,
                _ => {
                    return Err(wrong(format!(
                        "protocol {protocol:?} is not tcp, udp or sctp"
                    )));
                }
            },
            host_ip: host_ip
                .map(str::parse)
                .transpose()
                .map_err(|_| wrong(format!("hostIP {host_ip:?} is no address")))?,
        });
    }
    Ok(ports)
}

/// Wanted addresses: what the runtime passes by capability or `args` goes before CNI_ARGS.
pub(super) fn addresses(
    runtime: &Runtime,
    args: &Args,
    words: &BTreeMap<String, String>,
) -> Result<Vec<IpAddr>, CniError> {
    let address = |text: &str| {
        text.split('/')
            .next()
            .unwrap_or_default()
            .parse::<IpAddr>()
            .ok()
    };
    for (name, list) in [
        ("runtimeConfig.ips", &runtime.ips),
        ("args.cni.ips", &args.cni.ips),
    ] {
        if !list.is_empty() {
            return list
                .iter()
                .map(|text| {
                    address(text)
                        .ok_or_else(|| CniError::Config(format!("{name}: {text:?} is no address")))
                })
                .collect();
        }
    }
    let listed = words.get("IP").map(String::as_str).unwrap_or_default();
    listed
        .split(',')
        .filter(|text| !text.is_empty())
        .map(|text| {
            address(text).ok_or_else(|| {
                CniError::Environment(format!("CNI_ARGS IP: {text:?} is no address"))
            })
        })
        .collect()
}
