//! Which networks are compared: every driver that reaches other hosts, with every transport that it
//! takes. What they are comes from the planner's own tables, so that a new one is compared, too.

use tombolo_plan::check;
use tombolo_plan::driver::{DRIVERS, Driver, Reach};
use tombolo_plan::transport::{TRANSPORTS, Transport};

use crate::look::trial;

/// A network to compare.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// What its resources are called: `routed-vxlan`.
    pub id: String,
    /// What people call it: `routed, vxlan`.
    pub name: String,
    /// Its pool and network, as YAML.
    pub resources: String,
    driver: &'static str,
    transport: Option<&'static str>,
}

/// All of them.
pub(super) fn all() -> Vec<Candidate> {
    let mut all = Vec::new();
    for driver in DRIVERS {
        match driver.reach {
            Reach::Routes | Reach::Segment => {
                for transport in TRANSPORTS {
                    if takes(driver, *transport) {
                        all.push((driver, Some(transport.name())));
                    }
                }
            }
            Reach::Host if is_physical(driver) => all.push((driver, None)),
            // It ends at its host, or is the host.
            Reach::Host => {}
        }
    }
    let numbered = all.into_iter().zip(60_u8..);
    let candidates =
        numbered.map(|((driver, transport), number)| Candidate::new(driver, transport, number));
    candidates.filter(Candidate::is_valid).collect()
}

/// Whether a driver is to be tried with a transport. A fan differs from `routed` in its addresses
/// and by a bridge, so that one transport with a header of its own tells what there is to tell.
fn takes(driver: &Driver, transport: &dyn Transport) -> bool {
    match driver.reach {
        Reach::Segment => transport.carries_frames(),
        _ if driver.name == "fan" => transport.name() == "vxlan",
        _ => true,
    }
}

/// Whether containers are stations of the network that an interface of the host is on.
fn is_physical(driver: &Driver) -> bool {
    driver.has_addresses && !driver.attachment.passes_host()
}

impl Candidate {
    fn new(driver: &'static Driver, transport: Option<&'static str>, number: u8) -> Candidate {
        let words = || [Some(driver.name), transport].into_iter().flatten();
        let id = words().collect::<Vec<_>>().join("-");
        let mut spec = format!("driver: {}, pools: [{id}]", driver.name);
        if let Some(transport) = transport {
            spec.push_str(&format!(", transport: {{type: {transport}}}"));
        }
        let pool = match driver.name {
            "fan" => {
                spec.push_str(", fan: {underlay: 192.168.0.0/16}");
                "cidr: 250.0.0.0/8, blockSize: 24, natOutgoing: true".to_owned()
            }
            "vlan" => {
                spec.push_str(", vlan: {parent: eth0, id: 30}");
                format!("cidr: 10.{number}.0.0/16")
            }
            name if is_physical(driver) => {
                spec.push_str(&format!(", {name}: {{parent: eth0}}"));
                format!("cidr: 10.{number}.0.0/16")
            }
            _ => format!("cidr: 10.{number}.0.0/16, natOutgoing: true"),
        };
        let resource = |kind: &str, spec: &str| {
            format!(
                "apiVersion: tombolo.dev/v1\nkind: {kind}\nmetadata: {{name: {id}}}\nspec: {{{spec}}}\n"
            )
        };
        Candidate {
            name: words().collect::<Vec<_>>().join(", "),
            resources: format!(
                "{}---\n{}",
                resource("IPPool", &pool),
                resource("Network", &spec)
            ),
            driver: driver.name,
            transport,
            id,
        }
    }

    /// Whether the planner takes it: not every transport fits every driver.
    fn is_valid(&self) -> bool {
        let parsed = tombolo_model::parse::parse("bench.yaml", &self.resources);
        parsed.is_ok_and(|parsed| {
            parsed
                .iter()
                .all(|parsed| check::faults(&parsed.resource).is_empty())
        })
    }

    /// Why this kernel cannot do it, as far as that can be tried.
    pub fn lacks(&self) -> Option<String> {
        let why = match (self.transport, self.driver) {
            (Some(transport), _) => trial::lacks_transport(transport),
            (None, "macvlan") => trial::segments().0,
            (None, "vlan") => trial::segments().1,
            (None, name) => trial::features().ok()?.remove(name).flatten(),
        }?;
        // What was attempted in the trial is of no interest where the kernel's lack has a name.
        let named = why
            .find("the kernel has no ")
            .map(|at| why[at..].to_owned());
        Some(named.unwrap_or(why))
    }

    /// What to say of it in the report.
    pub fn about(&self) -> &'static str {
        let found = DRIVERS.iter().find(|driver| driver.name == self.driver);
        match found {
            Some(driver) if is_physical(driver) => "stations of the physical network",
            Some(Driver {
                reach: Reach::Segment,
                ..
            }) => "one segment over both hosts",
            _ => "routed over both hosts",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_and_every_driver_that_spans_hosts_is_compared() {
        let all = all();
        for transport in TRANSPORTS {
            let id = format!("routed-{}", transport.name());
            assert!(all.iter().any(|one| one.id == id), "{id} is missing");
        }
        for driver in DRIVERS {
            let spans = driver.spans_nodes() || is_physical(driver);
            let is_there = all.iter().any(|one| one.driver == driver.name);
            assert_eq!(is_there, spans, "{}", driver.name);
        }
        let ids: std::collections::BTreeSet<&str> = all.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
    }
}
