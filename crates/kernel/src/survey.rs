//! Everything that a namespace holds, ours or not, each with what tells whose it is.
//!
//! It is for people who ask why something is there, and for looking whether others are in our way.
//! Nothing is decided by it: what is to be done follows from [`crate::Kernel::read`] alone.

use nix::errno::Errno;
use tombolo_model::{Family, IfName};
use tombolo_plan::explain::Mark;
use tombolo_plan::{Key, Netns, Object};

use crate::error::KernelError;
use crate::link::{LinkInfo, object as link_object};
use crate::neighbour::{NeighbourInfo, SELF, decode as decode_neighbour, header};
use crate::netlink::Message;
use crate::netns::NetnsHandle;
use crate::route::{RouteInfo, family_number, object as route_object, read_all};
use crate::session::{Links, Session};
use crate::{address, nft, rule, sysctl};

/// One object of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which one.
    pub key: Key,
    /// How it is, for reading.
    pub text: String,
    /// Whose it is, as far as it tells.
    pub mark: Mark,
}

/// Everything but settings, of which there are too many: see [`setting`].
///
/// # Errors
/// The kernel refuses to tell.
pub fn survey(netns: &NetnsHandle) -> Result<Vec<Entry>, KernelError> {
    let mut session = Session::open(netns.clone(), Netns::Host)?;
    session.load_links()?;
    let mut found: Vec<Entry> = session
        .links
        .iter()
        .filter_map(|link| link_entry(link, &session.links))
        .collect();
    for address in address::read_all(&mut session)? {
        if let Some(link) = session.links.name(address.index) {
            found.push(Entry {
                key: Key::Address {
                    link: link.clone(),
                    net: address.net,
                },
                text: String::new(),
                mark: Mark::On(link),
            });
        }
    }
    for family in Family::ALL {
        let routes = read_all(&mut session, family, 0)?;
        found.extend(
            routes
                .iter()
                .map(|route| route_entry(route, &session.links)),
        );
        found.extend(neighbours(&mut session, family_number(family))?);
    }
    found.extend(neighbours(&mut session, libc::AF_BRIDGE as u8)?);
    let rules = rule::read_all(&mut session)?;
    found.extend(rules.into_iter().map(|(key, rule, protocol)| Entry {
        key,
        text: rule.to_string(),
        mark: Mark::Protocol(protocol),
    }));
    found.extend(nft::tables::entries(netns)?);
    Ok(found)
}

/// A setting below `net/`; nothing if there is none of that name.
///
/// # Errors
/// The namespace cannot be entered.
pub fn setting(netns: &NetnsHandle, path: &str) -> Result<Option<String>, KernelError> {
    let found = sysctl::read(netns, &[path])?;
    Ok(found.into_iter().next().map(|(_, value)| value))
}

fn link_entry(link: &LinkInfo, links: &Links) -> Option<Entry> {
    let name = IfName::new(link.name.as_str()).ok()?;
    let seen = link_object(link, links);
    let kind = link.kind.clone().unwrap_or_else(|| "device".to_owned());
    // What a plan cannot want has no words in it; the kernel's own name of it says more.
    let text = Object::Link(seen)
        .to_string()
        .replacen("existing", &kind, 1);
    Some(Entry {
        key: Key::Link(name.clone()),
        text,
        mark: Mark::Device {
            name,
            kind: link.kind.clone(),
            master: link.master.and_then(|index| links.name(index)),
        },
    })
}

fn route_entry(route: &RouteInfo, links: &Links) -> Entry {
    // `RTN_*` of linux/rtnetlink.h.
    let kind = match route.kind {
        libc::RTN_LOCAL => "local",
        libc::RTN_BROADCAST => "broadcast",
        libc::RTN_ANYCAST => "anycast",
        libc::RTN_MULTICAST => "multicast",
        libc::RTN_UNREACHABLE => "unreachable",
        libc::RTN_PROHIBIT => "prohibit",
        libc::RTN_THROW => "throw",
        _ => "",
    };
    let seen = route_object(route, links).filter(|_| kind.is_empty());
    let text = match (seen, route.link.and_then(|index| links.name(index))) {
        (Some(route), _) => route.to_string(),
        (None, Some(link)) => format!("{kind} dev {link}"),
        (None, None) => kind.to_owned(),
    };
    Entry {
        key: Key::Route {
            table: route.table,
            dst: route.dst,
            metric: route.told_metric(),
        },
        text,
        mark: Mark::Protocol(route.protocol),
    }
}

