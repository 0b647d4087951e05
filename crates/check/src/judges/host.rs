//! The host: kernel, settings, tables, links, routes.

use std::collections::BTreeMap;

use ipnet::IpNet;
use tombolo_model::Family;

use crate::Verdict;
use crate::facts::Facts;

/// Shares of a table that are much, and too much, in percent.
const MUCH: u64 = 80;
const TOO_MUCH: u64 = 95;

pub(crate) fn kernel(facts: &Facts) -> Vec<Verdict> {
    match &facts.host.refused {
        Err(why) => vec![Verdict::warning("kernel", format!("was not tried: {why}"), "run `tombolo check` as root")],
        Ok(refused) if refused.is_empty() => {
            vec![Verdict::ok("kernel", "holds all that Tombolo makes: pairs, bridges, VXLAN, nftables, settings")]
        }
        Ok(refused) => refused
            .iter()
            .map(|why| {
                Verdict::failed(
                    "kernel",
                    why.clone(),
                    "load the module (`modprobe veth bridge vxlan nf_tables nft_nat nft_masq nft_fib_inet`), or boot a kernel that has it",
                )
            })
            .collect(),
    }
}

pub(crate) fn settings(facts: &Facts) -> Vec<Verdict> {
    let families = facts
        .node
        .as_ref()
        .map_or_else(|_| vec![Family::V4], |node| node.families.clone());
    let mut found = Vec::new();
    for family in families {
        let path = match family {
            Family::V4 => "net/ipv4/ip_forward",
            Family::V6 => "net/ipv6/conf/all/forwarding",
        };
        let dots = path.replace('/', ".");
        found.push(match facts.host.settings.get(path).map(String::as_str) {
            Some("0") => Verdict::failed(
                path,
                "is 0: the host forwards nothing between containers and other nodes",
                format!("`sysctl -w {dots}=1`, and take the `{dots} = 0` out of /etc/sysctl.d, or it comes back; the agent sets it while it runs"),
            ),
            Some(value) => Verdict::ok(path, format!("is {value}: the host forwards")),
            None => Verdict::failed(path, format!("is not there: the kernel has no {family}"), format!("boot with {family} (no `ipv6.disable=1`), or use pools of the other family alone")),
        });
        let disabled = facts.host.settings.get("net/ipv6/conf/all/disable_ipv6");
        if family == Family::V6 && disabled.is_some_and(|value| value == "1") {
            found.push(Verdict::failed(
                "net/ipv6/conf/all/disable_ipv6",
                "is 1: interfaces lose and refuse IPv6 addresses, but networks here have IPv6 pools",
                "`sysctl -w net.ipv6.conf.all.disable_ipv6=0`, and the same below /etc/sysctl.d; or take the IPv6 pools out of the networks",
            ));
        }
    }
    found
}

pub(crate) fn reverse_path(facts: &Facts) -> Vec<Verdict> {
    let value = |link: &str| {
        let path = format!("net/ipv4/conf/{link}/rp_filter");
        let value = facts
            .host
            .settings
            .get(&path)
            .and_then(|value| value.parse::<u8>().ok());
        value.unwrap_or(0)
    };
    let mut found = Vec::new();
    let peers = facts
        .host
        .peers
        .iter()
        .filter(|peer| peer.address.is_ipv4());
    for peer in peers {
        let Some(way) = peer.way.as_ref().filter(|way| **way != peer.interface) else {
            continue;
        };
        // The kernel takes the stricter of both (ip-sysctl.rst).
        let strict = value("all").max(value(peer.interface.as_str())) == 1;
        let words = format!(
            "packets to {} leave by {way}, but it sends to {}",
            peer.address, peer.interface
        );
        found.push(if strict {
            Verdict::failed(
                &peer.node,
                format!("{words}, where rp_filter is 1 and drops what comes by another way than it goes"),
                format!("let both ways be by {}: correct the route (`ip route get {}`), or `sysctl -w net.ipv4.conf.{0}.rp_filter=2`", peer.interface, peer.address),
            )
        } else {
            Verdict::warning(&peer.node, words, format!("correct the route if that is not meant: `ip route get {}`", peer.address))
        });
    }
    if found.is_empty() {
        found.push(Verdict::ok(
            "rp_filter",
            "no answers go another way than packets come",
        ));
    }
    found
}

