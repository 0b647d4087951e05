//! The commands: ADD, DEL, CHECK, GC, STATUS, VERSION.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tombolo_api::{
    AttachRequest, Attached, Client, CollectRequest, DetachRequest, Inspected, Readiness,
    ReadyRequest,
};

use crate::error::CniError;
use crate::result;
use crate::wire::{self, Attachment, Config, Environment, SUPPORTED};

/// How long the agent may take. It answers within 20 s by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may be silent before it is asked whether it is alive, and how long for that. On a
/// machine that is overloaded an agent that works may need most of it.
const SILENCE: Duration = Duration::from_millis(1500);

/// Does what `CNI_COMMAND` says, and answers what belongs on the standard output.
pub(crate) fn run(environment: &Environment, input: &[u8]) -> Result<String, CniError> {
    match environment.get("CNI_COMMAND").unwrap_or_default() {
        "VERSION" => Ok(versions(input)),
        "ADD" => {
            let attachment = wire::attachment(environment, "ADD", true)?;
            add(environment, &attachment, &wire::config(environment, input)?)
        }
        "DEL" => {
            let attachment = wire::attachment(environment, "DEL", false)?;
            del(&attachment, &wire::socket(input)?)
        }
        "CHECK" => {
            let attachment = wire::attachment(environment, "CHECK", true)?;
            check(&attachment, &wire::config(environment, input)?)
        }
        "GC" => {
            wire::collection(environment)?;
            collect(&wire::config(environment, input)?)
        }
        "STATUS" => status(&wire::config(environment, input)?),
        other => Err(CniError::Environment(format!(
            "CNI_COMMAND {other:?} is not known here; there are ADD, DEL, CHECK, GC, STATUS, VERSION"
        ))),
    }
}

fn versions(input: &[u8]) -> String {
    json!({"cniVersion": wire::version_of(input), "supportedVersions": SUPPORTED}).to_string()
}

fn add(
    environment: &Environment,
    attachment: &Attachment,
    config: &Config,
) -> Result<String, CniError> {
    let netns = attachment.netns.clone().unwrap_or_default();
    refuse_own(environment, &netns)?;
    let request = AttachRequest {
        handover: false,
        container_id: attachment.container.clone(),
        interface: attachment.interface.clone(),
        sandbox: netns.clone(),
        network: config.network.clone(),
        configuration: Some(config.name.clone()),
        sandbox_id: None,
        namespace: config.namespace.clone(),
        identity: config.identity.clone(),
        addresses: config.addresses.clone(),
        ranges: config.ranges.clone(),
        mac: config.mac,
        ports: config.ports.clone(),
        labels: config.labels.clone(),
        profiles: config.profiles.clone(),
        named_ports: config.named_ports.clone(),
    };
    let attached: Attached = client(&config.socket).post("/v1/attach", &request)?;
    result::of(&attached, &netns, config)
}

/// The plugin's own namespace is the host's: an interface there would not be a container's.
fn refuse_own(environment: &Environment, netns: &str) -> Result<(), CniError> {
    use std::os::unix::fs::MetadataExt;
    let override_asked = matches!(
        environment.get("CNI_NETNS_OVERRIDE"),
        Some("1" | "true" | "TRUE" | "True")
    );
    let identity = |path: &str| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let own = identity("/proc/self/ns/net");
    if !override_asked && own.is_some() && identity(netns) == own {
        return Err(CniError::OwnNetns(format!(
            "CNI_NETNS {netns} is the plugin's own network namespace; give the container's"
        )));
    }
    Ok(())
}

fn del(attachment: &Attachment, socket: &Path) -> Result<String, CniError> {
    client(socket).post::<()>("/v1/detach", &request(attachment))?;
    Ok(String::new())
}

fn request(attachment: &Attachment) -> DetachRequest {
    DetachRequest {
        container_id: attachment.container.clone(),
        interface: attachment.interface.clone(),
    }
}

