//! What was denied on this node: the newest of the packets that the kernel tells of.
//!
//! The kernel tells of some packets of each rule that denies ([`tombolo_plan::policy::LOG_GROUP`]); who
//! sent them and to whom is looked up when they come, as an address may be another's a moment later.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tombolo_api::Denial;
use tombolo_model::{Name, ResourceKey, World};

/// How many are kept.
const KEPT: usize = 1000;

/// The newest denials, and whoever waits for the next.
pub(crate) struct Denials {
    kept: Mutex<VecDeque<Arc<Denial>>>,
    told: broadcast::Sender<Arc<Denial>>,
}

impl Default for Denials {
    fn default() -> Denials {
        Denials {
            kept: Mutex::default(),
            told: broadcast::Sender::new(KEPT),
        }
    }
}

impl Denials {
    /// Keeps one, and tells it.
    pub fn add(&self, denial: Denial) {
        let denial = Arc::new(denial);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&denial));
        // Nobody may be listening.
        let _ = self.told.send(denial);
    }

    /// Those that are kept, the oldest first.
    pub fn kept(&self) -> Vec<Arc<Denial>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }

    /// Those that are kept, and all that come after them.
    pub fn follow(&self) -> (Vec<Arc<Denial>>, broadcast::Receiver<Arc<Denial>>) {
        // Between the two nothing can be told: `add` holds the lock.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.iter().cloned().collect(), self.told.subscribe())
    }
}

/// Who has which address, of a World of one edition.
#[derive(Default)]
pub(crate) struct Holders {
    edition: u64,
    holders: HashMap<IpAddr, Vec<Holder>>,
}

struct Holder {
    key: ResourceKey,
    network: Name,
    /// Whether the address is one that hosts route by.
    is_hosts: bool,
}

impl Holders {
    /// Follows the World.
    pub fn update(&mut self, world: &World, edition: u64) {
        if self.edition == edition {
            return;
        }
        self.edition = edition;
        self.holders.clear();
        for endpoint in world.endpoints.values() {
            if world.is_superseded(endpoint) {
                continue;
            }
            let is_hosts = world.space_of(&endpoint.spec.network).is_none();
            for address in &endpoint.spec.addresses {
                self.holders.entry(*address).or_default().push(Holder {
                    key: endpoint.key(),
                    network: endpoint.spec.network.clone(),
                    is_hosts,
                });
            }
        }
        for node in world.nodes.values() {
            for own in &node.spec.addresses {
                self.holders
                    .entry(own.address.addr())
                    .or_default()
                    .push(Holder {
                        key: node.key(),
                        network: node.name().clone(),
                        is_hosts: true,
                    });
            }
        }
    }

    /// Who has an address, as a namespace sees it: that of a segment of a network, or the host's.
    pub fn find(&self, address: IpAddr, network: Option<&Name>) -> Option<&ResourceKey> {
        let holders = self.holders.get(&address)?;
        let found = holders.iter().find(|holder| match network {
            Some(network) => holder.network == *network,
            None => holder.is_hosts,
        });
        found.map(|holder| &holder.key)
    }
}

/// What denied a packet, by what it was logged with; none if it was logged for another reason.
pub(crate) fn denied_by(prefix: &str) -> Option<&str> {
    prefix.strip_prefix("deny ").map(str::trim)
}

/// A time as RFC 3339 has it, in UTC with milliseconds.
pub(crate) fn timestamp(time: std::time::SystemTime) -> String {
    let time = time::OffsetDateTime::from(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};
    use tombolo_model::kinds::policy::ProtocolMatch;

    fn denial(port: u16) -> Denial {
        Denial {
            time: timestamp(UNIX_EPOCH),
            denied_by: "tier default".to_owned(),
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            from: None,
            to: None,
            protocol: ProtocolMatch::TCP,
            source_port: Some(1),
            destination_port: Some(port),
            icmp: None,
        }
    }

    #[test]
    fn the_newest_are_kept_and_told() {
        let denials = Denials::default();
        denials.add(denial(1));
        let (kept, mut told) = denials.follow();
        assert_eq!(kept.len(), 1);
        for port in 2..=1001 {
            denials.add(denial(port));
        }
        assert_eq!(told.try_recv().unwrap().destination_port, Some(2));
        let kept = denials.kept();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0].destination_port, Some(2));
        assert_eq!(kept[KEPT - 1].destination_port, Some(1001));
    }

    #[test]
    fn times_are_of_rfc_3339() {
        // 2000-02-29T23:59:58.007Z
        let time = UNIX_EPOCH + Duration::from_millis(951_868_798_007);
        assert_eq!(timestamp(time), "2000-02-29T23:59:58.007Z");
    }

    #[test]
    fn what_is_logged_for_another_reason_is_no_denial() {
        assert_eq!(
            denied_by("deny ingress at the end of tier default "),
            Some("ingress at the end of tier default")
        );
        assert_eq!(denied_by("log ingress[0] of NetworkPolicy a/b"), None);
    }
}
