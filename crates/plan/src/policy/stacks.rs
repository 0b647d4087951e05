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

/// The most tiers whose policies may apply to one endpoint in one direction: a packet goes from one to the
/// next, and the kernel follows 16 in all (`NFT_JUMP_STACK_SIZE`).
const MOST_TIERS: usize = 12;

/// Where a packet goes.
#[derive(Clone)]
pub(super) enum Target {
    /// On in a chain.
    Chain(String),
    /// Through.
    Open,
}

/// What is behind the last tier, in which direction, for endpoints of which network.
struct End<'e, 'r, 'a> {
    fallback: &'e Fallback<'r, 'a>,
    direction: Direction,
    network: Option<&'e Resource<Network>>,
}

impl<'a> Writer<'_, 'a> {
    /// The chain of a stack, of an endpoint of a network or of a host.
    pub fn stack(
        &mut self,
        stack: &Stack<'_, 'a>,
        direction: Direction,
        network: Option<&Resource<Network>>,
    ) -> Target {
        if let Some(tier) = stack.tiers.get(MOST_TIERS) {
            return self.too_deep(tier, direction);
        }
        let end = End {
            fallback: &stack.fallback,
            direction,
            network,
        };
        self.tiers_chain(&stack.tiers, &end)
    }

    fn tiers_chain(&mut self, tiers: &[StackTier<'_, 'a>], end: &End<'_, '_, 'a>) -> Target {
        let Some((tier, behind)) = tiers.split_first() else {
            return self.fallback(end);
        };
        let name = stack_name(tiers, end);
        if self.has_chain(&name) {
            return Target::Chain(name);
        }
        let goes_on = tier.tier.default_action == DefaultAction::Pass;
        let asked = self.asked(tier, end.direction);
        let last = asked.len().saturating_sub(1);
        let can_pass =
            |(index, (_, passes)): (usize, &(String, bool))| *passes && !(goes_on && index == last);
        let is_left = goes_on || asked.iter().enumerate().any(can_pass);
        let next = is_left.then(|| to(&self.tiers_chain(behind, end)));
        let mut rules = self.forget_pass();
        for (index, policy) in asked.iter().enumerate() {
            rules.push(Rule::new([], Action::Jump(policy.0.clone())));
            let passed = Match::MarkBits {
                mask: PASS,
                value: PASS,
            };
            let on = next.clone().filter(|_| can_pass((index, policy)));
            rules.extend(on.map(|on| Rule::new([passed], on)));
        }
        match next.filter(|_| goes_on) {
            Some(on) => rules.push(Rule::new([], on)),
            None => {
                let why = format!("{} at the end of tier {}", end.direction, tier.tier.name);
                rules.extend(denial(&[], &why));
            }
        }
        let origin = Origin {
            resource: tier.policies[0].key.clone(),
            rule: "policy: the policies of a tier that apply",
        };
        self.chain(&name, None, rules, origin);
        Target::Chain(name)
    }

    /// The kernel follows only so many chains one behind the other, and would take none of them.
    fn too_deep(&mut self, tier: &StackTier<'_, 'a>, direction: Direction) -> Target {
        let message = format!(
            "policies of more than {MOST_TIERS} tiers apply to {}, which the kernel cannot follow, so its \
             packets are dropped; put policies into fewer tiers",
            self.asker
        );
        self.plan.problem(tier.policies[0].key.clone(), message);
        let name = format!("{}.too-deep", word(direction));
        if !self.has_chain(&name) {
            let origin = Origin {
                resource: tier.policies[0].key.clone(),
                rule: "policy: the policies of a tier that apply",
            };
            let drop = denial(&[], &format!("{direction} behind too many tiers"));
            self.chain(&name, None, drop.into(), origin);
        }
        Target::Chain(name)
    }

    /// The chains of a tier's policies that have rules, each with whether it may pass packets on.
    fn asked(&mut self, tier: &StackTier<'_, 'a>, direction: Direction) -> Vec<(String, bool)> {
        let mut asked = Vec::new();
        for policy in &tier.policies {
            let rules = policy.rules(direction).unwrap_or_default();
            if rules.is_empty() {
                continue;
            }
            let chain = chain_name(direction, &policy.key);
            let origin = Origin {
                resource: policy.key.clone(),
                rule: "policy: a policy's rules",
            };
            self.rule_chain(&chain, rules, &origin);
            asked.push((chain, passes(rules)));
        }
        asked
    }

    fn fallback(&mut self, end: &End<'_, '_, 'a>) -> Target {
        let direction = end.direction;
        let profiles = match (end.fallback, end.network) {
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
fn stack_name(tiers: &[StackTier<'_, '_>], end: &End<'_, '_, '_>) -> String {
    let mut words: Vec<String> = Vec::new();
    for tier in tiers {
        words.push(format!("tier {}", tier.tier.name));
        words.extend(tier.policies.iter().map(|policy| policy.key.to_string()));
    }
    match (end.fallback, end.network) {
        (Fallback::Profiles(profiles), _) => {
            words.extend(profiles.iter().map(|(name, _)| format!("profile {name}")));
        }
        // Networks are told apart only where it comes to that.
        (Fallback::Open, Some(network)) if reaches_end(tiers, end.direction) => {
            words.push(format!("network {}", network.name()));
        }
        (Fallback::Open, _) => words.push("open".to_owned()),
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    format!("{}.stack/{}", word(end.direction), naming::short(&words))
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
