use tombolo_model::{Name, World, parse};

use super::enforced;
use crate::objects::{Action, Key, Match, NftName, Object};
use crate::{HostPlan, Netns, Op, Place, diff, plan};

fn world(text: &str) -> World {
    parse::world("world.yaml", text).unwrap()
}

fn everywhere() -> World {
    world(include_str!(
        "../../tests/cases/32-policy-everywhere/world.yaml"
    ))
}

fn planned(world: &World) -> HostPlan {
    plan(world, &Name::new("a").unwrap()).unwrap()
}

#[test]
fn every_attachment_and_the_host_judge_in_their_own_place() {
    let plan = planned(&everywhere());
    let places = enforced(&plan);
    let sandbox = Netns::Sandbox("/run/netns/w3".to_owned());
    assert!(
        places.contains(&Netns::Host) && places.contains(&sandbox),
        "{places:?}"
    );
    assert!(
        places
            .iter()
            .any(|netns| matches!(netns, Netns::Segment(_))),
        "{places:?}"
    );
    assert_eq!(places.len(), 3);
}

/// What a change of one member costs: what differs is one object, whatever else there is.
#[test]
fn one_more_member_changes_one_set() {
    let mut after = everywhere();
    let before = planned(&after);
    let key = (Name::new("default").unwrap(), Name::new("a2").unwrap());
    let mut member = after.endpoints[&key].clone();
    member.metadata.name = Name::new("a3").unwrap();
    member.spec.addresses = vec!["10.3.1.6".parse().unwrap()];
    after.put(member.into());
    let observed = before
        .objects
        .iter()
        .map(|(place, p)| (place.clone(), p.object.clone()));
    let ops = diff(&planned(&after), &observed.collect());
    let nft = |op: &&Op| {
        matches!(
            op.place().key,
            Key::NftSet(_) | Key::NftMembers(_) | Key::NftChain(_)
        )
    };
    let ops: Vec<&Op> = ops.iter().filter(nft).collect();
    assert!(matches!(ops[..], [Op::Change { .. }]), "{ops:?}");
}

/// Every chain that is led to exists, and every chain that exists is led to.
#[test]
fn chains_are_all_there_and_all_used() {
    let worlds = [
        everywhere(),
        world(include_str!(
            "../../tests/cases/31-policy-stacks/world.yaml"
        )),
    ];
    for world in worlds {
        let plan = planned(&world);
        let mut led_to = std::collections::BTreeSet::new();
        let mut there = std::collections::BTreeSet::new();
        for (place, planned) in &plan.objects {
            let mut lead = |name: &str| {
                led_to.insert(Place {
                    netns: place.netns.clone(),
                    key: Key::NftChain(NftName::inet(name)),
                });
            };
            match (&place.key, &planned.object) {
                (Key::NftMembers(_), Object::NftMembers(members)) => {
                    let chains = members
                        .iter()
                        .flat_map(|(_, data)| data)
                        .filter_map(|d| d.chain());
                    chains.for_each(&mut lead);
                }
                (Key::NftChain(_), Object::NftChain(chain)) => {
                    if chain.hook.is_none() {
                        there.insert(place.clone());
                    }
                    for rule in &chain.rules {
                        if let Action::Jump(name) | Action::Goto(name) = &rule.action {
                            lead(name);
                        }
                    }
                }
                _ => {}
            }
        }
        assert_eq!(there, led_to);
    }
}

/// Two networks that are kept apart, of which neither needs tracking for itself.
const APART: &str = "
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: a}, spec: {addresses: [{address: 192.168.0.1/24, interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: p}, spec: {cidr: 10.1.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: q}, spec: {cidr: 10.2.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: n}, spec: {driver: ptp, pools: [p], tracking: needed}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: m}, spec: {driver: ptp, pools: [q], tracking: needed}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.1.0.0-26}, spec: {cidr: 10.1.0.0/26, pool: p, node: a, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Endpoint, metadata: {name: e, namespace: default}, spec: {node: a, network: n, containerID: e, interface: eth0, sandbox: /run/netns/e, handle: h, generation: 1, addresses: [10.1.0.5], mac: '02:00:00:00:00:01', bootID: ''}}
";

/// Whether any rule of a plan asks which connection a packet is of.
fn asks_for_connections(plan: &HostPlan) -> bool {
    let rules = plan
        .objects
        .values()
        .flat_map(|planned| match &planned.object {
            Object::NftChain(chain) => chain.rules.as_slice(),
            _ => &[],
        });
    let mut matches = rules.flat_map(|rule| &rule.matches);
    matches.any(|m| matches!(m, Match::ConnectionState(_) | Match::ConnectionMark { .. }))
}

#[test]
fn connections_are_not_tracked_where_nobody_needs_it_and_are_with_the_first_policy() {
    let untracked = planned(&world(APART));
    assert!(!asks_for_connections(&untracked));
    let isolation = Place::host(Key::NftChain(NftName::inet("ingress.open/n")));
    assert!(
        untracked.objects.contains_key(&isolation),
        "the networks are apart all the same"
    );

    let always = APART.replacen(", tracking: needed", "", 1);
    assert!(asks_for_connections(&planned(&world(&always))));

    let elsewhere = "---\n{apiVersion: tombolo.dev/v1, kind: NetworkPolicy, metadata: {name: x, namespace: other}, \
                     spec: {selector: all()}}";
    assert!(asks_for_connections(&planned(&world(&format!(
        "{APART}{elsewhere}"
    )))));
}
