//! What would have to be different for a flow to be let through: rules that fail by one condition only.
//!
//! A rule that was looked at and allows things is near if one of its conditions fails. What would make
//! that one hold is tried out, on the flow or on a copy of the World, and told only if it works; what
//! cannot be tried, as another address, is told after it.

use tombolo_model::kinds::policy::{Direction, RuleAction};
use tombolo_model::{Name, World};

use crate::course::{Course, Judge};
use crate::directory::Directory;
use crate::evaluator::{Evaluator, Ruling};
use crate::flow::Flow;
use crate::labels::Edit;
use crate::matching::{Condition, Packet};
use crate::remedy;
use crate::rulebook::{Policy, Rule, Tier};
use crate::trace::{Origin, Trace, rule_name};
use crate::verdict::{Decision, RuleName};

/// How many pieces of advice are given.
const MOST: usize = 3;
/// How many are tried out: each may need a copy of the World.
const TRIED: usize = 12;

/// Something that would make a rule match.
#[derive(Debug)]
pub(crate) struct Remedy {
    /// What would have to be so, as `the destination port were 80`.
    pub(crate) words: String,
    pub(crate) trial: Trial,
}

/// How to see whether it helps.
#[derive(Debug)]
pub(crate) enum Trial {
    /// By another flow.
    Flow(Flow),
    /// By other labels of an endpoint.
    Labels((Name, Name), Vec<Edit>),
    /// By other labels of a namespace.
    Namespace(Name, Vec<Edit>),
    /// Not at all.
    Untried,
}

/// Notes rules that allow and fail by one condition.
struct Near<'e, 'a> {
    flow: &'e Flow,
    packet: &'e Packet<'a>,
    directory: &'e Directory<'a>,
    found: Vec<(RuleName, Remedy)>,
}

impl Trace for Near<'_, '_> {
    fn tier(&mut self, _: &Tier) {}
    fn policy(&mut self, _: &Policy, _: usize) {}
    fn profile(&mut self, _: &Name, _: bool) {}
    fn tier_end(&mut self, _: &Tier) {}

    fn rule(&mut self, origin: Origin, rule: &Rule, failed: Option<Condition>) {
        let Some(first) = failed.filter(|_| rule.action == RuleAction::Allow) else {
            return;
        };
        if rule.failed(self.packet, self.directory).nth(1).is_some() {
            return;
        }
        let case = remedy::Case {
            flow: self.flow,
            packet: self.packet,
            directory: self.directory,
            rule,
        };
        if let Some(remedy) = case.remedy(first) {
            self.found.push((rule_name(origin, rule), remedy));
        }
    }
}

impl<'a> Evaluator<'a> {
    /// What would let a flow through that is denied, in words, the nearest first; empty if it is
    /// allowed. At most three.
    #[must_use]
    pub fn advice(&self, flow: &Flow) -> Vec<String> {
        let Ok(packet) = self.packet(flow) else {
            return Vec::new();
        };
        let (egress, ingress) = match self.course(&packet) {
            Course::Judged { egress, ingress } => (egress, ingress),
            Course::NoWay(_) => {
                let advice =
                    "would have a way if both were in one network, or through a published port";
                return vec![advice.to_owned()];
            }
            Course::Itself | Course::Neighbours => return Vec::new(),
        };
        let judges = [(egress, Direction::Egress), (ingress, Direction::Ingress)];
        let denying: Vec<_> = judges
            .into_iter()
            .filter_map(|(judge, direction)| Some((judge?, direction)))
            .filter(|(judge, direction)| {
                let packet = judge.sees.as_deref().unwrap_or(&packet);
                let ruling = self.ruling(judge, *direction, packet, &mut crate::trace::Silent);
                !ruling.allows()
            })
            .collect();
        let only = denying.len() == 1;
        let share = MOST / denying.len().max(1);
        let advice = denying.into_iter().flat_map(|(judge, direction)| {
            let also = match (only, direction) {
                (true, _) => "",
                (false, Direction::Egress) => ", and then ingress, which denies it too",
                (false, Direction::Ingress) => ", once egress allows it",
            };
            let advice = self.advice_of(flow, &packet, &judge, direction);
            advice
                .into_iter()
                .take(share)
                .map(move |text| format!("{text}{also}"))
        });
        advice.collect()
    }

