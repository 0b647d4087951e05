//! Environment and configuration, turned into a call.
//!
//! Everything that the runtime gives is checked here (SPEC 1.1.0, sections 1 and 2). What is
//! unknown: the specification's own and reserved keys are passed over, keys of other plugins are
//! refused with code 2, since an option that is silently ignored is worse than none.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tombolo_model::{ContainerId, IfName, MacAddr, Name, PortMapping, Protocol};

use crate::error::CniError;

/// The versions that are spoken.
pub(crate) const SUPPORTED: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// The largest configuration that is read, in bytes.
pub(crate) const MAX_INPUT: u64 = 1 << 20;

/// The environment.
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub fn of_process() -> Environment {
        let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
        Environment(
            std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        )
    }

    #[cfg(test)]
    pub fn of(pairs: &[(&str, &str)]) -> Environment {
        Environment(
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// What is to be done to which attachment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attachment {
    pub container: ContainerId,
    pub interface: IfName,
    /// `CNI_NETNS`; DEL may come without it.
    pub netns: Option<String>,
}

/// The configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub version: String,
    pub network: Name,
    pub namespace: Option<Name>,
    pub socket: PathBuf,
    pub identity: Option<String>,
    pub addresses: Vec<IpAddr>,
    pub mac: Option<MacAddr>,
    pub ports: Vec<PortMapping>,
    pub labels: BTreeMap<String, String>,
    pub dns: Option<Value>,
    pub prev_result: Option<Value>,
}

/// The version that the input names, for errors about the input; the oldest if it names none.
pub(crate) fn version_of(input: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(input).ok();
    let version = value
        .as_ref()
        .and_then(|v| v.get("cniVersion"))
        .and_then(Value::as_str);
    version.unwrap_or("0.1.0").to_owned()
}

/// Reads the variables that a command needs. All that are missing or wrong are named at once.
pub(crate) fn attachment(
    environment: &Environment,
    command: &str,
    needs_netns: bool,
) -> Result<Attachment, CniError> {
    let mut wrong = Vec::new();
    let mut take = |name: &str, needed: bool| match environment.get(name) {
        Some(value) if !value.is_empty() => Some(value.to_owned()),
        _ => {
            if needed {
                wrong.push(format!("{name} is missing"));
            }
            None
        }
    };
    let container = take("CNI_CONTAINERID", true);
    let netns = take("CNI_NETNS", needs_netns);
    let interface = take("CNI_IFNAME", true);
    let container = parsed("CNI_CONTAINERID", container, &mut wrong);
    let interface = parsed("CNI_IFNAME", interface, &mut wrong);
    match (container, interface) {
        (Some(container), Some(interface)) if wrong.is_empty() => Ok(Attachment {
            container,
            interface,
            netns,
        }),
        _ => Err(CniError::Environment(format!(
            "{command}: {}",
            wrong.join("; ")
        ))),
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<String>,
    wrong: &mut Vec<String>,
) -> Option<T> {
    match text?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            wrong.push(format!("{name}: {error}"));
            None
        }
    }
}

/// Keys that the specification and its conventions know, and what reads the list sees.
const KNOWN: [&str; 18] = [
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "plugins",
    "capabilities",
    "runtimeConfig",
    "args",
    "prevResult",
    "dns",
    "ipam",
    "network",
    "namespace",
    "socket",
    "ipMasq",
];

/// All that DEL needs of the configuration: where the agent listens. What ADD would refuse must not
/// keep an attachment from being undone.
pub(crate) fn socket(input: &[u8]) -> Result<PathBuf, CniError> {
    let map = object(input)?;
    version(&map)?;
    Ok(field::<PathBuf>(&map, "socket")?.unwrap_or(tombolo_api::DEFAULT_SOCKET.into()))
}

/// The configuration as an object.
fn object(input: &[u8]) -> Result<Map<String, Value>, CniError> {
    if input.len() as u64 > MAX_INPUT {
        return Err(CniError::Decode(
            "the configuration is larger than 1 MiB".to_owned(),
        ));
    }
    let value: Value = serde_json::from_slice(input)
        .map_err(|e| CniError::Decode(format!("the configuration is no JSON: {e}")))?;
    match value {
        Value::Object(map) => Ok(map),
        other => Err(CniError::Decode(format!(
            "the configuration is no object: {other}"
        ))),
    }
}

/// Reads the configuration.
pub(crate) fn config(environment: &Environment, input: &[u8]) -> Result<Config, CniError> {
    let map = object(input)?;
    let version = version(&map)?;
    refuse_unknown(&map)?;
    refuse_slash(&map, "type", map.get("type"))?;
    ipam(&map)?;
    let runtime: Runtime = section(&map, "runtimeConfig")?;
    let args: Args = section(&map, "args")?;
    let words = cni_args(environment)?;
    let name: Name = needed(&map, "name")?;
    let network = field(&map, "network")?.unwrap_or(name);
    Ok(Config {
        version,
        network,
        namespace: field(&map, "namespace")?,
        socket: field::<PathBuf>(&map, "socket")?.unwrap_or(tombolo_api::DEFAULT_SOCKET.into()),
        identity: identity(environment, &words),
        addresses: addresses(&runtime, &args, &words)?,
        mac: match runtime.mac {
            Some(mac) => Some(mac),
            None => words
                .get("MAC")
                .map(|text| value_of("CNI_ARGS MAC", text))
                .transpose()?,
        },
        ports: ports(&runtime)?,
        labels: args
            .cni
            .labels
            .into_iter()
            .map(|label| (label.key, label.value))
            .collect(),
        dns: map.get("dns").filter(|dns| !dns.is_null()).cloned(),
        prev_result: map
            .get("prevResult")
            .filter(|result| !result.is_null())
            .cloned(),
    })
}

