//! What hosts tell each other by BGP, without speakers: what the plan of the one announces, the other one
//! has learned by its next turn. How speakers do that is tried elsewhere.

use std::collections::BTreeSet;

use ipnet::IpNet;
use tombolo_model::{Family, Name};
use tombolo_plan::bgp::BgpPlan;

use super::cast::{Spot, net};

/// What each host announces, as far as it speaks.
pub(super) struct Gossip {
    spot: Spot,
    underlay: Vec<Family>,
    told: [Option<BTreeSet<IpNet>>; 2],
}

impl Gossip {
    pub(super) fn new(spot: Spot, underlay: &[Family]) -> Gossip {
        Gossip {
            spot,
            underlay: underlay.to_vec(),
            told: [None, None],
        }
    }

    /// A host follows its plan. Answers whether it says anything new.
    pub(super) fn tell(&mut self, host: usize, plan: Option<&BgpPlan>) -> bool {
        let told = plan.map(|plan| plan.advertise.keys().copied().collect());
        let news = self.told[host] != told;
        self.told[host] = told;
        news
    }

    /// What a host has learned, as a resource; none where it never spoke.
    pub(super) fn learned(&self, host: usize, node: &Name) -> Option<String> {
        let other = 1 - host;
        self.told[host].as_ref()?;
        let mut routes = String::new();
        for prefix in self.told[other].iter().flatten() {
            // IPv4 goes by next hops of either family, IPv6 by its own.
            let hops = [Family::of_net(*prefix), Family::V6].into_iter();
            let hop = hops
                .into_iter()
                .find(|family| self.underlay.contains(family));
            let at = |family| net(self.spot, family, other + 1).addr();
            if let (Some(hop), Some(peer)) = (hop.map(at), self.underlay.first()) {
                routes.push_str(&format!(
                    "\n  - {{prefix: '{prefix}', nextHops: [{{address: '{hop}', interface: eth0, from: '{}'}}]}}",
                    at(*peer)
                ));
            }
        }
        let routes = match routes.is_empty() {
            true => " []".to_owned(),
            false => routes,
        };
        Some(format!(
            "apiVersion: tombolo.dev/v1\nkind: Learned\nmetadata: {{name: {node}}}\nspec:\n  settled: true\n  routes:{routes}\n"
        ))
    }
}
