//! Sets that rules look addresses and ports up in.
//!
//! Who a selector is about is in two sets a family: addresses of endpoints and hosts, which are looked
//! up by hash, and prefixes of network sets, which are ranges and exist only where there are any. Sets
//! are named by what they stand for, so rules that say the same use the same one.

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::Family;
use tombolo_model::kinds::policy::{NamedPort, ProtocolMatch};
use tombolo_policy::{Group, Member, Scope};

use super::writer::Writer;
use crate::host_plan::Origin;
use crate::naming;
use crate::objects::{Datum, Field, Members, NftSet};

/// The sets of a group, by which rules name it.
#[derive(Clone)]
pub(super) struct GroupSets {
    id: String,
    /// The families of which it has prefixes.
    ranges: Vec<Family>,
}

impl GroupSets {
    /// The set of single addresses.
    pub fn addresses(&self, family: Family) -> String {
        format!("group/{}-{family}", self.id)
    }

    /// The set of prefixes, if it has any.
    pub fn ranges(&self, family: Family) -> Option<String> {
        let has = self.ranges.contains(&family);
        has.then(|| format!("group/{}-nets-{family}", self.id))
    }
}

impl<'a> Writer<'_, 'a> {
    /// The sets of a group.
    pub fn group(&mut self, group: Group<'a>, origin: &Origin) -> GroupSets {
        if let Some(sets) = self.groups.get(&group) {
            return sets.clone();
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        let mut nets: Vec<IpNet> = Vec::new();
        for member in self.directory.group(group).flat_map(|class| &class.members) {
            match member {
                Member::Endpoint(endpoint)
                    if self.domain.networks.contains(&endpoint.spec.network) =>
                {
                    addresses.extend(&endpoint.spec.addresses);
                }
                Member::Host(host) if self.domain.is_hosts_space => {
                    addresses.extend(&host.spec.expected_ips);
                }
                Member::Set { nets: more, .. } => nets.extend(more.iter()),
                _ => {}
            }
        }
        let of_family = |family| move |net: &&IpNet| Family::of_net(**net) == family;
        let has = |family: &Family| nets.iter().any(|net| Family::of_net(*net) == *family);
        let sets = GroupSets {
            id: naming::short(&["group", &describe(group)]),
            ranges: self.families.iter().copied().filter(has).collect(),
        };
        for family in self.families.clone() {
            let own = addresses
                .iter()
                .filter(|address| Family::of(**address) == family);
            let members = Members::of_set(own.map(|address| vec![Datum::Ip(*address)]));
            self.set(
                &sets.addresses(family),
                plain(family),
                members,
                origin.clone(),
            );
            if let Some(name) = sets.ranges(family) {
                let nets = nets.iter().filter(of_family(family));
                self.set(
                    &name,
                    ranges(Field::address(family)),
                    net_members(nets),
                    origin.clone(),
                );
            }
        }
        self.groups.insert(group, sets.clone());
        sets
    }

    /// A set of prefixes of one family.
    pub fn nets(&mut self, nets: &[IpNet], family: Family, origin: &Origin) -> String {
        let mut words: Vec<String> = nets.iter().map(ToString::to_string).collect();
        words.sort_unstable();
        let name = format!(
            "nets/{}-{family}",
            naming::short(&["nets", &words.join(" ")])
        );
        self.set(
            &name,
            ranges(Field::address(family)),
            net_members(nets),
            origin.clone(),
        );
        name
    }

    /// A set of ranges of ports.
    pub fn ports(&mut self, ports: &[(u16, u16)], origin: &Origin) -> String {
        let words: Vec<String> = ports.iter().map(|(a, b)| format!("{a}-{b}")).collect();
        let name = format!("ports/{}", naming::short(&["ports", &words.join(" ")]));
        let members = ports
            .iter()
            .map(|(first, last)| vec![Datum::PortRange(*first, *last)]);
        self.set(
            &name,
            ranges(Field::Port),
            Members::of_set(members),
            origin.clone(),
        );
        name
    }

    /// Who has a port of a name: addresses with the protocol and the number.
    pub fn named(
        &mut self,
        port: &str,
        protocol: ProtocolMatch,
        family: Family,
        origin: &Origin,
    ) -> String {
        let id = naming::short(&["named", port, &protocol.to_string()]);
        let name = format!("named/{id}-{family}");
        let mut members = Vec::new();
        let mut add = |addresses: &[IpAddr], ports: &[NamedPort]| {
            let fits = |p: &&NamedPort| p.name == port && p.protocol == protocol;
            for found in ports.iter().filter(fits) {
                for address in addresses.iter().filter(|a| Family::of(**a) == family) {
                    let number = Datum::protocol(protocol.0);
                    members.push(vec![Datum::Ip(*address), number, Datum::Port(found.port)]);
                }
            }
        };
        for member in self
            .directory
            .classes
            .iter()
            .flat_map(|class| &class.members)
        {
            match member {
                Member::Endpoint(endpoint)
                    if self.domain.networks.contains(&endpoint.spec.network) =>
                {
                    add(&endpoint.spec.addresses, &endpoint.spec.named_ports);
                }
                Member::Host(host) if self.domain.is_hosts_space => {
                    add(&host.spec.expected_ips, &host.spec.ports);
                }
                _ => {}
            }
        }
        let set = NftSet {
            key: vec![Field::address(family), Field::Protocol, Field::Port],
            data: Vec::new(),
            interval: false,
        };
        self.set(&name, set, Members::of_set(members), origin.clone());
        name
    }
}

/// A group in words.
pub(super) fn describe(group: Group<'_>) -> String {
    let selector = group
        .selector
        .map_or_else(|| "all()".to_owned(), ToString::to_string);
    match group.scope {
        Scope::Everywhere => selector,
        Scope::Namespace(name) => format!("{selector} in namespace {name}"),
        Scope::Namespaces(namespaces) => format!("{selector} in namespaces {namespaces}"),
    }
}

fn plain(family: Family) -> NftSet {
    NftSet {
        key: vec![Field::address(family)],
        data: Vec::new(),
        interval: false,
    }
}

fn ranges(field: Field) -> NftSet {
    NftSet {
        key: vec![field],
        data: Vec::new(),
        interval: true,
    }
}

fn net_members<'n>(nets: impl IntoIterator<Item = &'n IpNet>) -> Members {
    Members::of_set(nets.into_iter().map(|net| vec![Datum::Net(net.trunc())]))
}
