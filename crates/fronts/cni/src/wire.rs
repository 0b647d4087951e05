//! Environment and configuration, turned into a call.
//!
//! Everything that the runtime gives is checked here (SPEC 1.1.0, sections 1 and 2). What is
//! unknown: the specification's own and reserved keys are passed over, keys of other plugins are
//! refused with code 2, since an option that is silently ignored is worse than none.

mod environment;
mod runtime;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tombolo_api::{AddressRange, ValidAttachment};
use tombolo_model::kinds::policy::NamedPort;
use tombolo_model::{MacAddr, Name, PortMapping};

use crate::error::CniError;
pub use environment::Environment;
pub(crate) use environment::{Attachment, attachment, collection};
use environment::{cni_args, identity, pod_namespace};
use runtime::{Args, Runtime, addresses, ports};

/// The versions that are spoken.
pub(crate) const SUPPORTED: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// The largest configuration that is read, in bytes.
pub(crate) const MAX_INPUT: u64 = 1 << 20;

/// The configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub version: String,
    /// The configuration's own name.
    pub name: Name,
    pub network: Name,
    pub namespace: Option<Name>,
    pub socket: PathBuf,
    pub identity: Option<String>,
    pub addresses: Vec<IpAddr>,
    /// Where addresses must be from; anywhere in the network's pools if none is given.
    pub ranges: Vec<AddressRange>,
    pub mac: Option<MacAddr>,
    pub ports: Vec<PortMapping>,
    pub labels: BTreeMap<String, String>,
    pub profiles: Vec<Name>,
    pub named_ports: Vec<NamedPort>,
    pub dns: Option<Value>,
    pub prev_result: Option<Value>,
    /// What GC is to leave; none if the configuration does not say.
    pub valid: Option<Vec<ValidAttachment>>,
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

/// Keys that the specification and its conventions know, and what reads the list sees.
const KNOWN: [&str; 21] = [
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
    "labels",
    "profiles",
    "namedPorts",
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
    runtime.refuse_others()?;
    let args: Args = section(&map, "args")?;
    let words = cni_args(environment)?;
    let name: Name = needed(&map, "name")?;
    let network = field(&map, "network")?.unwrap_or_else(|| name.clone());
    Ok(Config {
        version,
        name,
        network,
        namespace: match field(&map, "namespace")? {
            Some(namespace) => Some(namespace),
            None => pod_namespace(&words)?,
        },
        socket: field::<PathBuf>(&map, "socket")?.unwrap_or(tombolo_api::DEFAULT_SOCKET.into()),
        identity: identity(environment, &words),
        addresses: addresses(&runtime, &args, &words)?,
        ranges: runtime.ranges()?,
        mac: match runtime.mac {
            Some(mac) => Some(mac),
            None => words
                .get("MAC")
                .map(|text| value_of("CNI_ARGS MAC", text))
                .transpose()?,
        },
        ports: ports(&runtime)?,
        labels: labels(&map, &args)?,
        profiles: said(args.cni.profiles, &map, "profiles")?,
        named_ports: said(args.cni.named_ports, &map, "namedPorts")?,
        dns: runtime
            .dns()
            .or_else(|| map.get("dns").filter(|dns| !dns.is_null()).cloned()),
        valid: field(&map, "cni.dev/valid-attachments")?,
        prev_result: map
            .get("prevResult")
            .filter(|result| !result.is_null())
            .cloned(),
    })
}

/// The configuration's labels, and those of this container, which go before them.
fn labels(map: &Map<String, Value>, args: &Args) -> Result<BTreeMap<String, String>, CniError> {
    let mut labels: BTreeMap<String, String> = section(map, "labels")?;
    let own = args.cni.labels.iter();
    labels.extend(own.map(|label| (label.key.clone(), label.value.clone())));
    Ok(labels)
}

/// What `args.cni` says of this container, else what the configuration says of all.
fn said<T: DeserializeOwned>(
    of_container: Option<Vec<T>>,
    map: &Map<String, Value>,
    name: &str,
) -> Result<Vec<T>, CniError> {
    match of_container {
        Some(list) => Ok(list),
        None => section(map, name),
    }
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

#[cfg(test)]
mod tests;
