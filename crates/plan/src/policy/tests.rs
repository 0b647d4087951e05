use tombolo_model::{Name, World, parse};

use super::enforced;
use crate::objects::{Action, Key, NftName, Object};
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