pub(crate) fn conntrack(facts: &Facts) -> Vec<Verdict> {
    let number = |name: &str| {
        let value = facts.host.settings.get(name)?;
        value.parse::<u64>().ok()
    };
    let subject = "nf_conntrack";
    let (Some(count), Some(max)) = (
        number("net/netfilter/nf_conntrack_count"),
        number("net/netfilter/nf_conntrack_max"),
    ) else {
        return vec![Verdict::ok(subject, "connections are not tracked here")];
    };
    let words = format!("{count} of {max} connections");
    let remedy = format!(
        "`sysctl -w net.netfilter.nf_conntrack_max={}`, and the same in /etc/sysctl.d; `conntrack -L` shows whose they are",
        max.max(1) * 2
    );
    let share = count * 100 / max.max(1);
    vec![if share >= TOO_MUCH {
        Verdict::failed(subject, format!("{words}: new ones are dropped"), remedy)
    } else if share >= MUCH {
        Verdict::warning(subject, words, remedy)
    } else {
        Verdict::ok(subject, words)
    }]
}

pub(crate) fn neighbours(facts: &Facts) -> Vec<Verdict> {
    let Ok(node) = &facts.node else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for family in &node.families {
        let name = match family {
            Family::V4 => "net/ipv4/neigh/default/gc_thresh3",
            Family::V6 => "net/ipv6/neigh/default/gc_thresh3",
        };
        // It is the whole kernel's: other namespaces than the first do not see it.
        let Some(most) = facts
            .host
            .settings
            .get(name)
            .and_then(|value| value.parse::<usize>().ok())
        else {
            continue;
        };
        let needed = node.neighbours;
        let words = format!("{needed} neighbours are needed, {most} may be");
        let remedy = format!(
            "`sysctl -w {}={}`, and gc_thresh2 and gc_thresh1 to a half and a quarter of it",
            name.replace('/', "."),
            (needed * 4).next_power_of_two()
        );
        found.push(if needed >= most {
            Verdict::failed(
                name,
                format!("{words}: containers lose each other (\"neighbour table overflow\")"),
                remedy,
            )
        } else if needed * 2 >= most {
            Verdict::warning(name, words, remedy)
        } else {
            Verdict::ok(name, words)
        });
    }
    found
}

pub(crate) fn links(facts: &Facts) -> Vec<Verdict> {
    let mut found = Vec::new();
    if let Ok(node) = &facts.node {
        for underlay in &node.underlay {
            let link = facts
                .host
                .links
                .iter()
                .find(|link| link.name == underlay.interface);
            if link.is_none_or(|link| !link.up) {
                found.push(Verdict::failed(
                    &underlay.interface,
                    format!("the underlay's interface with {} is down or gone", underlay.address),
                    format!("`ip link set {} up`; if it is gone for good, name another at `init` or `join` with --underlay", underlay.interface),
                ));
            }
        }
        for link in facts
            .host
            .links
            .iter()
            .filter(|link| link.name.as_str().starts_with("tb"))
        {
            if !node.links.contains(&link.name) {
                found.push(Verdict::warning(
                    &link.name,
                    "has a name as ours, but is not planned: the agent removes such links",
                    format!("rename it if it is yours: `ip link set {} name other`; links that begin with tb are Tombolo's", link.name),
                ));
            }
        }
    }
    found.extend(default_routes(facts));
    if found.is_empty() {
        found.push(Verdict::ok(
            "links",
            "the underlay is up, and nobody else uses our names",
        ));
    }
    found
}

/// Two default routes of one metric: which one is taken is nobody's decision.
fn default_routes(facts: &Facts) -> Vec<Verdict> {
    let mut by_metric: BTreeMap<(IpNet, u32), Vec<&str>> = BTreeMap::new();
    for route in facts
        .host
        .routes
        .iter()
        .filter(|route| route.dst.prefix_len() == 0)
    {
        // A route that refuses is there for when no other is.
        if route.text.contains("dev ") {
            by_metric
                .entry((route.dst, route.metric))
                .or_default()
                .push(&route.text);
        }
    }
    let several = by_metric.iter().filter(|(_, ways)| ways.len() > 1);
    several
        .map(|((dst, metric), ways)| {
            Verdict::warning(
                format!("route {dst}"),
                format!("{} default routes have the metric {metric}: {}", ways.len(), ways.join("; ")),
                "give all but one a higher metric; and name the underlay's interface at `init` and `join`: --underlay interface=NAME",
            )
        })
        .collect()
}

pub(crate) fn ranges(facts: &Facts) -> Vec<Verdict> {
    let Ok(node) = &facts.node else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for pool in &node.pools {
        let overlap =
            |dst: &IpNet| dst.prefix_len() > 0 && (pool.contains(dst) || dst.contains(pool));
        let others = facts.host.routes.iter().filter(|route| overlap(&route.dst));
        let others: Vec<String> = others
            .map(|route| format!("{} {} ({})", route.dst, route.text, route.whose))
            .collect();
        found.push(if others.is_empty() {
            Verdict::ok(pool, "no other route of this host is in it")
        } else {
            Verdict::failed(
                pool,
                format!("another route leads to addresses of this pool: {}", others.join("; ")),
                "remove that route or its interface if it is not needed; else give the pool another range",
            )
        });
    }
    found
}
