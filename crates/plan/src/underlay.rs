//! Which of a host's addresses its peers reach it by: decided from what the host has, with a reason.
//!
//! Methods are tried in order, one family at a time; the first that finds an address wins. Without
//! one the default route's interface is taken, and where there is no default route the only
//! interface that has an address other hosts could reach.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use tombolo_model::kinds::NodeAddress;
use tombolo_model::{Family, IfName, Mtu};

/// How the underlay's address is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// The interface that holds the default route.
    DefaultRoute,
    /// The first of these interfaces that has an address; a name may end in `*`.
    Interface(Vec<String>),
    /// An address in this range.
    Cidr(IpNet),
    /// The address that packets to this one leave from.
    CanReach(IpAddr),
}

/// What a host has.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Its interfaces that are up, with MTU and addresses.
    pub interfaces: Vec<(IfName, u32, Vec<IpNet>)>,
    /// The loopback with its addresses, which others reach where the host's routers are told of them. It
    /// is used only where it is asked for.
    pub loopback: Option<(IfName, Vec<IpNet>)>,
    /// The interface of the default route of each family.
    pub default_route: BTreeMap<Family, IfName>,
    /// For each `can-reach` address that has a route: interface and source address.
    pub reach: BTreeMap<IpAddr, (IfName, IpAddr)>,
}

/// No address was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no address of this host can be used to reach other nodes: {why}; it has {has}; choose one with --underlay interface=NAME, cidr=RANGE or can-reach=ADDRESS"
)]
pub struct NoUnderlay {
    why: String,
    has: String,
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Method, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let wrong = |e: String| format!("--underlay {text:?}: {e}");
        match name {
            "default-route" if value.is_empty() => Ok(Method::DefaultRoute),
            "interface" if !value.is_empty() => Ok(Method::Interface(
                value.split(',').map(str::to_owned).collect(),
            )),
            "cidr" => value
                .parse()
                .map(Method::Cidr)
                .map_err(|_| wrong("a range such as 192.168.0.0/24 must follow cidr=".to_owned())),
            "can-reach" => value.parse().map(Method::CanReach).map_err(|_| {
                wrong("an address such as 192.0.2.1 must follow can-reach=".to_owned())
            }),
            _ => Err(wrong(
                "it must be default-route, interface=NAME[,NAME…], cidr=RANGE or can-reach=ADDRESS"
                    .to_owned(),
            )),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Method::DefaultRoute => f.write_str("default-route"),
            Method::Interface(names) => write!(f, "interface={}", names.join(",")),
            Method::Cidr(net) => write!(f, "cidr={net}"),
            Method::CanReach(address) => write!(f, "can-reach={address}"),
        }
    }
}

/// The host's addresses on the underlay, at most one per family, IPv4 first.
///
/// # Errors
/// When there is none of either family.
pub fn choose(methods: &[Method], host: &Host) -> Result<Vec<NodeAddress>, NoUnderlay> {
    let chosen: Vec<NodeAddress> = Family::ALL
        .into_iter()
        .filter_map(|family| choose_one(methods, host, family))
        .collect();
    if chosen.is_empty() {
        let asked: Vec<String> = methods.iter().map(ToString::to_string).collect();
        let why = if asked.is_empty() {
            "there is no default route, and not exactly one interface with an address".to_owned()
        } else {
            format!("nothing matches {}", asked.join(" or "))
        };
        let has: Vec<String> = usable(host, None)
            .map(|(name, _, net)| format!("{net} on {name}"))
            .collect();
        let has = if has.is_empty() {
            "none".to_owned()
        } else {
            has.join(", ")
        };
        return Err(NoUnderlay { why, has });
    }
    Ok(chosen)
}

fn choose_one(methods: &[Method], host: &Host, family: Family) -> Option<NodeAddress> {
    let found = if methods.is_empty() {
        by_default_route(host, family).or_else(|| only_one(host, family))
    } else {
        methods
            .iter()
            .find_map(|method| by_method(method, host, family))
    };
    let (name, mtu, net, reason) = found?;
    let others: Vec<String> = usable(host, Some(family))
        .filter(|(other, _, _)| *other != name)
        .map(|(other, _, net)| format!("{other} ({net})"))
        .collect();
    let reason = if others.is_empty() {
        reason
    } else {
        format!("{reason}; not {}", others.join(", "))
    };
    Some(NodeAddress {
        address: net,
        interface: name.clone(),
        mtu: Mtu::new(u64::from(mtu.min(65_535))).ok()?,
        reason,
    })
}

type Found<'a> = (&'a IfName, u32, IpNet, String);

fn by_method<'a>(method: &Method, host: &'a Host, family: Family) -> Option<Found<'a>> {
    match method {
        Method::DefaultRoute => by_default_route(host, family),
        Method::Interface(patterns) => patterns.iter().find_map(|pattern| {
            let (name, mtu, net) = named(host, family).find(|(n, _, _)| matches(pattern, n))?;
            Some((name, mtu, net, format!("interface={pattern} names {name}")))
        }),
        Method::Cidr(range) => {
            let (name, mtu, net) =
                named(host, family).find(|(_, _, net)| range.contains(&net.addr()))?;
            Some((name, mtu, net, format!("it is in cidr={range}")))
        }
        Method::CanReach(target) => {
            let (link, source) = host.reach.get(target)?;
            let (name, mtu, net) = usable(host, Some(family))
                .find(|(name, _, net)| *name == link && net.addr() == *source)?;
            Some((name, mtu, net, format!("packets to {target} leave from it")))
        }
    }
}

