//! Other programs' packet filters: do they let through what this host must forward.

use std::collections::BTreeMap;

use tombolo_model::Family;
use tombolo_plan::filter::{Fate, Filter, FilterChain, Packet};
use tombolo_plan::objects::HookPoint;

use crate::Verdict;
use crate::facts::Facts;

/// Without an agent nothing is known of networks; what containers here would send is like this.
fn packets_of_anybody() -> Vec<Packet> {
    let packet = |input: &str, output: &str, source: &str, destination: &str| Packet {
        input: input.to_owned(),
        output: output.to_owned(),
        source: source.parse().expect("an address stands here"),
        destination: destination.parse().expect("an address stands here"),
    };
    vec![
        packet("tbv0", "tbx4096", "10.244.0.5", "10.244.1.5"),
        packet("tbx4096", "tbv0", "10.244.1.5", "10.244.0.5"),
    ]
}

/// The packets of whom the fate is asked.
fn traffic(facts: &Facts) -> Vec<Packet> {
    match &facts.node {
        Ok(node) => node.traffic.clone(),
        Err(_) => packets_of_anybody(),
    }
}

pub(crate) fn filters(facts: &Facts) -> Vec<Verdict> {
    let filter = match &facts.host.filter {
        Ok(filter) => filter,
        Err(why) => {
            return vec![Verdict::warning(
                "filters",
                format!("cannot be read: {why}"),
                "run `tombolo check` as root",
            )];
        }
    };
    let blocking = blocking(filter, &traffic(facts));
    let mut found: Vec<Verdict> = blocking
        .values()
        .map(|block| block.verdict(filter, facts))
        .collect();
    if found.is_empty() {
        let tables = filter.tables().len();
        found.push(Verdict::ok(
            "filters",
            format!("no chain of {tables} other tables drops what is forwarded"),
        ));
    }
    found
}

/// A chain that drops packets of ours.
struct Block<'a> {
    chain: &'a FilterChain,
    fate: Fate,
    packets: Vec<Packet>,
}

/// The chains that drop or may drop packets, by name.
fn blocking<'a>(filter: &'a Filter, traffic: &[Packet]) -> BTreeMap<String, Block<'a>> {
    let mut found: BTreeMap<String, Block<'a>> = BTreeMap::new();
    for packet in traffic {
        let fates = filter.fates(HookPoint::Forward, packet).into_iter();
        for (chain, fate) in fates.filter(|(_, fate)| *fate != Fate::Passes) {
            let name = format!("{} {} {}", chain.family, chain.table, chain.name);
            let block = found.entry(name).or_insert(Block {
                chain,
                fate,
                packets: Vec::new(),
            });
            block.fate = block.fate.max(fate);
            block.packets.push(packet.clone());
        }
    }
    found
}

impl Block<'_> {
    fn verdict(&self, filter: &Filter, facts: &Facts) -> Verdict {
        let chain = self.chain;
        let subject = format!("{} {} {}", chain.family, chain.table, chain.name);
        let packet = &self.packets[0];
        let way = format!(
            "{} → {} (in {}, out {})",
            packet.source, packet.destination, packet.input, packet.output
        );
        let remedy = self.remedy(filter, facts);
        match self.fate {
            Fate::Dropped => Verdict::failed(
                subject,
                format!(
                    "drops {} kinds of packets that this host must forward, as {way}; an accept in our table does not override it",
                    self.packets.len()
                ),
                remedy,
            ),
            _ => Verdict::warning(
                subject,
                format!(
                    "drops by default, and only rules that this program cannot read may let {way} pass"
                ),
                format!("if containers do not reach each other: {remedy}"),
            ),
        }
    }

    /// The rules to add, in the words of whoever made the chain.
    fn remedy(&self, filter: &Filter, facts: &Facts) -> String {
        let chain = self.chain;
        let (family, table, name) = (
            chain.family.as_str(),
            chain.table.as_str(),
            chain.name.as_str(),
        );
        let program = match family {
            "ip" => "iptables",
            "ip6" => "ip6tables",
            "iptables-legacy" | "ip6tables-legacy" => family,
            _ => "nft",
        };
        if table == "firewalld" {
            let pools = facts.node.iter().flat_map(|node| &node.pools);
            let sources: Vec<String> = pools.map(|pool| format!("--add-source={pool}")).collect();
            return format!(
                "`firewall-cmd --permanent --zone=trusted {}; firewall-cmd --reload`",
                sources.join(" ")
            );
        }
        if program != "nft" && table == "filter" && name == "FORWARD" {
            let docker = filter.has_chain(family, table, "DOCKER-USER");
            let into = if docker { "DOCKER-USER" } else { name };
            return format!(
                "`{program} -I {into} -i tb+ -j ACCEPT; {program} -I {into} -o tb+ -j ACCEPT`"
            );
        }
        format!(
            "`nft insert rule {family} {table} {name} iifname \"tb*\" accept; nft insert rule {family} {table} {name} oifname \"tb*\" accept`"
        )
    }
}

pub(crate) fn bridges(facts: &Facts) -> Vec<Verdict> {
    let Ok(node) = &facts.node else {
        return Vec::new();
    };
    let Ok(filter) = &facts.host.filter else {
        return Vec::new();
    };
    if !node.has_bridges {
        return Vec::new();
    }
    let setting = |family| match family {
        Family::V4 => "net/bridge/bridge-nf-call-iptables",
        Family::V6 => "net/bridge/bridge-nf-call-ip6tables",
    };
    let mut found = Vec::new();
    for family in &node.families {
        let name = setting(*family);
        let on = facts
            .host
            .settings
            .get(name)
            .is_some_and(|value| value == "1");
        let packets: Vec<Packet> = node
            .traffic
            .iter()
            .filter(|p| Family::of(p.source) == *family)
            .cloned()
            .collect();
        if !on {
            found.push(Verdict::ok(
                name,
                "off: what containers of one bridge send each other passes no filter",
            ));
        } else if blocking(filter, &packets).is_empty() {
            found.push(Verdict::ok(name, "on, and no filter drops what is bridged"));
        } else {
            found.push(Verdict::failed(
                name,
                "on: also what containers of one bridge send each other passes the filters above, and is dropped",
                format!("follow the remedy of `filters`; or `sysctl -w {}=0`, if nobody else here needs it", name.replace('/', ".")),
            ));
        }
    }
    found
}
