//! Every policy of a World, in the order in which they are asked, with what their words mean spelled
//! out: which endpoints a selector in a namespace is about, and which directions are decided.

use std::collections::BTreeMap;

use ipnet::IpNet;
use tombolo_model::kinds;
use tombolo_model::kinds::policy::{
    DefaultAction, Direction, EntityMatch, Icmp, Order, PolicyRule, PortMatch, ProtocolMatch,
    RuleAction,
};
use tombolo_model::selector::Selector;
use tombolo_model::{Family, Metadata, Name, Resource, ResourceKey, World};

/// Every policy, in the order in which they are asked.
#[derive(Debug)]
pub struct Rulebook<'a> {
    /// The tiers that policies are of, in order. Of a tier that nobody wrote, the order is the last
    /// and the end is Deny.
    pub tiers: Vec<Tier<'a>>,
    /// Profiles, by name.
    pub profiles: BTreeMap<&'a Name, ProfileRules<'a>>,
}

/// Policies that are asked together.
#[derive(Debug)]
pub struct Tier<'a> {
    /// Its name.
    pub name: &'a Name,
    /// What happens at its end.
    pub default_action: DefaultAction,
    /// Its policies, in order.
    pub policies: Vec<Policy<'a>>,
}

/// A policy.
#[derive(Debug)]
pub struct Policy<'a> {
    /// The resource.
    pub key: ResourceKey,
    /// The resource's metadata, which says where it was written.
    pub metadata: &'a Metadata,
    /// The endpoints that it applies to.
    pub applies: Group<'a>,
    /// Its rules for packets to them; none if it does not decide about those.
    pub ingress: Option<Vec<Rule<'a>>>,
    /// Its rules for packets from them; none if it does not decide about those.
    pub egress: Option<Vec<Rule<'a>>>,
}

/// A profile.
#[derive(Debug)]
pub struct ProfileRules<'a> {
    /// The resource.
    pub key: ResourceKey,
    /// The resource's metadata, which says where it was written.
    pub metadata: &'a Metadata,
    /// Rules for packets to its endpoints.
    pub ingress: Vec<Rule<'a>>,
    /// Rules for packets from its endpoints.
    pub egress: Vec<Rule<'a>>,
}

/// Which rule it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId {
    /// Of those of which direction.
    pub direction: Direction,
    /// Its place among them, from 0.
    pub index: usize,
}

/// A rule.
#[derive(Debug)]
pub struct Rule<'a> {
    /// Which one of its policy or profile.
    pub id: RuleId,
    /// What happens.
    pub action: RuleAction,
    /// Only this family.
    pub family: Option<Family>,
    /// The protocol.
    pub protocol: Option<ProtocolMatch>,
    /// Any protocol but this.
    pub not_protocol: Option<ProtocolMatch>,
    /// Type and code.
    pub icmp: Option<Icmp>,
    /// Any type and code but these.
    pub not_icmp: Option<Icmp>,
    /// Where packets come from.
    pub source: End<'a>,
    /// Where they go to.
    pub destination: End<'a>,
}

/// One end of a packet's way: all of it must hold.
#[derive(Debug)]
pub struct End<'a> {
    /// In one of these, if any is given.
    pub nets: &'a [IpNet],
    /// In none of these.
    pub not_nets: &'a [IpNet],
    /// One of these.
    pub group: Option<Group<'a>>,
    /// None of these.
    pub not_group: Option<Group<'a>>,
    /// One of these ports, if any is given.
    pub ports: &'a [PortMatch],
    /// None of these ports.
    pub not_ports: &'a [PortMatch],
}

/// Endpoints and sets: a selector, and where it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Group<'a> {
    /// Where.
    pub scope: Scope<'a>,
    /// By which labels; everything if not given.
    pub selector: Option<&'a Selector>,
}

/// Where a selector looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope<'a> {
    /// In every namespace, and at what is of none.
    Everywhere,
    /// In one namespace.
    Namespace(&'a Name),
    /// In namespaces by their labels. `global()` is what is of no namespace.
    Namespaces(&'a Selector),
}

impl<'a> Rulebook<'a> {
    /// The policies of a World.
    #[must_use]
    pub fn of(world: &'a World) -> Rulebook<'a> {
        let mut tiers: BTreeMap<&Name, (Tier<'a>, Vec<Option<Order>>)> = BTreeMap::new();
        let mut add = |tier: &'a Name, order, policy| {
            let (tier, orders) = tiers.entry(tier).or_insert_with(|| {
                let written = world.tiers.get(tier);
                let tier = Tier {
                    name: tier,
                    default_action: written
                        .map_or_else(DefaultAction::default, |t| t.spec.default_action),
                    policies: Vec::new(),
                };
                (tier, Vec::new())
            });
            tier.policies.push(policy);
            orders.push(order);
        };
        for policy in world.global_network_policies.values() {
            add(&policy.spec.tier, policy.spec.order, global(policy));
        }
        for ((namespace, _), policy) in &world.network_policies {
            add(
                &policy.spec.tier,
                policy.spec.order,
                of_namespace(namespace, policy),
            );
        }
        let mut tiers: Vec<Tier> = tiers
            .into_values()
            .map(|(tier, orders)| in_order(tier, &orders))
            .collect();
        let order = |tier: &Tier| world.tiers.get(tier.name).and_then(|tier| tier.spec.order);
        // They come by name, and stay so where the order is the same.
        tiers.sort_by(|a, b| Order::compare(order(a), order(b)));
        let profiles = world
            .profiles
            .iter()
            .map(|(name, profile)| (name, profile_rules(profile)));
        Rulebook {
            tiers,
            profiles: profiles.collect(),
        }
    }
}

/// Policies of one order follow by name, those of no namespace before the others.
fn in_order<'a>(tier: Tier<'a>, orders: &[Option<Order>]) -> Tier<'a> {
    let mut policies: Vec<_> = tier.policies.into_iter().zip(orders).collect();
    let key = |policy: &Policy| (policy.key.name.clone(), policy.key.namespace.clone());
    policies.sort_by(|(a, order_a), (b, order_b)| {
        Order::compare(**order_a, **order_b).then_with(|| key(a).cmp(&key(b)))
    });
    let policies = policies.into_iter().map(|(policy, _)| policy).collect();
    Tier { policies, ..tier }
}