fn by_default_route(host: &Host, family: Family) -> Option<Found<'_>> {
    let link = host.default_route.get(&family)?;
    let (name, mtu, net) = usable(host, Some(family)).find(|(name, _, _)| *name == link)?;
    Some((
        name,
        mtu,
        net,
        format!("{name} has the {family} default route"),
    ))
}

fn only_one(host: &Host, family: Family) -> Option<Found<'_>> {
    let mut all = usable(host, Some(family));
    let (name, mtu, net) = all.next()?;
    all.all(|(other, _, _)| other == name).then(|| {
        (
            name,
            mtu,
            net,
            format!("{name} is the only interface with an {family} address"),
        )
    })
}

/// Addresses that other hosts could reach: not of the loopback, not link-local, not on links of
/// ours or of container engines.
fn usable(host: &Host, family: Option<Family>) -> impl Iterator<Item = (&IfName, u32, IpNet)> {
    const ENGINES: [&str; 8] = [
        "tb", "docker", "br-", "veth", "cni", "podman", "flannel", "cali",
    ];
    host.interfaces
        .iter()
        .filter(|(name, _, _)| {
            !ENGINES
                .iter()
                .any(|engine| name.as_str().starts_with(engine))
        })
        .flat_map(|(name, mtu, nets)| nets.iter().map(move |net| (name, *mtu, *net)))
        .filter(move |(_, _, net)| family.is_none_or(|family| Family::of_net(*net) == family))
        .filter(|(_, _, net)| is_reachable(net.addr()))
}

/// The same, and behind them those of the loopback. Packets from there leave by any interface, so they
/// may be no larger than what all of these carry.
fn named(host: &Host, family: Family) -> impl Iterator<Item = (&IfName, u32, IpNet)> {
    let mtu = usable(host, None).map(|(_, mtu, _)| mtu).min();
    let own = host.loopback.iter().zip(mtu);
    let own = own.flat_map(|((name, nets), mtu)| nets.iter().map(move |net| (name, mtu, *net)));
    let own = own.filter(move |(_, _, net)| Family::of_net(*net) == family);
    usable(host, Some(family)).chain(own.filter(|(_, _, net)| is_reachable(net.addr())))
}

fn is_reachable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !a.is_loopback() && !a.is_link_local(),
        IpAddr::V6(a) => !a.is_loopback() && !a.is_unicast_link_local(),
    }
}

fn matches(pattern: &str, name: &IfName) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.as_str().starts_with(beginning),
        None => name.as_str() == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        let name = |text: &str| IfName::new(text).unwrap();
        let nets = |list: &[&str]| {
            list.iter()
                .map(|t| t.parse().unwrap())
                .collect::<Vec<IpNet>>()
        };
        Host {
            interfaces: vec![
                (name("eth0"), 1500, nets(&["10.0.2.15/24", "fe80::1/64"])),
                (name("eth1"), 9000, nets(&["192.168.0.5/24", "fd00::5/64"])),
                (name("docker0"), 1500, nets(&["172.17.0.1/16"])),
            ],
            loopback: Some((
                name("lo"),
                nets(&["127.0.0.1/8", "::1/128", "10.255.0.1/32", "fd00:255::1/128"]),
            )),
            default_route: [(Family::V4, name("eth0"))].into(),
            reach: [(
                "192.168.0.9".parse().unwrap(),
                (name("eth1"), "192.168.0.5".parse().unwrap()),
            )]
            .into(),
        }
    }

    fn chosen(methods: &[&str]) -> Vec<String> {
        let methods: Vec<Method> = methods.iter().map(|m| m.parse().unwrap()).collect();
        choose(&methods, &host())
            .unwrap()
            .into_iter()
            .map(|a| format!("{} {} {}: {}", a.interface, a.address, a.mtu, a.reason))
            .collect()
    }

    #[test]
    fn the_default_route_decides_unless_told_otherwise() {
        assert_eq!(
            chosen(&[]),
            [
                "eth0 10.0.2.15/24 1500: eth0 has the ipv4 default route; not eth1 (192.168.0.5/24)",
                "eth1 fd00::5/64 9000: eth1 is the only interface with an ipv6 address",
            ]
        );
    }

    #[test]
    fn each_method_finds_its_address() {
        assert_eq!(chosen(&["interface=eth9,eth1"]).len(), 2);
        assert!(chosen(&["cidr=192.168.0.0/16"])[0].starts_with("eth1 192.168.0.5/24 9000"));
        assert!(chosen(&["can-reach=192.168.0.9"])[0].contains("packets to 192.168.0.9 leave"));
        assert!(chosen(&["interface=ens*", "default-route"])[0].starts_with("eth0"));
    }

    #[test]
    fn an_address_on_the_loopback_is_used_where_it_is_asked_for() {
        assert!(chosen(&["cidr=10.255.0.0/24"])[0].starts_with("lo 10.255.0.1/32 1500"));
        let both = chosen(&["interface=lo"]);
        assert!(both[1].starts_with("lo fd00:255::1/128 1500"), "{both:?}");
    }

    #[test]
    fn nothing_found_names_what_there_is() {
        let error = choose(&["cidr=10.9.0.0/16".parse().unwrap()], &host())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("cidr=10.9.0.0/16") && error.contains("10.0.2.15/24 on eth0"),
            "{error}"
        );
        assert!("cidr=x".parse::<Method>().is_err());
        assert!("interface=".parse::<Method>().is_err());
    }
}
