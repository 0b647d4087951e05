//! Which objects are asked about: words in the manner of `ip` and `nft`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tombolo_model::{Family, IfName, MacAddr, Name};

use crate::objects::{Key, NftName};

/// The first words that there are, each with an example of the others.
pub const KINDS: &[(&str, &str)] = &[
    ("route", "route 10.244.1.0/24 [table 100]"),
    ("namespace", "namespace tbn1c0ffe9a7f85ac"),
    ("link", "link tbx4096"),
    ("address", "address 10.244.1.5 [dev tbx4096]"),
    ("neighbour", "neighbour 10.244.1.0 [dev tbx4096]"),
    ("fdb", "fdb 02:e6:9a:7f:85:ac [dev tbx4096]"),
    ("rule", "rule 100"),
    ("sysctl", "sysctl net/ipv4/ip_forward"),
    ("nft", "nft chain nat-postrouting"),
];

/// Which objects are asked about. Several may fit: one address may be on two links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Question {
    /// Routes to exactly this destination.
    Route {
        /// The destination.
        dst: IpNet,
        /// Only in this table.
        table: Option<u32>,
    },
    /// A network namespace of ours.
    Namespace(Name),
    /// An interface.
    Link(IfName),
    /// An address, on interfaces and as IPAM knows it.
    Address {
        /// The address.
        address: IpAddr,
        /// Only on this interface.
        link: Option<IfName>,
    },
    /// A neighbour entry.
    Neighbour {
        /// The neighbour.
        address: IpAddr,
        /// Only on this interface.
        link: Option<IfName>,
    },
    /// A forwarding entry.
    Fdb {
        /// The link-layer address.
        mac: MacAddr,
        /// Only of this device.
        link: Option<IfName>,
    },
    /// Rules of a priority that choose a routing table.
    Rule {
        /// The priority.
        priority: u32,
    },
    /// A kernel setting.
    Sysctl(String),
    /// A chain of a packet filter.
    NftChain(NftName),
    /// A set or map of it, with its elements.
    NftSet(NftName),
}

impl Question {
    /// Reads words, as `["route", "10.244.1.0/24", "table", "100"]`.
    ///
    /// # Errors
    /// What is wrong with them, and how they should be.
    pub fn parse(words: &[String]) -> Result<Question, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some((kind, rest)) = words.split_first() else {
            return Err(format!("nothing is asked; ask for one of {}", names()));
        };
        // `ip` takes beginnings of its words, and people are used to that.
        let kind = match *kind {
            "neigh" | "neighbor" | "arp" => "neighbour",
            "addr" | "ip" => "address",
            other => other,
        };
        let Some((_, example)) = KINDS.iter().find(|(name, _)| *name == kind) else {
            return Err(format!(
                "{kind:?} cannot be explained; ask for one of {}",
                names()
            ));
        };
        read(kind, rest).map_err(|why| format!("{why}; ask as `explain {example}`"))
    }

    /// Whether an object is one of those that are asked about.
    #[must_use]
    pub fn names(&self, key: &Key) -> bool {
        let on = |wanted: &Option<IfName>, link: &IfName| wanted.as_ref().is_none_or(|w| w == link);
        match (self, key) {
            (
                Question::Route { dst, table },
                Key::Route {
                    table: t, dst: d, ..
                },
            ) => dst == d && table.is_none_or(|table| table == *t),
            (Question::Namespace(name), Key::Namespace(key)) => name == key,
            (Question::Link(name), Key::Link(link)) => name == link,
            (Question::Fdb { mac, link }, Key::Station { bridge, mac: m }) => {
                mac == m && on(link, bridge)
            }
            (Question::Address { address, link }, Key::Address { link: l, net }) => {
                net.addr() == *address && on(link, l)
            }
            (
                Question::Neighbour { address, link },
                Key::Neighbour {
                    link: l,
                    address: a,
                },
            ) => address == a && on(link, l),
            (
                Question::Fdb { mac, link },
                Key::Fdb {
                    link: l, mac: m, ..
                },
            ) => mac == m && on(link, l),
            (Question::Rule { priority }, Key::RoutingRule { priority: p, .. }) => priority == p,
            (Question::Sysctl(path), Key::Sysctl(key)) => path == key,
            (Question::NftChain(name), Key::NftChain(chain)) => name == chain,
            (
                Question::NftSet(name),
                Key::NftSet(set) | Key::NftElement { set, .. } | Key::NftMembers(set),
            ) => name == set,
            _ => false,
        }
    }

    /// The destination of which the way is asked, if there is no such route: for the route that
    /// packets take instead.
    #[must_use]
    pub fn destination(&self) -> Option<IpAddr> {
        match self {
            Question::Route { dst, .. } => Some(dst.addr()),
            Question::Address { address, .. } | Question::Neighbour { address, .. } => {
                Some(*address)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |f: &mut fmt::Formatter<'_>, link: &Option<IfName>| match link {
            Some(link) => write!(f, " dev {link}"),
            None => Ok(()),
        };
        match self {
            Question::Route { dst, table } => {
                write!(f, "route {dst}")?;
                table.map_or(Ok(()), |table| write!(f, " table {table}"))
            }
            Question::Namespace(name) => write!(f, "namespace {name}"),
            Question::Link(name) => write!(f, "link {name}"),
            Question::Address { address, link } => {
                write!(f, "address {address}")?;
                on(f, link)
            }
            Question::Neighbour { address, link } => {
                write!(f, "neighbour {address}")?;
                on(f, link)
            }
            Question::Fdb { mac, link } => {
                write!(f, "fdb {mac}")?;
                on(f, link)
            }
            Question::Rule { priority } => write!(f, "rule priority {priority}"),
            Question::Sysctl(path) => write!(f, "sysctl {path}"),
            Question::NftChain(name) => write!(f, "nft chain {name}"),
            Question::NftSet(name) => write!(f, "nft set {name}"),
        }
    }
}

