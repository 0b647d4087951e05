//! How many packets policies denied, by what denied them.
//!
//! The kernel counts for each rule, and forgets when the rule's chain changes; here it adds up, and a
//! count that went back began anew.

use std::collections::HashMap;

use tombolo_kernel::Counter;
use tombolo_plan::objects::{Action, Chain, Match};
use tombolo_plan::policy::CUT;
use tombolo_plan::{HostPlan, Object, Place};

use super::denials::denied_by;
use crate::metrics::Metrics;

/// What was counted so far.
#[derive(Default)]
pub(crate) struct Tally {
    seen: HashMap<(Place, usize), u64>,
}

impl Tally {
    /// Adds what is new of counters to the metrics.
    pub fn add(&mut self, plan: &HostPlan, counters: &[Counter], metrics: &Metrics) {
        let mut seen = HashMap::with_capacity(counters.len());
        for counter in counters {
            let key = (counter.place.clone(), counter.rule);
            let before = self.seen.get(&key).copied().unwrap_or_default();
            let new = match counter.packets.checked_sub(before) {
                Some(more) => more,
                None => counter.packets,
            };
            seen.insert(key, counter.packets);
            if let Some(policy) = (new > 0).then(|| denier(plan, counter)).flatten() {
                metrics.denied(policy, new);
            }
        }
        self.seen = seen;
    }
}

/// What a counted rule denies, as the rule before it tells; none if it denies nothing.
fn denier(plan: &HostPlan, counter: &Counter) -> Option<String> {
    let planned = plan.objects.get(&counter.place)?;
    let Object::NftChain(Chain { rules, .. }) = &planned.object else {
        return None;
    };
    let rule = rules.get(counter.rule)?;
    let is_cut = |one: &Match| matches!(one, Match::ConnectionMark { mask: CUT, .. });
    if rule.matches.iter().any(is_cut) {
        return Some("connections that were cut".to_owned());
    }
    if rule.action != Action::Drop {
        return None;
    }
    let told = counter
        .rule
        .checked_sub(1)
        .and_then(|before| rules.get(before));
    match told.map(|told| &told.action) {
        Some(Action::Log { prefix, .. }) => denied_by(prefix).map(str::to_owned),
        _ => Some(planned.origin.rule.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_model::{KindName, Name, ResourceKey};
    use tombolo_plan::objects::{NftName, Rule};
    use tombolo_plan::{Key, Origin};

    fn count(metrics: &Metrics, policy: &str) -> u64 {
        let line = format!("tombolo_denied_packets_total{{policy=\"{policy}\"}} ");
        let text = metrics.text();
        let found = text.lines().find_map(|text| text.strip_prefix(&line));
        found.map_or(0, |number| number.parse().unwrap())
    }

    #[test]
    fn counts_add_up_over_changes_of_chains() {
        let place = Place::host(Key::NftChain(NftName::inet("ingress.np/shop/web")));
        let log = Action::Log {
            group: 84,
            prefix: "deny ingress[0] of NetworkPolicy shop/web".to_owned(),
        };
        let cut = Match::ConnectionMark {
            mask: CUT,
            value: CUT,
        };
        let rules = vec![
            Rule::new([cut], Action::Drop).counted(),
            Rule::new([], Action::Accept).counted(),
            Rule::new([], log),
            Rule::new([], Action::Drop).counted(),
        ];
        let mut plan = HostPlan::default();
        let origin = Origin {
            resource: ResourceKey {
                kind: KindName::NetworkPolicy,
                namespace: Some(Name::new("shop").unwrap()),
                name: Name::new("web").unwrap(),
            },
            rule: "test",
        };
        plan.want(
            place.clone(),
            Object::NftChain(Chain { hook: None, rules }),
            origin,
        );
        let metrics = Metrics::new();
        let mut tally = Tally::default();
        let counters = |counts: [u64; 3]| {
            [0, 1, 3]
                .into_iter()
                .zip(counts)
                .map(|(rule, packets)| Counter {
                    place: place.clone(),
                    rule,
                    packets,
                    bytes: 0,
                })
        };
        // The chain is made anew before the last look.
        for counts in [[1, 9, 5], [1, 9, 7], [0, 0, 3]] {
            tally.add(&plan, &counters(counts).collect::<Vec<_>>(), &metrics);
        }
        assert_eq!(count(&metrics, "ingress[0] of NetworkPolicy shop/web"), 10);
        assert_eq!(count(&metrics, "connections that were cut"), 1);
    }
}