fn version(map: &Map<String, Value>) -> Result<String, CniError> {
    let version = match map.get("cniVersion") {
        Some(Value::String(version)) => version.as_str(),
        Some(other) => {
            return Err(CniError::Decode(format!(
                "cniVersion is {other}, not a text"
            )));
        }
        None => "0.1.0",
    };
    if SUPPORTED.contains(&version) {
        return Ok(version.to_owned());
    }
    Err(CniError::Version(format!(
        "cniVersion {version:?} is not supported; this plugin speaks {}",
        SUPPORTED.join(", ")
    )))
}

fn refuse_unknown(map: &Map<String, Value>) -> Result<(), CniError> {
    let unknown = map
        .iter()
        .find(|(key, _)| !KNOWN.contains(&key.as_str()) && !key.starts_with("cni.dev/"));
    match unknown {
        None => Ok(()),
        Some((key, value)) => Err(CniError::Field(format!(
            "field {key:?} with value {value} is not supported by tombolo-cni; how containers are plugged in is said by the network's resource (`tombolo get networks`)"
        ))),
    }
}

fn refuse_slash(_: &Map<String, Value>, name: &str, value: Option<&Value>) -> Result<(), CniError> {
    match value {
        Some(Value::String(text)) if text.contains(['/', '\\']) => Err(CniError::Config(format!(
            "{name} {text:?} must not contain a slash or backslash"
        ))),
        _ => Ok(()),
    }
}

/// Addresses come from Tombolo's pools; no other plugin is asked for them.
fn ipam(map: &Map<String, Value>) -> Result<(), CniError> {
    let Some(ipam) = map.get("ipam").filter(|ipam| !ipam.is_null()) else {
        return Ok(());
    };
    let kind = ipam.get("type");
    refuse_slash(map, "ipam.type", kind)?;
    match kind {
        None => Ok(()),
        Some(Value::String(kind)) if kind.is_empty() || kind == "tombolo" => Ok(()),
        Some(kind) => Err(CniError::Field(format!(
            "field \"ipam.type\" with value {kind} is not supported: addresses come from the pools of the network's resource; remove ipam"
        ))),
    }
}

fn needed<T: DeserializeOwned>(map: &Map<String, Value>, name: &str) -> Result<T, CniError> {
    field(map, name)?.ok_or_else(|| CniError::Config(format!("{name} is missing")))
}

fn field<T: DeserializeOwned>(map: &Map<String, Value>, name: &str) -> Result<Option<T>, CniError> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value_from(name, value).map(Some),
    }
}

fn section<T: DeserializeOwned + Default>(
    map: &Map<String, Value>,
    name: &str,
) -> Result<T, CniError> {
    Ok(field(map, name)?.unwrap_or_default())
}

fn value_from<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, CniError> {
    T::deserialize(value).map_err(|e| CniError::Config(format!("{name} {value}: {e}")))
}

fn value_of<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: &str,
) -> Result<T, CniError> {
    text.parse()
        .map_err(|e| CniError::Environment(format!("{name} {text:?}: {e}")))
}

/// What a runtime passes for the capabilities that the list declares (CONVENTIONS.md). Others are
/// the runtime's own business.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    #[serde(default)]
    port_mappings: Vec<RuntimePort>,
    #[serde(default)]
    ips: Vec<String>,
    #[serde(default)]
    mac: Option<MacAddr>,
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
struct Args {
    #[serde(default)]
    cni: CniSection,
}

#[derive(Debug, Default, Deserialize)]
struct CniSection {
    #[serde(default)]
    ips: Vec<String>,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Debug, Deserialize)]
struct Label {
    key: String,
    value: String,
}

fn ports(runtime: &Runtime) -> Result<Vec<PortMapping>, CniError> {
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
fn addresses(
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

/// `CNI_ARGS`: `NAME=VALUE;NAME=VALUE`.
fn cni_args(environment: &Environment) -> Result<BTreeMap<String, String>, CniError> {
    let text = environment.get("CNI_ARGS").unwrap_or_default();
    text.split(';')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                CniError::Environment(format!("CNI_ARGS: {pair:?} is not NAME=VALUE"))
            })?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Who a container is beyond its id: Kubernetes tells namespace and name of the pod.
fn identity(environment: &Environment, words: &BTreeMap<String, String>) -> Option<String> {
    let namespace = words
        .get("K8S_POD_NAMESPACE")
        .filter(|text| !text.is_empty())?;
    let name = words.get("K8S_POD_NAME").filter(|text| !text.is_empty())?;
    let interface = environment.get("CNI_IFNAME").unwrap_or_default();
    Some(format!("{namespace}/{name}/{interface}"))
}

#[cfg(test)]
mod tests;
