//! Whether a rule is about a packet, and if not, why not: the first of its conditions that fails.

use tombolo_model::Family;
use tombolo_model::kinds::policy::{Icmp, PortMatch, ProtocolMatch};

use crate::addresses::Place;
use crate::directory::Directory;
use crate::rulebook::{End, Group, Rule};

/// A packet, and who its ends are.
#[derive(Debug, Clone)]
pub(crate) struct Packet<'a> {
    pub(crate) family: Family,
    pub(crate) protocol: ProtocolMatch,
    pub(crate) source: Place<'a>,
    pub(crate) destination: Place<'a>,
    pub(crate) source_port: Option<u16>,
    pub(crate) destination_port: Option<u16>,
    /// Type and code, if it is ICMP or ICMPv6.
    pub(crate) icmp: Option<(u8, u8)>,
}

/// Something that a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// `ipVersion`
    Family,
    /// `protocol`
    Protocol,
    /// `notProtocol`
    NotProtocol,
    /// `icmp`
    Icmp,
    /// `notICMP`
    NotIcmp,
    /// Something of `source`.
    Source(Part),
    /// Something of `destination`.
    Destination(Part),
}

/// Something that a rule says of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `nets`
    Nets,
    /// `notNets`
    NotNets,
    /// `selector`, `namespaceSelector`
    Group,
    /// `notSelector`
    NotGroup,
    /// `ports`
    Ports,
    /// `notPorts`
    NotPorts,
}

impl Rule<'_> {
    /// The first condition that does not hold for a packet; none if the rule matches.
    pub(crate) fn mismatch(&self, packet: &Packet, directory: &Directory) -> Option<Condition> {
        self.failed(packet, directory).next()
    }

    /// Every condition that does not hold for a packet, looked for one after another.
    pub(crate) fn failed(
        &self,
        packet: &Packet,
        directory: &Directory,
    ) -> impl Iterator<Item = Condition> {
        let is = |icmp: &Icmp| is_icmp(*icmp, packet);
        let own = [
            (
                Condition::Family,
                self.family.is_none_or(|f| f == packet.family),
            ),
            (
                Condition::Protocol,
                self.protocol.is_none_or(|p| p == packet.protocol),
            ),
            (
                Condition::NotProtocol,
                self.not_protocol.is_none_or(|p| p != packet.protocol),
            ),
            (Condition::Icmp, self.icmp.as_ref().is_none_or(is)),
            (
                Condition::NotIcmp,
                self.not_icmp.as_ref().is_none_or(|icmp| !is(icmp)),
            ),
        ];
        let own = own.into_iter().filter(|(_, holds)| !holds);
        let sides = [true, false].into_iter().flat_map(move |source| {
            let parts = Part::ALL.into_iter();
            parts.filter_map(move |part| {
                let (condition, end) = match source {
                    true => (Condition::Source(part), &self.source),
                    false => (Condition::Destination(part), &self.destination),
                };
                let side = match source {
                    true => (&packet.source, packet.source_port),
                    false => (&packet.destination, packet.destination_port),
                };
                (!end.holds(part, side, packet.protocol, directory)).then_some(condition)
            })
        });
        own.map(|(condition, _)| condition).chain(sides)
    }
}

impl Part {
    const ALL: [Part; 6] = [
        Part::Nets,
        Part::NotNets,
        Part::Group,
        Part::NotGroup,
        Part::Ports,
        Part::NotPorts,
    ];
}

impl End<'_> {
    /// Whether something that it says holds.
    fn holds(
        &self,
        part: Part,
        (place, port): (&Place, Option<u16>),
        protocol: ProtocolMatch,
        directory: &Directory,
    ) -> bool {
        let within = |nets: &[ipnet::IpNet]| {
            let address = place.address;
            address.is_some_and(|address| nets.iter().any(|net| net.contains(&address)))
        };
        let is = |group: &Group| {
            place.classes.iter().any(|class| {
                let class = &directory.classes[*class];
                directory.is_in(*group, class.namespace, &class.labels)
            })
        };
        let named = |ports: &[PortMatch]| {
            ports
                .iter()
                .any(|wanted| is_port(wanted, place, protocol, port))
        };
        match part {
            Part::Nets => self.nets.is_empty() || within(self.nets),
            Part::NotNets => !within(self.not_nets),
            Part::Group => self.group.as_ref().is_none_or(is),
            Part::NotGroup => !self.not_group.as_ref().is_some_and(is),
            Part::Ports => self.ports.is_empty() || named(self.ports),
            Part::NotPorts => !named(self.not_ports),
        }
    }
}

/// Whether a packet's port is one that a rule names. A name is looked for at the end whose port it is.
fn is_port(wanted: &PortMatch, place: &Place, protocol: ProtocolMatch, port: Option<u16>) -> bool {
    let Some(port) = port else { return false };
    match wanted {
        PortMatch::Range(first, last) => (*first..=*last).contains(&port),
        PortMatch::Named(name) => {
            let station = place.station.iter();
            let stations = station.flat_map(|station| &station.endpoint.spec.named_ports);
            let hosts = place.hosts.iter().flat_map(|host| &host.spec.ports);
            stations.chain(hosts).any(|known| {
                known.name == *name && known.protocol == protocol && known.port == port
            })
        }
    }
}

fn is_icmp(wanted: Icmp, packet: &Packet) -> bool {
    packet.icmp.is_some_and(|(icmp_type, code)| {
        wanted.icmp_type.is_none_or(|wanted| wanted == icmp_type)
            && wanted.code.is_none_or(|wanted| wanted == code)
    })
}
