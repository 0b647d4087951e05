//! Stacks: what is asked for an endpoint, as a chain that calls those of its policies.
//!
//! A chain stands for a tier and all that comes behind it, so endpoints whose last tiers are the same
//! share these. A rule that passes a packet on marks it and returns; the chain sees the mark after the
//! policy and goes on with the chain behind.

use tombolo_model::kinds::policy::{DefaultAction, Direction};
use tombolo_model::{Network, Resource, ResourceKey};
use tombolo_policy::{Fallback, Stack, StackTier};

use super::rules::{denial, passes, word};
use super::writer::Writer;
use crate::host_plan::Origin;
use crate::naming;
use crate::objects::{Action, Match, Rule};

/// The bit of a packet's mark that says that a rule passed it on. Only between two chains.
pub(super) const PASS: u32 = 0x8000_0000;

/// Where a packet goes.
#[derive(Clone)]
pub(super) enum Target {
    /// On in a chain.
    Chain(String),
    /// Through.
    Open,
}

impl<'a> Writer<'_, 'a> {
    /// The chain of a stack, of an endpoint of a network or of a host.
    pub fn stack(
        &mut self,
        stack: &Stack<'_, 'a>,
        direction: Direction,
        network: Option<&Resource<Network>>,
    ) -> Target {
        self.from_tier(&stack.tiers, &stack.fallback, direction, network)
    }

    fn from_tier(
        &mut self,
        tiers: &[StackTier<'_, 'a>],
        fallback: &Fallback<'_, 'a>,
        direction: Direction,
        network: Option<&Resource<Network>>,
    ) -> Target {
        let Some((tier, behind)) = tiers.split_first() else {
            return self.fallback(fallback, direction, network);
        };
        let name = stack_name(tiers, fallback, direction, network);
        if self.has_chain(&name) {
            return Target::Chain(name);
        }
        let mut rules = self.forget_pass();
        let asked = tier
            .policies
            .iter()
            .map(|policy| (&policy.key, policy.rules(direction)));
        let asked = asked.map(|(key, rules)| (key, rules.unwrap_or_default()));
        let asked: Vec<_> = asked.filter(|(_, rules)| !rules.is_empty()).collect();
        let last = asked.len().saturating_sub(1);
        let goes_on = tier.tier.default_action == DefaultAction::Pass;
        let mut next = None;
        for (index, (key, asked)) in asked.into_iter().enumerate() {
            let chain = chain_name(direction, key);
            let origin = Origin {
                resource: key.clone(),
                rule: "policy: a policy's rules",
            };
            self.rule_chain(&chain, asked, &origin);
            rules.push(Rule::new([], Action::Jump(chain)));
            if passes(asked) && !(goes_on && index == last) {
                let next = next
                    .get_or_insert_with(|| self.from_tier(behind, fallback, direction, network));
                rules.push(Rule::new(
                    [Match::MarkBits {
                        mask: PASS,
                        value: PASS,
                    }],
                    to(next),
                ));
            }
        }
        match tier.tier.default_action {
            DefaultAction::Deny => {
                rules.extend(denial(
                    &[],
                    &format!("{direction} at the end of tier {}", tier.tier.name),
                ));
            }
            DefaultAction::Pass => {
                let next =
                    next.unwrap_or_else(|| self.from_tier(behind, fallback, direction, network));
                rules.push(Rule::new([], to(&next)));
            }
        }
        let origin = Origin {
            resource: tier.policies[0].key.clone(),
            rule: "policy: the policies of a tier that apply",
        };
        self.chain(&name, None, rules, origin);
        Target::Chain(name)
    }

    fn fallback(
        &mut self,
        fallback: &Fallback<'_, 'a>,
        direction: Direction,
        network: Option<&Resource<Network>>,
    ) -> Target {
        let profiles = match (fallback, network) {
            (Fallback::Open, Some(network)) if direction == Direction::Ingress => {
                return self.isolation(network);
            }
            (Fallback::Open, _) => return Target::Open,
            (Fallback::Profiles(profiles), _) => profiles,
        };
        let words: Vec<&str> = profiles.iter().map(|(name, _)| name.as_str()).collect();
        let name = format!("{}.profiles/{}", word(direction), naming::short(&words));
        if self.has_chain(&name) {
            return Target::Chain(name);
        }
        let mut rules = self.forget_pass();
        let mut first = None;
        for profile in profiles.iter().filter_map(|(_, profile)| *profile) {
            let origin = Origin {
                resource: profile.key.clone(),
                rule: "policy: a profile's rules",
            };
            let asked = profile.rules(direction);
            if !asked.is_empty() {
                let chain = chain_name(direction, &profile.key);
                self.rule_chain(&chain, asked, &origin);
                rules.push(Rule::new([], Action::Jump(chain)));
            }
            first.get_or_insert(origin);
        }
        rules.extend(denial(&[], &format!("{direction} at the end of profiles")));
        let nobody = || Origin {
            resource: self.asker.clone(),
            rule: "policy: profiles that are not there",
        };
        let origin = first.unwrap_or_else(nobody);
        self.chain(&name, None, rules, origin);
        Target::Chain(name)
    }
}