fn names() -> String {
    let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

fn read(kind: &str, words: &[&str]) -> Result<Question, String> {
    match kind {
        "route" => read_route(words),
        "link" => read_link(words),
        "namespace" => match words {
            [name] => Ok(Question::Namespace(
                Name::new(*name).map_err(|e| e.to_string())?,
            )),
            _ => Err("one namespace is asked for".to_owned()),
        },
        "rule" => read_rule(words),
        "nft" => read_nft(words),
        "sysctl" => match words {
            [path] => Ok(Question::Sysctl(slashes(path))),
            _ => Err("one setting is asked for".to_owned()),
        },
        _ => read_on_link(kind, words),
    }
}

fn read_route(words: &[&str]) -> Result<Question, String> {
    let (dst, rest) = words.split_first().ok_or("the destination is missing")?;
    let table = match rest {
        [] => None,
        ["table", table] => Some(number(match *table {
            "main" => "254",
            "local" => "255",
            "default" => "253",
            other => other,
        })?),
        other => return Err(format!("{:?} is not understood", other.join(" "))),
    };
    Ok(Question::Route {
        dst: destination(dst)?,
        table,
    })
}

fn destination(text: &str) -> Result<IpNet, String> {
    if text == "default" {
        return Ok(Family::V4.default_net());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Family::host_net(address));
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| format!("{text:?} is no destination"))?;
    Ok(net.trunc())
}

fn read_link(words: &[&str]) -> Result<Question, String> {
    match words {
        [name] | ["dev", name] => Ok(Question::Link(link(name)?)),
        _ => Err("one interface is asked for".to_owned()),
    }
}

fn read_rule(words: &[&str]) -> Result<Question, String> {
    match words {
        [priority] | ["priority" | "pref", priority] => Ok(Question::Rule {
            priority: number(priority)?,
        }),
        _ => Err("a rule is named by its priority".to_owned()),
    }
}

fn read_nft(words: &[&str]) -> Result<Question, String> {
    match words {
        ["chain", rest @ ..] => nft_name(rest).map(Question::NftChain),
        ["set" | "map", rest @ ..] => nft_name(rest).map(Question::NftSet),
        _ => Err("of nft, a chain, set or map is named".to_owned()),
    }
}

/// The table's family may be said, where it is not `inet`.
fn nft_name(words: &[&str]) -> Result<NftName, String> {
    match words {
        [name] | ["inet", name] => Ok(NftName::inet(*name)),
        ["bridge", name] => Ok(NftName::bridge(*name)),
        _ => Err(
            "one chain, set or map is named, behind `bridge` if it is of that family".to_owned(),
        ),
    }
}

/// What is on an interface, which may be said.
fn read_on_link(kind: &str, words: &[&str]) -> Result<Question, String> {
    let (which, rest) = words.split_first().ok_or("the address is missing")?;
    let dev = match rest {
        [] => None,
        ["dev", name] => Some(link(name)?),
        other => return Err(format!("{:?} is not understood", other.join(" "))),
    };
    if kind == "fdb" {
        let mac = which
            .parse()
            .map_err(|_| format!("{which:?} is no link-layer address"))?;
        return Ok(Question::Fdb { mac, link: dev });
    }
    // A prefix length is as `ip` shows addresses; which address it is, it does not change.
    let bare = which.split('/').next().unwrap_or(which);
    let address = bare
        .parse()
        .map_err(|_| format!("{which:?} is no address"))?;
    Ok(if kind == "address" {
        Question::Address { address, link: dev }
    } else {
        Question::Neighbour { address, link: dev }
    })
}

fn link(text: &str) -> Result<IfName, String> {
    IfName::new(text).map_err(|e| e.to_string())
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// A setting's path; `sysctl` takes dots too, where no slash says otherwise.
fn slashes(path: &str) -> String {
    let path = path.trim_start_matches("/proc/sys/");
    if path.contains('/') {
        path.to_owned()
    } else {
        path.replace('.', "/")
    }
}