/// Neighbour entries of a family, or forwarding entries of bridges and VXLAN devices.
fn neighbours(session: &mut Session, family: u8) -> Result<Vec<Entry>, KernelError> {
    let message = Message::new(libc::RTM_GETNEIGH, 0, &header(family, 0, 0, 0));
    let entries = match session.dump("neighbours", &message, |reply| decode_neighbour(reply.body)) {
        // No such family, or no bridge, in this kernel.
        Err(error) if matches!(error.errno(), Some(Errno::EOPNOTSUPP | Errno::ENOENT)) => {
            Vec::new()
        }
        other => other?,
    };
    let entry = |entry: &NeighbourInfo| {
        let link = session.links.name(entry.index)?;
        let state = state(entry.state);
        let (key, text) = if i32::from(family) == libc::AF_BRIDGE {
            let remote = entry.dst.map(|dst| format!("dst {dst}"));
            let own = if entry.flags & SELF != 0 { "self" } else { "" };
            let mac = entry.mac?;
            let key = Key::Fdb {
                link,
                mac,
                remote: None,
            };
            (key, remote.unwrap_or_else(|| own.to_owned()))
        } else {
            let key = Key::Neighbour {
                link,
                address: entry.dst?,
            };
            let mac = entry.mac.map(|mac| format!("lladdr {mac}"));
            (key, mac.unwrap_or_default())
        };
        Some(Entry {
            key,
            text: format!("{text} {state}").trim().to_owned(),
            mark: Mark::Entry(whose(entry.state)),
        })
    };
    Ok(entries.iter().filter_map(entry).collect())
}

/// `NUD_*` of linux/neighbour.h, as `ip` writes them.
const STATES: &[(u16, &str, &str)] = &[
    (0x80, "permanent", "set by somebody, for good"),
    (0x40, "noarp", "made by the kernel, nobody need be asked"),
    (0x02, "reachable", "learned by the kernel, and answering"),
    (
        0x04,
        "stale",
        "learned by the kernel, not asked for a while",
    ),
    (0x08, "delay", "learned by the kernel, being asked anew"),
    (0x10, "probe", "learned by the kernel, being asked anew"),
    (
        0x01,
        "incomplete",
        "being asked for by the kernel, no answer yet",
    ),
    (0x20, "failed", "asked for by the kernel, nobody answers"),
];

fn state(state: u16) -> &'static str {
    let found = STATES.iter().find(|(bit, _, _)| state & bit != 0);
    found.map_or("", |(_, name, _)| *name)
}

fn whose(state: u16) -> &'static str {
    let found = STATES.iter().find(|(bit, _, _)| state & bit != 0);
    found.map_or("made by the kernel", |(_, _, words)| *words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, name};

    fn find<'a>(all: &'a [Entry], key: &str) -> &'a Entry {
        let found = all.iter().find(|entry| entry.key.to_string() == key);
        found.unwrap_or_else(|| panic!("no {key} in {all:#?}"))
    }

    #[test]
    fn what_others_made_is_found_with_its_mark() {
        let host = Host::new();
        host.run("ip link add br-other type bridge; ip link set br-other up");
        host.run("ip addr add 192.0.2.1/24 dev br-other");
        host.run("ip route add 198.51.100.0/24 via 192.0.2.9 proto bird");
        host.run("ip route add unreachable 203.0.113.0/24; ip rule add pref 99 lookup 7");
        host.run("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev br-other");
        host.run("nft add table ip filter; nft add chain ip filter FORWARD '{type filter hook forward priority 0; policy drop;}'");
        let all = survey(&host.netns).unwrap();
        assert_eq!(
            find(&all, "link br-other").mark,
            Mark::Device {
                name: name("br-other"),
                kind: Some("bridge".into()),
                master: None
            }
        );
        let route = find(&all, "route 198.51.100.0/24");
        assert_eq!(route.mark, Mark::Protocol(12));
        assert_eq!(route.text, "via 192.0.2.9 dev br-other");
        assert_eq!(find(&all, "route 203.0.113.0/24").text, "unreachable");
        assert_eq!(find(&all, "rule ipv4 priority 99").text, "lookup 7");
        let neighbour = find(&all, "neighbour 192.0.2.9 dev br-other");
        assert_eq!(neighbour.text, "lladdr 02:00:00:00:00:09 permanent");
        let chain = find(&all, "nft chain FORWARD");
        assert!(chain.text.contains("policy drop"), "{}", chain.text);
        find(&all, "address 192.0.2.1/24 dev br-other");
        assert_eq!(
            setting(&host.netns, "net/ipv4/conf/br-other/forwarding").unwrap(),
            Some("0".to_owned())
        );
        assert_eq!(setting(&host.netns, "net/ipv4/nothing").unwrap(), None);
    }
}