fn global(policy: &Resource<kinds::GlobalNetworkPolicy>) -> Policy<'_> {
    let spec = &policy.spec;
    let types = Direction::given(
        &spec.types,
        !spec.ingress.is_empty(),
        !spec.egress.is_empty(),
    );
    let scope = spec
        .namespace_selector
        .as_ref()
        .map_or(Scope::Everywhere, Scope::Namespaces);
    let rules = |direction, list| {
        types
            .contains(&direction)
            .then(|| rules(list, direction, None))
    };
    Policy {
        key: policy.key(),
        metadata: &policy.metadata,
        applies: Group {
            scope,
            selector: some(&spec.selector),
        },
        ingress: rules(Direction::Ingress, &spec.ingress),
        egress: rules(Direction::Egress, &spec.egress),
    }
}

fn of_namespace<'a>(namespace: &'a Name, policy: &'a Resource<kinds::NetworkPolicy>) -> Policy<'a> {
    let spec = &policy.spec;
    let types = Direction::given(
        &spec.types,
        !spec.ingress.is_empty(),
        !spec.egress.is_empty(),
    );
    let rules = |direction, list| {
        types
            .contains(&direction)
            .then(|| rules(list, direction, Some(namespace)))
    };
    Policy {
        key: policy.key(),
        metadata: &policy.metadata,
        applies: Group {
            scope: Scope::Namespace(namespace),
            selector: some(&spec.selector),
        },
        ingress: rules(Direction::Ingress, &spec.ingress),
        egress: rules(Direction::Egress, &spec.egress),
    }
}

fn profile_rules(profile: &Resource<kinds::Profile>) -> ProfileRules<'_> {
    ProfileRules {
        key: profile.key(),
        metadata: &profile.metadata,
        ingress: rules(&profile.spec.ingress, Direction::Ingress, None),
        egress: rules(&profile.spec.egress, Direction::Egress, None),
    }
}

fn rules<'a>(
    list: &'a [PolicyRule],
    direction: Direction,
    namespace: Option<&'a Name>,
) -> Vec<Rule<'a>> {
    let rule = |(index, rule): (usize, &'a PolicyRule)| Rule {
        id: RuleId { direction, index },
        action: rule.action,
        family: rule.ip_version.map(|version| version.0),
        protocol: rule.protocol,
        not_protocol: rule.not_protocol,
        icmp: rule.icmp,
        not_icmp: rule.not_icmp,
        source: end(&rule.source, namespace),
        destination: end(&rule.destination, namespace),
    };
    list.iter().enumerate().map(rule).collect()
}

fn end<'a>(end: &'a EntityMatch, namespace: Option<&'a Name>) -> End<'a> {
    let scope = match (&end.namespace_selector, namespace) {
        (Some(namespaces), _) => Scope::Namespaces(namespaces),
        (None, Some(namespace)) => Scope::Namespace(namespace),
        (None, None) => Scope::Everywhere,
    };
    // Whatever is said of labels is said of the endpoints of these namespaces: with `notSelector` alone
    // they are all of those but the ones that it names (libcalico-go, updateprocessors/rules.go).
    let named = end.selector.is_some()
        || end.namespace_selector.is_some()
        || (end.not_selector.is_some() && namespace.is_some());
    End {
        nets: &end.nets,
        not_nets: &end.not_nets,
        group: named.then(|| Group {
            scope,
            selector: end.selector.as_ref().and_then(some),
        }),
        not_group: (end.not_selector.as_ref()).map(|selector| Group {
            scope: Scope::Everywhere,
            selector: some(selector),
        }),
        ports: &end.ports,
        not_ports: &end.not_ports,
    }
}

/// A selector that says something.
fn some(selector: &Selector) -> Option<&Selector> {
    (!selector.is_all()).then_some(selector)
}

impl<'a> Policy<'a> {
    /// Its rules for a direction, if it decides about that.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> Option<&[Rule<'a>]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

impl<'a> ProfileRules<'a> {
    /// Its rules for a direction.
    #[must_use]
    pub fn rules(&self, direction: Direction) -> &[Rule<'a>] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}
