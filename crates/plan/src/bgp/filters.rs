//! Which routes come in from a peer, and which go out to it.
//!
//! BGPFilters come first, and may let through what is refused behind them.
//!
//! ```text
//!  in    refused: a default route, addresses that are never routed, the underlay's own subnets, our own
//!        blocks, what covers a pool of ours. Everything else comes in. What lies in a pool is held
//!        against the blocks when routes are planned (learned.rs).
//!  out   to nodes: pools, and what begins here. To others: the same but for pools with
//!        disableBGPExport, and of what peers told only what is as large as a block or one address.
//!        What peers told that is of no pool of ours goes to nobody, and what one router told goes to no
//!        other one, unless a BGPFilter accepts something.
//! ```

use ipnet::IpNet;
use tombolo_bgp::{Filter, FilterRule, Matching, Outcome};
use tombolo_model::kinds::bgp::{self, FilterAction, MatchOperator};
use tombolo_model::{Family, IpPool, Name, Resource};

use super::Site;

/// Ranges that are never routed between hosts, with why.
const NEVER: &[(&str, &str)] = &[
    ("0.0.0.0/8", "it is this network's own (RFC 791)"),
    ("127.0.0.0/8", "it is every host's loopback"),
    ("169.254.0.0/16", "it is of one link only"),
    ("224.0.0.0/4", "it is multicast"),
    ("240.0.0.0/4", "it is reserved"),
    ("::/127", "it is unspecified, or every host's loopback"),
    ("::ffff:0.0.0.0/96", "it is IPv4 in IPv6's clothes"),
    ("fe80::/10", "it is of one link only"),
    ("ff00::/8", "it is multicast"),
];

/// What comes in from a peer, past the BGPFilters that it has.
pub(super) fn import(site: &Site, filters: &[Name]) -> Filter {
    let mut rules = told(site, filters, |filter| {
        [
            ("importV4", &filter.import_v4),
            ("importV6", &filter.import_v6),
        ]
    });
    let allowed = site.settings.import();
    for family in Family::ALL {
        rules.push(default_route(family, allowed.default_route));
    }
    for (range, why) in NEVER {
        let range = range.parse::<IpNet>().ok();
        rules.extend(range.map(|range| reject(range, Matching::In, *why)));
    }
    for (block, most) in own_blocks(site) {
        rules.push(FilterRule {
            length: Some((block.prefix_len(), most)),
            ..reject(block, Matching::In, "it is of a block of this node itself")
        });
    }
    if !allowed.pools {
        for pool in pools(site) {
            let reason = format!("it covers IPPool {}", pool.name());
            rules.push(reject(pool.spec.cidr, Matching::Covers, reason));
        }
    }
    for own in &site.me.spec.addresses {
        let underlay = own.address.trunc();
        // A pool may be a part of the underlay's subnet that nobody else uses.
        let within = pools(site).filter(|pool| underlay.contains(&pool.spec.cidr));
        rules.extend(within.map(|pool| accept(pool, None)));
        let reason = format!("it is of the underlay's own subnet, on {}", own.interface);
        rules.push(reject(underlay, Matching::In, reason));
    }
    Filter {
        rules,
        otherwise: Outcome::Accept,
    }
}

/// What goes out to a peer, past the BGPFilters that it has; `outside` if it is no node of ours.
pub(super) fn export(site: &Site, filters: &[Name], outside: bool) -> Filter {
    let mut rules = told(site, filters, |filter| {
        [
            ("exportV4", &filter.export_v4),
            ("exportV6", &filter.export_v6),
        ]
    });
    for pool in pools(site) {
        let cidr = pool.spec.cidr;
        if !outside {
            rules.push(accept(pool, None));
            continue;
        }
        if pool.spec.disable_bgp_export {
            let reason = format!("IPPool {} has disableBGPExport", pool.name());
            rules.push(reject(cidr, Matching::In, reason));
            continue;
        }
        for length in [pool.spec.block_prefix(), cidr.max_prefix_len()] {
            rules.push(accept(pool, Some((length, length))));
        }
        let reason = "a peer told it, and it is neither as large as a block nor one address";
        rules.push(FilterRule {
            from_peers: true,
            ..reject(cidr, Matching::In, reason)
        });
    }
    rules.push(FilterRule {
        net: None,
        from_peers: true,
        ..reject(
            Family::V4.default_net(),
            Matching::In,
            "a peer told it, and it is of no pool of ours; a BGPFilter would let it out",
        )
    });
    Filter {
        rules,
        otherwise: Outcome::Accept,
    }
}

/// Whether filters say themselves what goes out: then it may be what routers told, too.
pub(super) fn let_out(site: &Site, filters: &[Name]) -> bool {
    let all = filters
        .iter()
        .filter_map(|name| site.world.bgp_filters.get(name));
    let mut rules =
        all.flat_map(|filter| filter.spec.export_v4.iter().chain(&filter.spec.export_v6));
    rules.any(|rule| rule.action == FilterAction::Accept)
}

