//! What a lab is to be: hosts, topology, MTU, and the programs that run in it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::layout::fabric;

/// How the hosts are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// All hosts on one L2 segment.
    Switch,
    /// Two segments with a router between; hosts alternate.
    Subnets,
    /// Each host has a segment of its own with its neighbour; the middle ones forward.
    Line,
    /// Two spines, four leaves and a rack of hosts below each leaf; routers `leaf1` to `leaf4`,
    /// `spine1` and `spine2`, which know nothing but their own addresses.
    LeafSpine,
    /// The same, with every host below two leaves: a host of rack 1 has a second interface in rack 2,
    /// and so on in pairs.
    DualLeafSpine,
}

impl Topology {
    /// The names of its routers that are no hosts of the spec.
    #[must_use]
    pub fn routers(self) -> Vec<String> {
        match self {
            Topology::LeafSpine | Topology::DualLeafSpine => fabric::routers(),
            Topology::Switch | Topology::Subnets | Topology::Line => Vec::new(),
        }
    }
}

impl FromStr for Topology {
    type Err = LabError;
    fn from_str(text: &str) -> Result<Self, LabError> {
        match text {
            "switch" => Ok(Topology::Switch),
            "subnets" => Ok(Topology::Subnets),
            "line" => Ok(Topology::Line),
            "leaf-spine" => Ok(Topology::LeafSpine),
            "dual-leaf-spine" => Ok(Topology::DualLeafSpine),
            _ => Err(LabError::Spec {
                what: "topology",
                value: text.to_owned(),
                rule: "it is switch, subnets, line, leaf-spine or dual-leaf-spine",
            }),
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Topology::Switch => "switch",
            Topology::Subnets => "subnets",
            Topology::Line => "line",
            Topology::LeafSpine => "leaf-spine",
            Topology::DualLeafSpine => "dual-leaf-spine",
        })
    }
}

/// What a lab is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabSpec {
    /// Its name, unique on the machine for one user.
    pub name: String,
    /// The hosts' names: at most 11 characters, since a switch port is called after each.
    pub hosts: Vec<String>,
    /// How they are joined.
    pub topology: Topology,
    /// MTU of every wire, in bytes.
    pub mtu: u32,
    /// Whether the wires carry IPv6 addresses besides IPv4.
    pub ipv6: bool,
    /// The program that calls [`crate::reexec`], and that is run as `tombolo` in the hosts.
    pub tombolo: PathBuf,
    /// The CNI plugin.
    pub cni: PathBuf,
    /// Whether the lab ends with the process that makes it.
    pub bound_to_parent: bool,
}

impl LabSpec {
    /// A dual-stack lab of `hosts` hosts called `a`, `b`, … on one switch with an MTU of 1500, bound
    /// to this process. The programs are this one, and `tombolo-cni` beside it.
    #[must_use]
    pub fn new(name: impl Into<String>, hosts: usize) -> LabSpec {
        let tombolo = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tombolo"));
        LabSpec {
            name: name.into(),
            hosts: (0..hosts).map(host_name).collect(),
            topology: Topology::Switch,
            mtu: 1500,
            ipv6: true,
            cni: tombolo.with_file_name("tombolo-cni"),
            tombolo,
            bound_to_parent: true,
        }
    }

    /// Two hosts, under a name that no other test has.
    #[must_use]
    pub fn for_test(name: &str) -> LabSpec {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        LabSpec::new(format!("{name}-{}-{count}", std::process::id()), 2)
    }

    /// Checks names, number and MTU.
    ///
    /// # Errors
    /// Names what is wrong and what is allowed.
    pub fn check(&self) -> Result<(), LabError> {
        let fault = |what, value: &dyn ToString, rule| {
            Err(LabError::Spec {
                what,
                value: value.to_string(),
                rule,
            })
        };
        if !is_plain(&self.name, 64) {
            return fault(
                "lab name",
                &self.name,
                "1 to 64 of letters, digits, '-' and '_'",
            );
        }
        if self.hosts.is_empty() || self.hosts.len() > 100 {
            return fault("number of hosts", &self.hosts.len(), "it is 1 to 100");
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if !is_plain(host, 11) {
                return fault("host name", host, "1 to 11 of letters, digits, '-' and '_'");
            }
            if self.hosts[..index].contains(host) {
                return fault("host name", host, "each host has a name of its own");
            }
            if self.topology.routers().contains(host) {
                return fault("host name", host, "a router of the topology has it");
            }
        }
        if !(1280..=65535).contains(&self.mtu) {
            return fault("MTU", &self.mtu, "it is 1280 to 65535 bytes");
        }
        Ok(())
    }
}

/// `a` to `z`, then `n27` and on.
fn host_name(index: usize) -> String {
    match u8::try_from(index) {
        Ok(small) if small < 26 => char::from(b'a' + small).to_string(),
        _ => format!("n{}", index + 1),
    }
}

fn is_plain(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named() {
        let spec = LabSpec::new("x", 2);
        spec.check().unwrap();
        let faults = [
            LabSpec {
                name: "../x".into(),
                ..spec.clone()
            },
            LabSpec {
                hosts: vec![],
                ..spec.clone()
            },
            LabSpec {
                hosts: vec!["a".into(), "a".into()],
                ..spec.clone()
            },
            LabSpec {
                hosts: vec!["twelve-chars".into()],
                ..spec.clone()
            },
            LabSpec {
                hosts: vec!["leaf2".into()],
                topology: Topology::LeafSpine,
                ..spec.clone()
            },
            LabSpec {
                mtu: 500,
                ..spec.clone()
            },
        ];
        for fault in faults {
            assert!(
                fault
                    .check()
                    .unwrap_err()
                    .to_string()
                    .contains("not allowed")
            );
        }
        assert!("ring".parse::<Topology>().is_err());
    }

    #[test]
    fn hosts_beyond_z_have_names() {
        assert_eq!(host_name(25), "z");
        assert_eq!(host_name(26), "n27");
    }
}