fn check(attachment: &Attachment, config: &Config) -> Result<String, CniError> {
    needs_version("CHECK", "0.4.0", config)?;
    let Some(previous) = &config.prev_result else {
        return Err(CniError::Config(
            "CHECK needs prevResult, the result of ADD".to_owned(),
        ));
    };
    let inspected: Result<Inspected, _> =
        client(&config.socket).post("/v1/inspect", &request(attachment));
    let inspected = match inspected {
        Err(tombolo_api::ClientError::Fault(fault))
            if fault.kind == tombolo_api::FaultKind::NotFound =>
        {
            return Err(CniError::UnknownContainer(fault.to_string()));
        }
        other => other?,
    };
    let mut faults = inspected.differences.clone();
    let netns = attachment.netns.as_deref().unwrap_or_default();
    let interface = attachment.interface.as_str();
    faults.extend(unlike(&inspected.attached, previous, interface, netns));
    match faults.as_slice() {
        [] => Ok(String::new()),
        [one] => Err(CniError::Check(one.clone())),
        many => Err(CniError::Check(format!(
            "{} faults\n{}",
            many.len(),
            many.join("\n")
        ))),
    }
}

/// What of ours the result of ADD does not list, or lists otherwise: it is another attachment's
/// result. What it lists besides is of other plugins of the chain, which may also have given the
/// interface another link-layer address.
pub(crate) fn unlike(
    attached: &Attached,
    previous: &Value,
    interface: &str,
    netns: &str,
) -> Vec<String> {
    let list = |name: &str| previous[name].as_array().cloned().unwrap_or_default();
    let ips = list("ips");
    let mut faults: Vec<String> = attached
        .addresses
        .iter()
        .map(|own| own.address.to_string())
        .filter(|own| !ips.iter().any(|ip| ip["address"] == own.as_str()))
        .map(|own| format!("prevResult does not list {own}, which the container has"))
        .collect();
    let interfaces = list("interfaces");
    let listed = interfaces
        .iter()
        .find(|listed| listed["name"] == interface && listed["sandbox"] != "");
    match listed {
        None if attached.container_interface.is_some() => faults.push(format!(
            "prevResult does not list interface {interface} of the container"
        )),
        Some(listed) if listed["sandbox"].as_str().is_some_and(|path| path != netns) => {
            faults.push(format!(
                "prevResult has interface {interface} in {}, not in {netns}",
                listed["sandbox"]
            ));
        }
        _ => {}
    }
    faults
}

/// Unplugs what the runtime does not list. An empty list means all; no list means that the runtime
/// does not say, and nothing is touched.
fn collect(config: &Config) -> Result<String, CniError> {
    needs_version("GC", "1.1.0", config)?;
    let Some(valid) = &config.valid else {
        let message = "GC needs \"cni.dev/valid-attachments\"; without it nothing is removed";
        return Err(CniError::Config(message.to_owned()));
    };
    let request = CollectRequest {
        configuration: config.name.clone(),
        network: config.network.clone(),
        valid: valid.clone(),
    };
    client(&config.socket).post::<()>("/v1/collect", &request)?;
    Ok(String::new())
}

/// Ready if a container could be plugged in now.
fn status(config: &Config) -> Result<String, CniError> {
    needs_version("STATUS", "1.1.0", config)?;
    let request = ReadyRequest {
        network: config.network.clone(),
    };
    let ready: Readiness = client(&config.socket)
        .post("/v1/ready", &request)
        .map_err(|error| CniError::NotAvailable(error.to_string()))?;
    let faults = ready.faults.join("; ");
    match ready.obstacle {
        _ if !faults.is_empty() => Err(CniError::Suffering(faults)),
        Some(obstacle) => Err(CniError::NotAvailable(obstacle)),
        None => Ok(String::new()),
    }
}

/// A command that older versions do not have.
fn needs_version(command: &str, first: &str, config: &Config) -> Result<(), CniError> {
    let place = |version: &str| SUPPORTED.iter().position(|known| *known == version);
    if place(&config.version) >= place(first) {
        return Ok(());
    }
    Err(CniError::Version(format!(
        "{command} is of cniVersion {first} and later; the configuration is of {}",
        config.version
    )))
}

fn client(socket: &Path) -> Client {
    // Connecting to a unix socket works or fails at once, so an agent that is down is known as such
    // at once.
    Client::new(socket, Some(PATIENCE)).impatient(SILENCE)
}