impl Writer<'_, '_> {
    /// Takes the mark away that a packet may have from the tier before, if anything passes packets on.
    fn forget_pass(&self) -> Vec<Rule> {
        let mut policies = self.rulebook.tiers.iter().flat_map(|tier| &tier.policies);
        let is_used = policies.any(|policy| {
            let mut rules = Direction::ALL
                .iter()
                .filter_map(|direction| policy.rules(*direction));
            rules.any(passes)
        });
        let forget = Rule::new(
            [],
            Action::MarkBits {
                mask: PASS,
                value: 0,
            },
        );
        is_used.then_some(forget).into_iter().collect()
    }
}

/// How a packet goes there from a chain.
pub(super) fn to(target: &Target) -> Action {
    match target {
        Target::Chain(name) => Action::Goto(name.clone()),
        Target::Open => Action::Accept,
    }
}

/// The chain of a policy's or profile's rules.
fn chain_name(direction: Direction, key: &ResourceKey) -> String {
    let word = word(direction);
    let name = match (&key.kind, &key.namespace) {
        (tombolo_model::KindName::Profile, _) => format!("{word}.profile/{}", key.name),
        (_, Some(namespace)) => format!("{word}.np/{namespace}/{}", key.name),
        (_, None) => format!("{word}.gnp/{}", key.name),
    };
    match name.len() <= LONGEST_NAME {
        true => name,
        false => format!("{word}.long/{}", naming::short(&[&name])),
    }
}

/// The longest name of a chain (`NFT_CHAIN_MAXNAMELEN`, less the end of the text).
const LONGEST_NAME: usize = 255;

/// The name of the chain of some tiers and what comes behind them.
fn stack_name(
    tiers: &[StackTier<'_, '_>],
    fallback: &Fallback<'_, '_>,
    direction: Direction,
    network: Option<&Resource<Network>>,
) -> String {
    let mut words: Vec<String> = Vec::new();
    for tier in tiers {
        words.push(format!("tier {}", tier.tier.name));
        words.extend(tier.policies.iter().map(|policy| policy.key.to_string()));
    }
    match (fallback, network) {
        (Fallback::Profiles(profiles), _) => {
            words.extend(profiles.iter().map(|(name, _)| format!("profile {name}")));
        }
        // Networks are told apart only where it comes to that.
        (Fallback::Open, Some(network)) if reaches_end(tiers, direction) => {
            words.push(format!("network {}", network.name()));
        }
        (Fallback::Open, _) => words.push("open".to_owned()),
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    format!("{}.stack/{}", word(direction), naming::short(&words))
}

/// Whether a packet can come to what is behind the last tier.
fn reaches_end(tiers: &[StackTier<'_, '_>], direction: Direction) -> bool {
    tiers.iter().all(|tier| {
        let mut rules = tier
            .policies
            .iter()
            .filter_map(|policy| policy.rules(direction));
        tier.tier.default_action == DefaultAction::Pass || rules.any(passes)
    })
}
