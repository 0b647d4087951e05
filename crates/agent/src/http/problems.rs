//! What is wrong, in words: what resources ask for and cannot have, what the kernel refuses, what of the
//! store cannot be read or written.
//!
//! Policies that are not in force are the worst of it, and stand first, one line each.

use std::collections::BTreeMap;

use tombolo_model::ResourceKey;
use tombolo_store::Unreadable;

use crate::policy::is_policy;
use crate::shared::{AppliedState, Shared};

/// All problems of this node. What the store says of itself is given.
pub(super) fn problems(
    shared: &Shared,
    state: &AppliedState,
    store_error: Option<String>,
    read_only: Option<String>,
) -> Vec<String> {
    let (mut problems, rest) = refused(state);
    problems.extend(unreadable(&shared.unreadable.borrow()));
    let planned = state
        .plan
        .problems
        .iter()
        .map(|p| format!("{}: {}", p.resource, p.message));
    problems.extend(planned);
    problems.extend(rest);
    problems.extend(crate::bgp::problems(shared));
    problems.extend(crate::tunnel::problems(shared));
    problems.extend(state.error.clone());
    let cut = shared.cut.borrow().error.clone();
    problems
        .extend(cut.map(|why| format!("connections that are not allowed any more go on: {why}")));
    problems.extend(store_error);
    problems.extend(read_only.map(|why| format!("the store takes no writes: {why}")));
    problems
}

/// What the kernel refused: of policies one line for each, and the rest object by object.
fn refused(state: &AppliedState) -> (Vec<String>, Vec<String>) {
    if state.failed.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut owners = BTreeMap::new();
    for (place, planned) in &state.plan.objects {
        let owner = &planned.origin.resource;
        if is_policy(owner.kind) {
            owners.insert(place.to_string(), owner);
        }
    }
    let mut policies: BTreeMap<&ResourceKey, &str> = BTreeMap::new();
    let mut rest = Vec::new();
    for (place, why) in &state.failed {
        match owners.get(place) {
            Some(owner) => {
                policies.entry(owner).or_insert(why);
            }
            None => rest.push(why.clone()),
        }
    }
    let line = |(owner, why): (&ResourceKey, &str)| {
        format!("{owner} is not in force as it is written; the rules before it stay: {why}")
    };
    (policies.into_iter().map(line).collect(), rest)
}

fn unreadable(unreadable: &BTreeMap<ResourceKey, Unreadable>) -> Vec<String> {
    let line = |(key, what): (&ResourceKey, &Unreadable)| {
        let force = match is_policy(key.kind) {
            true => "it is in force as it was read before, if it ever was; ",
            false => "",
        };
        format!(
            "{key} cannot be read: {}; {force}upgrade this node, or write it again with `tombolo apply`",
            what.why
        )
    };
    unreadable.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tombolo_model::{KindName, Name};
    use tombolo_plan::{HostPlan, Key, Netns, Object, Origin, Place};

    fn key(kind: KindName, name: &str) -> ResourceKey {
        ResourceKey {
            kind,
            namespace: kind.is_namespaced().then(|| Name::new("shop").unwrap()),
            name: Name::new(name).unwrap(),
        }
    }

    fn sysctl(path: &str) -> Place {
        Place {
            netns: Netns::Host,
            key: Key::Sysctl(path.to_owned()),
        }
    }

    #[test]
    fn a_policy_that_the_kernel_refuses_is_one_line() {
        let mut plan = HostPlan::default();
        for (path, kind, name) in [
            ("a/1", KindName::NetworkPolicy, "web"),
            ("a/2", KindName::NetworkPolicy, "web"),
            ("b", KindName::IpPool, "p"),
        ] {
            let origin = Origin {
                resource: key(kind, name),
                rule: "test",
            };
            plan.want(sysctl(path), Object::Sysctl("1".to_owned()), origin);
        }
        let failed =
            ["a/1", "a/2", "b"].map(|path| (sysctl(path).to_string(), format!("no {path}")));
        let state = AppliedState {
            plan: Arc::new(plan),
            failed: failed.into_iter().collect(),
            ..AppliedState::default()
        };
        let (policies, rest) = refused(&state);
        assert_eq!(rest, ["no b"]);
        assert_eq!(
            policies,
            [
                "NetworkPolicy shop/web is not in force as it is written; the rules before it stay: no a/1"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let odd = |why: &str| Unreadable {
            why: why.to_owned(),
            revision: tombolo_store::Revision(7),
        };
        let map = BTreeMap::from([
            (key(KindName::Tier, "t"), odd("unknown field `speed`")),
            (key(KindName::IpPool, "p"), odd("unknown field `colour`")),
        ]);
        let lines = unreadable(&map).join("\n");
        for sign in [
            "Tier t cannot be read: unknown field `speed`; it is in force as it was read before",
            "IPPool p cannot be read",
            "`speed`",
            "`colour`",
        ] {
            assert!(lines.contains(sign), "{lines}");
        }
    }
}
