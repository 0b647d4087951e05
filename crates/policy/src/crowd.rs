//! Endpoints that no rule tells apart, neither before a change nor after it, so that one of them
//! speaks for all.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::kinds::NamedPort;
use tombolo_model::kinds::policy::{DefaultAction, Direction};
use tombolo_model::{Endpoint, KindName, Name, Resource, ResourceKey, World};

use crate::evaluator::Evaluator;
use crate::probes::rules;
use crate::rulebook::Group;

/// Endpoints that are alike.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// Namespaces and names, at least one.
    pub(crate) members: Vec<(Name, Name)>,
    /// Whether it is one of other groups than before.
    pub(crate) moved: bool,
    /// Whether something else is asked about packets to it than before.
    pub(crate) ingress: bool,
    /// The same about packets from it.
    pub(crate) egress: bool,
}

/// What tells endpoints apart.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Signature<'a> {
    network: &'a Name,
    named_ports: &'a [NamedPort],
    families: Vec<bool>,
    nets: Vec<usize>,
    before: View,
    after: View,
}

/// What one World sees in an endpoint.
#[derive(Debug, PartialEq, Eq, Hash)]
struct View {
    /// The groups that it is one of.
    groups: Vec<usize>,
    /// What is asked about packets to it, in order.
    ingress: Vec<Asked>,
    /// What is asked about packets from it.
    egress: Vec<Asked>,
}

/// Something that is asked.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Asked {
    /// A policy or profile. What differs from what it was is another one.
    Rules { of: ResourceKey, is_new: bool },
    /// A profile that is not there.
    Missing,
    /// The end of a tier, and whether it denies.
    End(bool),
}

/// The endpoints that are in both Worlds, by what tells them apart.
pub(crate) fn crowds<'a>(before: &Evaluator<'a>, after: &Evaluator<'a>) -> Vec<Crowd> {
    let numbers = Numbers::of(before, after);
    let old = Side::of(before, before.world, &numbers);
    let new = Side::of(after, before.world, &numbers);
    let mut found: HashMap<Signature<'a>, usize> = HashMap::new();
    let mut crowds: Vec<Crowd> = Vec::new();
    for (key, endpoint) in &after.world.endpoints {
        let (Some(before), Some(after)) = (old.view(key), new.view(key)) else {
            continue;
        };
        let crowd = Crowd {
            members: Vec::new(),
            moved: before.groups != after.groups,
            ingress: before.ingress != after.ingress,
            egress: before.egress != after.egress,
        };
        let spec = &endpoint.spec;
        let signature = Signature {
            network: &spec.network,
            named_ports: &spec.named_ports,
            families: spec.addresses.iter().map(IpAddr::is_ipv4).collect(),
            nets: numbers.nets_of(&spec.addresses),
            before,
            after,
        };
        let place = *found.entry(signature).or_insert_with(|| {
            crowds.push(crowd);
            crowds.len() - 1
        });
        crowds[place].members.push(key.clone());
    }
    crowds
}

/// Numbers for what is compared, the same for both Worlds.
struct Numbers<'a> {
    groups: HashMap<Group<'a>, usize>,
    nets: Vec<IpNet>,
}

impl<'a> Numbers<'a> {
    fn of(before: &Evaluator<'a>, after: &Evaluator<'a>) -> Numbers<'a> {
        let mut groups = HashMap::new();
        let mut nets = Vec::new();
        for rule in rules(&before.rulebook).chain(rules(&after.rulebook)) {
            for end in [&rule.source, &rule.destination] {
                for group in end.group.iter().chain(&end.not_group) {
                    let next = groups.len();
                    groups.entry(*group).or_insert(next);
                }
                nets.extend(end.nets);
                nets.extend(end.not_nets);
            }
        }
        nets.sort_unstable();
        nets.dedup();
        Numbers { groups, nets }
    }

    fn nets_of(&self, addresses: &[IpAddr]) -> Vec<usize> {
        let holds = |net: &IpNet| addresses.iter().any(|address| net.contains(address));
        let nets = self.nets.iter().enumerate();
        nets.filter(|(_, net)| holds(net))
            .map(|(place, _)| place)
            .collect()
    }
}

/// One of the two Worlds.
struct Side<'e, 'a> {
    evaluator: &'e Evaluator<'a>,
    /// What it was before.
    before: &'a World,
    /// For each class of the directory, the groups that it is one of.
    groups: Vec<Vec<usize>>,
}

impl<'e, 'a> Side<'e, 'a> {
    fn of(evaluator: &'e Evaluator<'a>, before: &'a World, numbers: &Numbers) -> Side<'e, 'a> {
        let directory = &evaluator.directory;
        let groups = directory.classes.iter().map(|class| {
            let groups = numbers.groups.iter();
            let mine = groups
                .filter(|(group, _)| directory.is_in(**group, class.namespace, &class.labels));
            mine.map(|(_, number)| *number).collect()
        });
        Side {
            evaluator,
            before,
            groups: groups.collect(),
        }
    }

    /// What it sees in an endpoint that it has.
    fn view(&self, key: &(Name, Name)) -> Option<View> {
        let endpoint = self.evaluator.world.endpoints.get(key)?;
        let class = self.evaluator.addresses.class(&key.0, &key.1)?;
        let classes = self.evaluator.addresses.classes_of(endpoint);
        let mut groups: Vec<usize> = classes
            .iter()
            .flat_map(|class| self.groups[*class].iter().copied())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        Some(View {
            groups,
            ingress: self.asked(class, endpoint, Direction::Ingress),
            egress: self.asked(class, endpoint, Direction::Egress),
        })
    }

    fn asked(
        &self,
        class: usize,
        endpoint: &Resource<Endpoint>,
        direction: Direction,
    ) -> Vec<Asked> {
        let rulebook = &self.evaluator.rulebook;
        let mut asked = Vec::new();
        for (tier, policies) in self.evaluator.asked(class, direction) {
            let tier = &rulebook.tiers[*tier];
            let keys = policies.iter().map(|policy| &tier.policies[*policy].key);
            asked.extend(keys.map(|key| self.rules(key)));
            asked.push(Asked::End(tier.default_action == DefaultAction::Deny));
        }
        let profiles = endpoint.spec.profiles.iter();
        asked.extend(profiles.map(|name| {
            let profile = rulebook.profiles.get(name);
            profile.map_or(Asked::Missing, |profile| self.rules(&profile.key))
        }));
        asked
    }

    fn rules(&self, key: &ResourceKey) -> Asked {
        Asked::Rules {
            of: key.clone(),
            is_new: !says_the_same(self.before, self.evaluator.world, key),
        }
    }
}

/// Whether a policy or profile says the same in two Worlds.
fn says_the_same(a: &World, b: &World, key: &ResourceKey) -> bool {
    if std::ptr::eq(a, b) {
        return true;
    }
    let name = &key.name;
    let spaced = || Some((key.namespace.clone()?, name.clone()));
    match key.kind {
        KindName::Profile => {
            let spec = |world: &World| world.profiles.get(name).map(|p| p.spec.clone());
            spec(a) == spec(b)
        }
        KindName::GlobalNetworkPolicy => {
            let spec = |world: &World| {
                let policy = world.global_network_policies.get(name);
                policy.map(|policy| policy.spec.clone())
            };
            spec(a) == spec(b)
        }
        _ => {
            let spec = |world: &World| {
                let policy = world.network_policies.get(&spaced()?);
                policy.map(|policy| policy.spec.clone())
            };
            spec(a) == spec(b)
        }
    }
}
