//! Why the kernel does not hold what an endpoint asks for: what lies at the bottom of it.
//!
//! An object that could not be made is often not the one to blame: a route fails for want of its link,
//! and the link for want of what it stands on. The reason that people are told is the deepest one.

use std::collections::BTreeSet;

use tombolo_api::{Fault, FaultKind};
use tombolo_model::IfName;
use tombolo_plan::{Key, Netns, Object, Place};

use super::{EndpointKey, resource_key};
use crate::shared::AppliedState;

/// Why the kernel does not hold all of an endpoint, if it does not.
pub(super) fn unmet(state: &AppliedState, key: &EndpointKey) -> Option<Fault> {
    if let Some(error) = &state.error {
        return Some(Fault::new(FaultKind::System, error.clone()));
    }
    let owner = resource_key(key);
    let mut problems = state.plan.problems.iter();
    if let Some(problem) = problems.find(|problem| problem.resource == owner) {
        return Some(Fault::new(FaultKind::Conflict, problem.message.clone()));
    }
    let objects = state.plan.objects.iter();
    let own = objects.filter(|(_, planned)| planned.origin.resource == owner);
    let own: Vec<&Place> = own.map(|(place, _)| place).collect();
    let around: BTreeSet<&Netns> = own.iter().map(|place| &place.netns).collect();
    // A container never runs without the policies that it is to meet.
    let filters = tombolo_plan::policy::filters(&state.plan);
    let filters = filters.filter(|place| around.contains(&place.netns));
    own.iter().copied().chain(filters).find_map(|place| {
        let why = root_cause(state, place)?;
        Some(Fault::new(FaultKind::System, why.to_owned()))
    })
}

/// Why an object is not held: where something that it stands on could not be made, that is the reason.
fn root_cause<'a>(state: &'a AppliedState, place: &Place) -> Option<&'a str> {
    let mut place = place.clone();
    let mut why = state.failed.get(&place.to_string())?;
    // Nothing stands on more than a few links; a plan that goes round in circles has no reason.
    for _ in 0..4 {
        let planned = state.plan.objects.get(&place);
        let links = planned.map(|planned| stands_on(&planned.object));
        let mut below = links.into_iter().flatten();
        let failed = below.find_map(|link| {
            let below = Place::host(Key::Link(link.clone()));
            Some((state.failed.get(&below.to_string())?, below))
        });
        let Some((deeper, below)) = failed else {
            break;
        };
        (why, place) = (deeper, below);
    }
    Some(why)
}

/// The links that an object needs.
fn stands_on(object: &Object) -> Vec<&IfName> {
    match object {
        Object::Link(link) => link.kind.stands_on().into_iter().collect(),
        Object::Route(route) => route.next.links(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use tombolo_model::{KindName, Name, ResourceKey};
    use tombolo_plan::objects::{Hop, Link, LinkKind, MAIN_TABLE, NextHop, Route};
    use tombolo_plan::{HostPlan, Origin};

    use super::*;

    fn name(text: &str) -> IfName {
        IfName::new(text).unwrap()
    }

    #[test]
    fn a_route_by_several_links_fails_for_want_of_any_of_them() {
        let route = Place::host(Key::Route {
            table: MAIN_TABLE,
            dst: "10.1.0.0/16".parse().unwrap(),
            metric: 0,
        });
        let hop = |gateway: &str, link: &str| Hop {
            gateway: gateway.parse().unwrap(),
            link: name(link),
            onlink: false,
        };
        let hops = vec![hop("192.0.2.1", "up0"), hop("192.0.3.1", "tbq7")];
        let link = |link: &str| Place::host(Key::Link(name(link)));
        let on = |parent: &str| {
            Object::Link(Link {
                kind: LinkKind::Vlan {
                    parent: name(parent),
                    id: 7,
                },
                mtu: None,
                mac: None,
                up: true,
                port: None,
            })
        };
        let origin = Origin {
            resource: ResourceKey {
                kind: KindName::Network,
                namespace: None,
                name: Name::new("n").unwrap(),
            },
            rule: "a test",
        };
        let mut plan = HostPlan::default();
        let many = Object::Route(Route {
            next: NextHop::Many(hops),
            source: None,
            mtu: None,
        });
        plan.want(route.clone(), many, origin.clone());
        plan.want(link("tbq7"), on("eth7"), origin);
        let mut state = AppliedState {
            plan: plan.into(),
            ..AppliedState::default()
        };
        assert_eq!(root_cause(&state, &route), None);
        let failed = [
            (&route, "no such device"),
            (&link("tbq7"), "no such parent"),
        ];
        let failed = failed.map(|(place, why)| (place.to_string(), why.to_owned()));
        state.failed = failed.into();
        assert_eq!(root_cause(&state, &route), Some("no such parent"));
    }
}
