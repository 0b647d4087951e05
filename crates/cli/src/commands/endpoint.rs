//! `attach` and `detach`: a namespace is plugged in by hand, as a runtime does by CNI.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use tombolo_api::{AttachRequest, Attached, Client, DetachRequest};
use tombolo_model::kinds::policy::NamedPort;
use tombolo_model::{ContainerId, IfName, MacAddr, Name, PortMapping, Protocol};

use crate::output::{Format, list};
use crate::words;

#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Path of the network namespace, as /run/netns/c1.
    #[arg(long, required_unless_present = "pid", conflicts_with = "pid")]
    netns: Option<PathBuf>,
    /// A process in it.
    #[arg(long)]
    pid: Option<u32>,
    /// What to call the container; `detach` asks for it.
    #[arg(long)]
    container: ContainerId,
    /// The network.
    #[arg(long, default_value = "default")]
    network: Name,
    /// The interface's name in the container.
    #[arg(long, default_value = "eth0")]
    interface: IfName,
    /// The tenant.
    #[arg(short, long)]
    namespace: Option<Name>,
    /// Who it is: the same name gets the same addresses again.
    #[arg(long)]
    identity: Option<String>,
    /// An address that it must have.
    #[arg(long = "ip")]
    addresses: Vec<IpAddr>,
    /// The link-layer address that it must have.
    #[arg(long)]
    mac: Option<MacAddr>,
    /// A port of the host that leads to it: [ADDRESS:]HOST:CONTAINER[/tcp|udp|sctp].
    #[arg(short, long = "publish", value_parser = port)]
    ports: Vec<PortMapping>,
    /// A label: NAME=VALUE.
    #[arg(short, long = "label", value_parser = words::pair, value_name = "NAME=VALUE")]
    labels: Vec<(String, String)>,
    /// A profile, asked after those before it when no policy decided.
    #[arg(long = "profile")]
    profiles: Vec<Name>,
    /// The name of a port of it, for rules that name ports: NAME=TCP/80.
    #[arg(long = "named-port", value_parser = named_port, value_name = "NAME=PROTOCOL/PORT")]
    named_ports: Vec<NamedPort>,
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Attach {
    pub fn run(self, client: &Client) -> Result<()> {
        let sandbox = match (&self.netns, self.pid) {
            (Some(path), _) => {
                std::path::absolute(path).with_context(|| format!("the path {}", path.display()))?
            }
            (None, Some(pid)) => PathBuf::from(format!("/proc/{pid}/ns/net")),
            (None, None) => bail!("give --netns or --pid"),
        };
        let attached: Attached = client.post(
            "/v1/attach",
            &AttachRequest {
                handover: false,
                container_id: self.container,
                configuration: None,
                sandbox_id: None,
                ranges: Vec::new(),
                interface: self.interface,
                sandbox: sandbox.display().to_string(),
                network: self.network,
                namespace: self.namespace,
                identity: self.identity,
                addresses: self.addresses,
                mac: self.mac,
                ports: self.ports,
                labels: self.labels.into_iter().collect(),
                profiles: self.profiles,
                named_ports: self.named_ports,
            },
        )?;
        if !self.output.print(&attached)? {
            let addresses = list(attached.addresses.iter().map(|a| a.address));
            println!("{}: {addresses}", attached.endpoint.1);
        }
        Ok(())
    }
}

/// `[ADDRESS:]HOST:CONTAINER[/PROTOCOL]`.
fn port(text: &str) -> Result<PortMapping, String> {
    let wrong = || format!("{text:?} is not [ADDRESS:]HOST:CONTAINER[/tcp|udp|sctp]");
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(wrong()),
    };
    let (rest, container) = ports.rsplit_once(':').ok_or_else(wrong)?;
    let (address, host) = match rest.rsplit_once(':') {
        Some((address, host)) => (Some(address.trim_matches(['[', ']'])), host),
        None => (None, rest),
    };
    let number = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|n| *n != 0)
            .ok_or_else(wrong)
    };
    Ok(PortMapping {
        host_port: number(host)?,
        container_port: number(container)?,
        protocol,
        host_ip: address.map(str::parse).transpose().map_err(|_| wrong())?,
    })
}

/// `NAME=PROTOCOL/PORT`.
fn named_port(text: &str) -> Result<NamedPort, String> {
    let (name, port) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=PROTOCOL/PORT, as web=TCP/80"))?;
    tombolo_api::named_port(name, port)
}

#[derive(Debug, Args)]
pub(crate) struct Detach {
    /// What the container was called.
    #[arg(long)]
    container: ContainerId,
    /// The interface's name in the container.
    #[arg(long, default_value = "eth0")]
    interface: IfName,
}

impl Detach {
    pub fn run(self, client: &Client) -> Result<()> {
        let request = DetachRequest {
            container_id: self.container,
            interface: self.interface,
        };
        Ok(client.post("/v1/detach", &request)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_ports_are_read() {
        let web = named_port("web=TCP/80").unwrap();
        assert_eq!((web.name.as_str(), web.port), ("web", 80));
        assert_eq!(
            named_port("dns=udp/53").unwrap().protocol.to_string(),
            "UDP"
        );
        for text in [
            "web",
            "=TCP/80",
            "web=80",
            "web=TCP/0",
            "web=ICMP/8",
            "web=TCP/70000",
        ] {
            assert!(named_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_read() {
        let read = |text: &str| port(text).map(|p| format!("{p:?}"));
        assert!(read("8080:80").unwrap().contains("Tcp"));
        assert!(read("53:53/udp").unwrap().contains("Udp"));
        assert_eq!(
            port("127.0.0.1:1:2").unwrap().host_ip,
            Some("127.0.0.1".parse().unwrap())
        );
        assert_eq!(
            port("[::1]:1:2").unwrap().host_ip,
            Some("::1".parse().unwrap())
        );
        for text in [
            "",
            "80",
            "0:80",
            "80:0",
            "80:80/icmp",
            "x:80",
            "70000:80",
            "nope:1:2",
        ] {
            assert!(port(text).is_err(), "{text}");
        }
    }
}
