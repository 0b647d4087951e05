//! Pools as Docker knows them: an id that says what was asked for, and arithmetic.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tombolo_model::{AddressRange, AnyResource, Family, Name};

use crate::dispatch::Refused;
use crate::state::Record;
use crate::wire::RequestPool;

/// Where IPv4 subnets are chosen from (RFC 1918), and how large they are.
const CHOICE: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 200, 0, 0), 14);
const CHOSEN_SIZE: u8 = 24;

/// What was asked for: the same makes the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PoolId {
    pub pool: IpNet,
    /// Where addresses are chosen from, if not in all of it.
    sub: Option<IpNet>,
    /// The network that it is of, if it was named.
    network: Option<Name>,
}

impl PoolId {
    pub fn new(pool: IpNet, sub: &str, network: Option<Name>) -> Result<PoolId, Refused> {
        let is_v6 = Family::of_net(pool) == Family::V6;
        let sub = match sub {
            "" => None,
            text => Some(range("SubPool", text, is_v6)?),
        };
        if let Some(sub) = sub.filter(|sub| !pool.contains(sub)) {
            return Err(format!("--ip-range {sub} is not in {pool}"));
        }
        Ok(PoolId { pool, sub, network })
    }

    /// The first address, which is the gateway's unless somebody says otherwise.
    pub fn first(&self) -> IpAddr {
        let network = self.pool.network();
        // Of IPv6 ranges the network's own address is among the hosts': it is the routers' anycast
        // address (RFC 4291, section 2.6.1).
        let mut hosts = self.pool.hosts();
        hosts.find(|host| *host != network).unwrap_or(network)
    }

    /// Where addresses are chosen from, if not in all of it.
    pub fn range(&self) -> Option<AddressRange> {
        self.sub.map(|sub| AddressRange {
            first: sub.network(),
            last: sub.broadcast(),
        })
    }

    /// Whether a network of Docker's uses the pool.
    pub fn is_of(&self, record: &Record) -> bool {
        let mut subnets = record.wish.subnets.iter();
        let has = subnets.any(|subnet| subnet.ours && subnet.cidr == self.pool);
        has && (self.network.is_none() || self.network == record.wish.network)
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pool)?;
        if let Some(sub) = &self.sub {
            write!(f, ",range={sub}")?;
        }
        if let Some(network) = &self.network {
            write!(f, ",network={network}")?;
        }
        Ok(())
    }
}

impl FromStr for PoolId {
    type Err = Refused;

    fn from_str(text: &str) -> Result<PoolId, Refused> {
        let unknown = || match text {
            "" => "PoolID is missing".to_owned(),
            _ => format!("PoolID {text:?} is not one of this plugin's"),
        };
        let mut parts = text.split(',');
        let pool = parts.next().and_then(|pool| pool.parse().ok());
        let mut id = PoolId {
            pool: pool.ok_or_else(unknown)?,
            sub: None,
            network: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("range", sub)) => id.sub = Some(sub.parse().map_err(|_| unknown())?),
                Some(("network", name)) => {
                    id.network = Some(Name::new(name).map_err(|_| unknown())?)
                }
                _ => return Err(unknown()),
            }
        }
        Ok(id)
    }
}

/// The network that `--ipam-opt network=` names. Other options are errors, but for Docker's own.
pub(super) fn network_option(call: &RequestPool) -> Result<Option<Name>, Refused> {
    let mut network = None;
    for (name, value) in &call.options {
        match name.as_str() {
            "network" => {
                let name =
                    Name::new(value).map_err(|error| format!("--ipam-opt network: {error}"))?;
                network = Some(name);
            }
            other if other.starts_with("com.docker.") => {}
            other => return Err(format!("--ipam-opt {other} is not known; there is network")),
        }
    }
    Ok(network)
}

/// A range of a family.
pub(super) fn range(field: &str, text: &str, v6: bool) -> Result<IpNet, Refused> {
    let net: IpNet = text
        .parse()
        .map_err(|_| format!("{field} {text:?} is no range of addresses"))?;
    let family = if v6 { Family::V6 } else { Family::V4 };
    if Family::of_net(net) != family {
        return Err(format!("{field} {text} is no {family} range"));
    }
    Ok(net.trunc())
}

/// The ranges that a resource uses.
pub(crate) fn ranges_of(resource: &AnyResource) -> Vec<IpNet> {
    match resource {
        AnyResource::IpPool(pool) => vec![pool.spec.cidr],
        AnyResource::Node(node) => {
            let addresses = node.spec.addresses.iter();
            addresses.map(|own| own.address.trunc()).collect()
        }
        _ => Vec::new(),
    }
}

/// A range that shares no address with any of some; of IPv6 always a subnet.
pub(super) fn free(family: Family, used: &[IpNet]) -> Option<IpNet> {
    match family {
        Family::V4 => {
            let (base, prefix) = CHOICE;
            free_within(Ipv4Net::new_assert(base, prefix), CHOSEN_SIZE, used)
        }
        Family::V6 => {
            let nets = std::iter::repeat_with(|| IpNet::from(unique_local()));
            nets.take(16).find(|net| is_free(net, used))
        }
    }
}

/// The first part of a range that shares no address with any of some.
pub(crate) fn free_within(range: Ipv4Net, size: u8, used: &[IpNet]) -> Option<IpNet> {
    let mut parts = range.subnets(size).ok()?.map(IpNet::from);
    parts.find(|net| is_free(net, used))
}

fn is_free(net: &IpNet, used: &[IpNet]) -> bool {
    let mut used = used.iter();
    !used.any(|other| other.contains(net) || net.contains(other))
}

/// A subnet of a random unique local prefix (RFC 4193, section 3.2).
fn unique_local() -> Ipv6Net {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(std::time::Instant::now());
    let bits = (0xfd_u128 << 120) | (u128::from(random >> 8) << 64);
    Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_was_asked_for() {
        let pool: IpNet = "10.1.0.0/24".parse().unwrap();
        let blue = Some(Name::new("blue").unwrap());
        for (id, text) in [
            (PoolId::new(pool, "", None), "10.1.0.0/24"),
            (
                PoolId::new(pool, "10.1.0.128/25", blue),
                "10.1.0.0/24,range=10.1.0.128/25,network=blue",
            ),
        ] {
            let id = id.unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse::<PoolId>().unwrap(), id);
            assert_eq!(id.first().to_string(), "10.1.0.1");
        }
        assert!(PoolId::new(pool, "10.2.0.0/25", None).is_err());
        assert!(PoolId::new(pool, "ten", None).is_err());
        for text in ["", "x", "10.1.0.0/24,colour=red", "10.1.0.0/24,range=x"] {
            assert!(text.parse::<PoolId>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_chosen_is_used_by_nobody() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(free(Family::V4, &[]), Some(net("10.200.0.0/24")));
        let used = [net("10.200.0.0/23"), net("10.200.2.128/26")];
        assert_eq!(free(Family::V4, &used), Some(net("10.200.3.0/24")));
        assert_eq!(free(Family::V4, &[net("10.0.0.0/8")]), None);
        let chosen = free(Family::V6, &[]).unwrap();
        assert!(net("fd00::/8").contains(&chosen) && chosen.prefix_len() == 64);
        assert_eq!(chosen.trunc(), chosen);
    }

    #[test]
    fn a_range_has_its_family() {
        assert_eq!(
            range("Pool", "10.1.0.7/24", false).unwrap().to_string(),
            "10.1.0.0/24"
        );
        assert!(
            range("Pool", "10.1.0.0/24", true)
                .unwrap_err()
                .contains("ipv6")
        );
    }
}