    fn advice_of(
        &self,
        flow: &Flow,
        packet: &Packet<'a>,
        judge: &Judge<'a>,
        direction: Direction,
    ) -> Vec<String> {
        let packet = judge.sees.as_deref().unwrap_or(packet);
        let mut near = Near {
            flow,
            packet,
            directory: &self.directory,
            found: Vec::new(),
        };
        let ruling = self.ruling(judge, direction, packet, &mut near);
        let (tried, untried): (Vec<_>, Vec<_>) = near
            .found
            .into_iter()
            .partition(|(_, remedy)| !matches!(remedy.trial, Trial::Untried));
        let (mut tried, untried) = (tried, untried.into_iter());
        // What is said of the packet itself comes before labels, which belong to somebody.
        tried.sort_by_key(|(_, remedy)| !matches!(remedy.trial, Trial::Flow(_)));
        let works =
            |(rule, remedy): &(RuleName, Remedy)| self.works(flow, &remedy.trial, rule, direction);
        let told = |(rule, remedy): (RuleName, Remedy)| {
            format!("would be allowed by {rule} if {}", remedy.words)
        };
        let tried = tried.into_iter().take(TRIED).filter(works);
        let mut advice: Vec<String> = tried.chain(untried).map(told).take(MOST).collect();
        if advice.is_empty() {
            advice.push(general(&ruling, judge, direction));
        }
        advice
    }

    /// Whether a rule would let the flow through after a change.
    fn works(&self, flow: &Flow, trial: &Trial, rule: &RuleName, direction: Direction) -> bool {
        match trial {
            Trial::Untried => true,
            Trial::Flow(changed) => self.is_allowed_by(changed, rule, direction),
            Trial::Labels(key, edits) => {
                let mut world = self.world.clone();
                let endpoint = world.endpoints.get_mut(key);
                let labels = endpoint.map(|endpoint| &mut endpoint.metadata.labels);
                let changed = labels.map(|labels| edits.iter().for_each(|edit| edit.apply(labels)));
                changed.is_some() && in_world(&world, flow, rule, direction)
            }
            Trial::Namespace(name, edits) => {
                let mut world = self.world.clone();
                let spec = tombolo_model::Namespace::default();
                let namespace = world.namespaces.entry(name.clone());
                let namespace =
                    namespace.or_insert_with(|| tombolo_model::Resource::new(name.clone(), spec));
                let labels = &mut namespace.metadata.labels;
                edits.iter().for_each(|edit| edit.apply(labels));
                in_world(&world, flow, rule, direction)
            }
        }
    }

    fn is_allowed_by(&self, flow: &Flow, rule: &RuleName, direction: Direction) -> bool {
        let verdict = self.verdict(flow);
        let stage = match direction {
            Direction::Egress => verdict.egress,
            Direction::Ingress => verdict.ingress,
        };
        stage.is_some_and(|stage| match stage.decision {
            Decision::Rule {
                rule: decisive,
                action: RuleAction::Allow,
            } => decisive == *rule,
            _ => false,
        })
    }
}

fn in_world(world: &World, flow: &Flow, rule: &RuleName, direction: Direction) -> bool {
    Evaluator::new(world).is_allowed_by(flow, rule, direction)
}

/// What to write where no rule is near.
fn general(ruling: &Ruling, judge: &Judge, direction: Direction) -> String {
    let subject = judge.key();
    match ruling {
        Ruling::Isolation(from, to) => format!(
            "would be allowed by an {direction} rule of a policy that applies to {subject}, \
             or if networks {from} and {to} both had isolation: none"
        ),
        Ruling::Rule(origin, rule) => format!(
            "would be allowed by a rule that comes before {}",
            rule_name(*origin, rule)
        ),
        Ruling::TierEnd(tier) => format!(
            "would be allowed by an {direction} rule of a policy of tier {} that applies to {subject}",
            tier.name
        ),
        _ => format!("would be allowed by an {direction} rule of a policy or profile of {subject}"),
    }
}