/// Lets through what is of a pool.
fn accept(pool: &Resource<IpPool>, length: Option<(u8, u8)>) -> FilterRule {
    let reason = format!("it is of IPPool {}", pool.name());
    FilterRule {
        outcome: Outcome::Accept,
        length,
        ..reject(pool.spec.cidr, Matching::In, reason)
    }
}

/// What is done with a default route, and with its halves, which are as good: in IPv6 all global
/// addresses are an eighth of it.
fn default_route(family: Family, is_allowed: bool) -> FilterRule {
    let widest = match family {
        Family::V4 => 1,
        Family::V6 => 3,
    };
    let (outcome, reason) = match is_allowed {
        true => (
            Outcome::Accept,
            "spec.import.defaultRoute of BGPConfiguration lets it in",
        ),
        false => (
            Outcome::Reject,
            "it is a default route, or nearly; spec.import.defaultRoute of BGPConfiguration would \
             let it in",
        ),
    };
    FilterRule {
        length: Some((0, widest)),
        outcome,
        ..reject(family.default_net(), Matching::In, reason)
    }
}

fn reject(net: IpNet, matching: Matching, reason: impl Into<String>) -> FilterRule {
    FilterRule {
        net: Some(net),
        matching,
        length: None,
        from_peers: false,
        outcome: Outcome::Reject,
        reason: reason.into(),
    }
}

/// The pools whose addresses the hosts route.
fn pools<'a>(site: &Site<'a>) -> impl Iterator<Item = &'a Resource<IpPool>> + use<'a> {
    let pools = site.world.pools.values();
    pools.filter(|pool| pool.spec.space.is_none())
}

/// This node's blocks, each with the greatest length that is refused: single addresses of it may be
/// at other nodes, and are judged when routes are planned.
fn own_blocks(site: &Site) -> impl Iterator<Item = (IpNet, u8)> {
    let me = site.me.name();
    let blocks = site.world.blocks.values();
    let own = blocks.filter(move |b| b.spec.node.as_ref() == Some(me) && b.spec.space.is_none());
    own.map(|block| {
        let cidr = block.spec.cidr;
        (cidr, (cidr.max_prefix_len() - 1).max(cidr.prefix_len()))
    })
}

/// One direction of a BGPFilter: its lists, with their fields.
type Lists = fn(&bgp::BgpFilter) -> [(&'static str, &Vec<bgp::FilterRule>); 2];

/// The rules of BGPFilters. Of one that does not exist nothing is known, so nothing passes.
fn told(site: &Site, filters: &[Name], lists: Lists) -> Vec<FilterRule> {
    let mut rules = Vec::new();
    for name in filters {
        let Some(filter) = site.world.bgp_filters.get(name) else {
            let reason = format!("there is no BGPFilter {name}");
            let everything = Family::V4.default_net();
            rules.push(FilterRule {
                net: None,
                ..reject(everything, Matching::In, reason)
            });
            continue;
        };
        let families = lists(&filter.spec).into_iter().zip(Family::ALL);
        for ((field, list), family) in families {
            for (index, rule) in list.iter().enumerate() {
                let reason = format!("BGPFilter {name}, {field}[{index}]");
                rules.push(read(rule, family, reason));
            }
        }
    }
    rules
}

/// A rule of a BGPFilter as the speaker takes it.
fn read(rule: &bgp::FilterRule, family: Family, reason: String) -> FilterRule {
    let length = rule.prefix_length.map(|length| {
        (
            length.min.unwrap_or(0),
            length.max.unwrap_or_else(|| family.bits()),
        )
    });
    FilterRule {
        // A list is of one family, also where a rule names no range.
        net: Some(rule.cidr.unwrap_or_else(|| family.default_net())),
        matching: match rule.match_operator {
            None | Some(MatchOperator::In) => Matching::In,
            Some(MatchOperator::NotIn) => Matching::NotIn,
            Some(MatchOperator::Equal) => Matching::Equal,
            Some(MatchOperator::NotEqual) => Matching::NotEqual,
        },
        length,
        from_peers: rule.source.is_some(),
        outcome: match rule.action {
            FilterAction::Accept => Outcome::Accept,
            FilterAction::Reject => Outcome::Reject,
        },
        reason,
    }
}

/// A rule for people.
pub(super) fn describe(rule: &FilterRule) -> String {
    let outcome = match rule.outcome {
        Outcome::Accept => "accept",
        Outcome::Reject => "reject",
    };
    let range = rule.net.map_or_else(String::new, |net| {
        let matching = match rule.matching {
            Matching::In => "in",
            Matching::NotIn => "not in",
            Matching::Equal => "equal",
            Matching::NotEqual => "not equal",
            Matching::Covers => "covering",
        };
        format!(" {matching} {net}")
    });
    let length = rule.length.map_or_else(String::new, |(least, most)| {
        format!(" of length {least} to {most}")
    });
    let source = if rule.from_peers { " from peers" } else { "" };
    format!("{outcome}{range}{length}{source}: {}", rule.reason)
}
