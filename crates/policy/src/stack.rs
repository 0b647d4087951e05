//! What is asked for one endpoint in one direction, from the first policy to the last resort.

use tombolo_model::kinds::policy::Direction;
use tombolo_model::{Endpoint, HostEndpoint, Name, Resource};

use crate::directory::{Directory, Labels};
use crate::rulebook::{Policy, ProfileRules, Rulebook, Tier};

/// Somebody whom policies may apply to.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its namespace; none for hosts.
    pub namespace: Option<&'a Name>,
    /// Its labels, with those of its profiles; see [`crate::Class`].
    pub labels: &'a Labels,
    /// Its profiles.
    pub profiles: &'a [Name],
    /// It is a host: what nothing allows is dropped.
    pub is_host: bool,
}

/// What is asked, in order.
#[derive(Debug)]
pub struct Stack<'r, 'a> {
    /// Tiers with at least one policy that applies.
    pub tiers: Vec<StackTier<'r, 'a>>,
    /// What is asked at last.
    pub fallback: Fallback<'r, 'a>,
}

/// A tier's policies that apply.
#[derive(Debug)]
pub struct StackTier<'r, 'a> {
    /// The tier.
    pub tier: &'r Tier<'a>,
    /// The policies, in order; never empty.
    pub policies: Vec<&'r Policy<'a>>,
}

/// What is asked when no tier decided.
#[derive(Debug)]
pub enum Fallback<'r, 'a> {
    /// Its profiles in order, each by its name: one that is not there has no rules. What none of them
    /// allows is dropped.
    Profiles(Vec<(&'a Name, Option<&'r ProfileRules<'a>>)>),
    /// Nothing: everything is let through, as far as networks are not isolated.
    Open,
}

impl<'r, 'a> Stack<'r, 'a> {
    /// What is asked for somebody.
    #[must_use]
    pub fn of(
        rulebook: &'r Rulebook<'a>,
        directory: &Directory<'a>,
        subject: Subject<'a>,
        direction: Direction,
    ) -> Stack<'r, 'a> {
        let who = (subject.namespace, subject.labels);
        let tiers = places(rulebook, directory, who, direction);
        let tiers = tiers.into_iter().map(|(tier, policies)| {
            let tier = &rulebook.tiers[tier];
            let policies = policies.into_iter().map(|place| &tier.policies[place]);
            StackTier {
                tier,
                policies: policies.collect(),
            }
        });
        let profiles = subject.profiles.iter();
        let profiles = profiles.map(|name| (name, rulebook.profiles.get(name)));
        let fallback = match subject.profiles.is_empty() && !subject.is_host {
            true => Fallback::Open,
            false => Fallback::Profiles(profiles.collect()),
        };
        Stack {
            tiers: tiers.collect(),
            fallback,
        }
    }

    /// Whether nothing is asked at all.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tiers.is_empty() && matches!(self.fallback, Fallback::Open)
    }
}

/// Tiers with at least one policy that applies, and these policies, all by their places in the rulebook.
pub(crate) fn places<'a>(
    rulebook: &Rulebook<'a>,
    directory: &Directory<'a>,
    (namespace, labels): (Option<&Name>, &Labels),
    direction: Direction,
) -> Vec<(usize, Vec<usize>)> {
    let applies = |policy: &Policy<'a>| {
        policy.rules(direction).is_some() && directory.is_in(policy.applies, namespace, labels)
    };
    let tiers = rulebook.tiers.iter().enumerate();
    let tiers = tiers.map(|(place, tier)| {
        let policies = tier.policies.iter().enumerate();
        let policies = policies.filter(|(_, policy)| applies(policy));
        (place, policies.map(|(place, _)| place).collect())
    });
    tiers
        .filter(|(_, policies): &(usize, Vec<usize>)| !policies.is_empty())
        .collect()
}

impl<'a> Subject<'a> {
    /// An endpoint, with the labels of its class.
    #[must_use]
    pub fn endpoint(
        endpoint: &'a Resource<Endpoint>,
        namespace: &'a Name,
        labels: &'a Labels,
    ) -> Subject<'a> {
        Subject {
            namespace: Some(namespace),
            labels,
            profiles: &endpoint.spec.profiles,
            is_host: false,
        }
    }

    /// A host's interface, with the labels of its class.
    #[must_use]
    pub fn host(host: &'a Resource<HostEndpoint>, labels: &'a Labels) -> Subject<'a> {
        Subject {
            namespace: None,
            labels,
            profiles: &host.spec.profiles,
            is_host: true,
        }
    }
}
