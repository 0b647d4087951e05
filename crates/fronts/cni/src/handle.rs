//! The commands: ADD, DEL, CHECK, STATUS, VERSION. GC is not there yet.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tombolo_api::{AttachRequest, Attached, Client, DetachRequest, Inspected};

use crate::error::CniError;
use crate::result;
use crate::wire::{self, Attachment, Config, Environment, SUPPORTED};

/// How long the agent may take. It answers within 20 s by itself.
const PATIENCE: Duration = Duration::from_secs(30);

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
        "STATUS" => status(&wire::config(environment, input)?),
        other => Err(CniError::Environment(format!(
            "CNI_COMMAND {other:?} is not known here; there are ADD, DEL, CHECK, STATUS, VERSION"
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
        container_id: attachment.container.clone(),
        interface: attachment.interface.clone(),
        sandbox: netns.clone(),
        network: config.network.clone(),
        namespace: config.namespace.clone(),
        identity: config.identity.clone(),
        addresses: config.addresses.clone(),
        mac: config.mac,
        ports: config.ports.clone(),
        labels: config.labels.clone(),
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
    if config.version == "0.3.1" {
        let message = "CHECK is of cniVersion 0.4.0 and later; the configuration is of 0.3.1";
        return Err(CniError::Version(message.to_owned()));
    }
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
    faults.extend(unlike(&inspected.attached, previous));
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

/// Addresses of ours that the result of ADD does not list: it is another attachment's result. What
/// it lists besides is of other plugins of the chain.
fn unlike(attached: &Attached, previous: &Value) -> Vec<String> {
    let ips = previous["ips"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    attached
        .addresses
        .iter()
        .map(|own| own.address.to_string())
        .filter(|own| !ips.iter().any(|ip| ip["address"] == own.as_str()))
        .map(|own| format!("prevResult does not list {own}, which the container has"))
        .collect()
}

/// Ready if the agent answers.
fn status(config: &Config) -> Result<String, CniError> {
    match client(&config.socket).get::<Value>("/v1/status") {
        Ok(_) => Ok(String::new()),
        Err(error) => Err(CniError::NotAvailable(error.to_string())),
    }
}

fn client(socket: &Path) -> Client {
    // Connecting to a unix socket works or fails at once, so an agent that is down is known as such
    // at once; only the answer of a busy one may take its time.
    Client::new(socket, Some(PATIENCE))
}
