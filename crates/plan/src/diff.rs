//! The fewest operations that make a kernel match a plan.
//!
//! The observation holds every object that is ours, and, of what is not ours, only what the plan
//! names. So whatever is observed and not planned is to be removed; whatever is planned and not
//! observed is to be made; whatever differs is to be changed in place. Everything is made and
//! changed before anything is removed ([`crate::order`]).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tombolo_model::IfName;
use tombolo_model::kinds::{MacvlanMode, PhysicalSort};

use crate::host_plan::{HostPlan, Planned};
use crate::objects::{Key, Link, LinkKind, Netns, NftName, Object, Place};
use crate::order::rank;

/// What a kernel holds of ours, and of what the plan names.
pub type Observed = BTreeMap<Place, Object>;

/// One change of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Make an object that is not there.
    Create {
        /// Where.
        place: Place,
        /// How.
        object: Object,
    },
    /// Change an object in place.
    Change {
        /// Where.
        place: Place,
        /// How it is.
        from: Object,
        /// How it should be.
        to: Object,
    },
    /// Remove an object.
    Remove {
        /// Where.
        place: Place,
        /// How it is.
        object: Object,
    },
}

impl Op {
    /// The object that it is about.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Op::Create { place, .. } | Op::Change { place, .. } | Op::Remove { place, .. } => place,
        }
    }
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Op::Create {
                place,
                object: Object::NftMembers(members),
            } => write!(f, "create {place} with {}", members.len()),
            Op::Change {
                place,
                from: Object::NftMembers(from),
                to: Object::NftMembers(to),
            } => {
                let changes = from.changes(to);
                let (new, gone) = (changes.new.len(), changes.gone.len());
                write!(f, "change {place} by {new} more and {gone} less")
            }
            Op::Create { place, object } => write!(f, "create {place} {object}"),
            Op::Change { place, from, to } => write!(f, "change {place} from {from} to {to}"),
            Op::Remove { place, .. } => write!(f, "remove {place}"),
        }
    }
}

/// The operations that make `observed` match `plan`, in order.
#[must_use]
pub fn diff(plan: &HostPlan, observed: &Observed) -> Vec<Op> {
    let (mut making, mut observed) = replace_links(plan, observed);
    empty_replaced_sets(plan, &mut observed);
    let mut removing = Vec::new();
    let mut unplanned = Vec::new();
    // Both are in the order of their places.
    let mut there = observed.iter().peekable();
    for (place, planned) in &plan.objects {
        while let Some(other) = there.next_if(|(at, _)| *at < place) {
            unplanned.push(other);
        }
        let present = there.next_if(|(at, _)| *at == place);
        match present {
            None if is_taken(&planned.object, &observed) => {}
            present => making.extend(mend(place, present.map(|(_, object)| object), planned)),
        }
    }
    let handed_over = handed_over(plan);
    let wanted = plan.objects.values();
    let taken: BTreeSet<&IfName> = wanted.filter_map(|p| handed_mark(&p.object)).collect();
    for (place, present) in unplanned.into_iter().chain(there) {
        let is_runtimes = || {
            place.netns == Netns::Host
                && handed_over
                    .iter()
                    .any(|end| is_on(end, &place.key, present))
        };
        let is_taken = || mark(present).is_some_and(|mark| taken.contains(mark));
        if !is_runtimes() && !is_taken() {
            removing.push(Op::Remove {
                place: place.clone(),
                object: present.clone(),
            });
        }
    }
    // The end of a pair comes with its pair.
    making.retain(|op| !matches!(op, Op::Create { object: Object::Link(link), .. } if link.kind == LinkKind::VethEnd));
    // Stable: a removal stays before the making of the same object, which has the same rank.
    making.sort_by_key(|op| {
        (
            rank(&op.place().key),
            !narrows_container(op),
            height(op, true),
        )
    });
    removing.sort_by_key(|op| std::cmp::Reverse((rank(&op.place().key), height(op, false))));
    making.extend(removing);
    making
}

/// What makes one object as it is planned.
fn mend(place: &Place, present: Option<&Object>, planned: &Planned) -> Vec<Op> {
    let wanted = &planned.object;
    let create = || Op::Create {
        place: place.clone(),
        object: wanted.clone(),
    };
    match present {
        None => vec![create()],
        Some(present) if satisfies(present, wanted) => Vec::new(),
        Some(present) if changes_in_place(present, wanted) => vec![Op::Change {
            place: place.clone(),
            from: present.clone(),
            to: wanted.clone(),
        }],
        Some(present) => {
            let remove = Op::Remove {
                place: place.clone(),
                object: present.clone(),
            };
            vec![remove, create()]
        }
    }
}

/// The interfaces that the runtime takes from the host's namespace: they may be there, or gone into a
/// sandbox, and what is on them is the runtime's.
fn handed_over(plan: &HostPlan) -> BTreeSet<&IfName> {
    let links = plan.objects.iter();
    links
        .filter_map(|(place, planned)| match (&place.key, &planned.object) {
            (
                _,
                Object::Link(Link {
                    kind: LinkKind::Veth(peer),
                    ..
                }),
            ) if peer.handed_over => Some(&peer.name),
            (Key::Link(name), object) => handed_mark(object).map(|_| name),
            _ => None,
        })
        .collect()
}

/// Whether a runtime has taken an interface that was made for it: it is known by its mark, wherever it
/// is.
fn is_taken(wanted: &Object, observed: &Observed) -> bool {
    let Some(wanted) = handed_mark(wanted) else {
        return false;
    };
    let elsewhere = observed
        .iter()
        .filter(|(place, _)| place.netns != Netns::Host);
    let mut marks = elsewhere.filter_map(|(_, object)| mark(object));
    marks.any(|mark| mark == wanted)
}

/// What an interface bears that is known by it.
#[must_use]
pub fn mark(object: &Object) -> Option<&IfName> {
    match object {
        Object::Link(link) => link.kind.mark(),
        _ => None,
    }
}

/// The same of one that is made for a runtime to take.
#[must_use]
pub fn handed_mark(object: &Object) -> Option<&IfName> {
    match object {
        Object::Link(link) if link.kind.is_handed_over() => link.kind.mark(),
        _ => None,
    }
}

/// Whether it lowers the MTU of a container's end. That comes before the host's end, which drops
/// in silence what is larger than it takes; and the other way round when the MTU grows.
fn narrows_container(op: &Op) -> bool {
    match op {
        Op::Change {
            place,
            from: Object::Link(from),
            to: Object::Link(to),
        } => place.netns != Netns::Host && to.mtu < from.mtu,
        _ => false,
    }
}

/// The place of a link among links: what stands on others is made after them, and removed before.
/// What is removed to be made anew goes first of all.
fn height(op: &Op, making: bool) -> u8 {
    match op {
        Op::Remove { .. } if making => 0,
        Op::Create { object, .. } | Op::Remove { object, .. } => {
            u8::from(matches!(object, Object::Link(link) if link.kind.shares_parent()))
        }
        Op::Change { .. } => 0,
    }
}

/// Removes links that the kernel cannot change into what they should be, which is the one case in
/// which something is closed before it is opened again, and answers what is left then: whatever
/// was on such a link goes with it, and is made anew.
fn replace_links<'a>(plan: &HostPlan, observed: &'a Observed) -> (Vec<Op>, Cow<'a, Observed>) {
    let mut removals = Vec::new();
    let mut left = Cow::Borrowed(observed);
    for (place, planned) in &plan.objects {
        let (Key::Link(name), Object::Link(wanted)) = (&place.key, &planned.object) else {
            continue;
        };
        let Some(present) = observed.get(place) else {
            continue;
        };
        let is_other =
            matches!(present, Object::Link(link) if !same_device(&link.kind, &wanted.kind));
        if !is_other && !has_lost_its_end(wanted, observed) {
            continue;
        }
        removals.push(Op::Remove {
            place: place.clone(),
            object: present.clone(),
        });
        let left = left.to_mut();
        take_down(&place.netns, name, left);
        if let LinkKind::Veth(peer) = &wanted.kind {
            take_down(&peer.netns, &peer.name, left);
        }
    }
    (removals, left)
}

/// A set of another type is made anew, and what is in it with it, in the same transaction.
fn empty_replaced_sets(plan: &HostPlan, left: &mut Cow<'_, Observed>) {
    let replaced: BTreeSet<(Netns, NftName)> = left
        .iter()
        .filter_map(|(place, present)| {
            let Key::NftSet(name) = &place.key else {
                return None;
            };
            let wanted = plan.objects.get(place)?;
            (*present != wanted.object).then(|| (place.netns.clone(), name.clone()))
        })
        .collect();
    if replaced.is_empty() {
        return;
    }
    left.to_mut().retain(|place, _| match &place.key {
        Key::NftElement { set, .. } | Key::NftMembers(set) => {
            !replaced.contains(&(place.netns.clone(), set.clone()))
        }
        _ => true,
    });
}

/// Whether it is a pair whose other end was renamed, or moved elsewhere: an end cannot be made by
/// itself.
fn has_lost_its_end(wanted: &Link, observed: &Observed) -> bool {
    let LinkKind::Veth(peer) = &wanted.kind else {
        return false;
    };
    !peer.handed_over
        && !observed.contains_key(&Place {
            netns: peer.netns.clone(),
            key: Key::Link(peer.name.clone()),
        })
}

/// Takes a link away, with all that falls with it, wherever that is; ports of a bridge are no ports
/// then.
fn take_down(netns: &Netns, name: &IfName, left: &mut Observed) {
    for (netns, name) in above(netns, name, left) {
        take_down(&netns, &name, left);
    }
    left.retain(|place, object| place.netns != *netns || !is_on(name, &place.key, object));
    for (place, object) in left.iter_mut() {
        if let Object::Link(link) = object
            && place.netns == *netns
            && link.port.as_ref().is_some_and(|port| port.bridge == *name)
        {
            link.port = None;
        }
    }
}

/// The links that stand on one.
#[must_use]
pub fn above(netns: &Netns, name: &IfName, observed: &Observed) -> Vec<(Netns, IfName)> {
    // What links stand on is the host's.
    let links = observed.iter().filter(|_| *netns == Netns::Host);
    let above = links.filter_map(|(place, object)| match (&place.key, object) {
        (Key::Link(above), Object::Link(link)) if link.kind.stands_on() == Some(name) => {
            Some((place.netns.clone(), above.clone()))
        }
        _ => None,
    });
    above.collect()
}

/// Whether an object is the link, or exists only while it does, in the link's namespace.
#[must_use]
pub fn is_on(name: &IfName, key: &Key, object: &Object) -> bool {
    match (key, object) {
        (Key::Link(link), _)
        | (Key::Address { link, .. }, _)
        | (Key::Neighbour { link, .. }, _)
        | (Key::Fdb { link, .. }, _)
        | (Key::Station { bridge: link, .. }, _) => link == name,
        (_, Object::Station(port)) => port == name,
        (Key::Sysctl(path), _) => path.split('/').any(|part| part == name.as_str()),
        (Key::Route { .. }, Object::Route(route)) => route.next.links().contains(&name),
        _ => false,
    }
}

/// Whether an object as it is does for the object as it is wanted.
#[must_use]
pub fn satisfies(present: &Object, wanted: &Object) -> bool {
    match (present, wanted) {
        (Object::Link(present), Object::Link(wanted)) => {
            same_device(&present.kind, &wanted.kind)
                && same_mode(&present.kind, &wanted.kind)
                && wanted.mtu.is_none_or(|mtu| present.mtu == Some(mtu))
                && wanted.mac.is_none_or(|mac| present.mac == Some(mac))
                && (present.up || !wanted.up)
                && (wanted.port == present.port || wanted.kind == LinkKind::Existing)
        }
        _ => present == wanted,
    }
}

/// Whether the kernel can turn one into the other without removing it.
fn changes_in_place(present: &Object, wanted: &Object) -> bool {
    match (present, wanted) {
        (Object::Link(present), Object::Link(wanted)) => same_device(&present.kind, &wanted.kind),
        (Object::NftSet(_), _) => false,
        (Object::NftChain(present), Object::NftChain(wanted)) => present.hook == wanted.hook,
        // An element's data cannot be updated; both steps are in one transaction.
        (Object::NftElement(_), _) => false,
        _ => true,
    }
}

/// Whether two kinds are the same device. The kernel does not say enough of a pair's other end to
/// compare it, and an existing device may be of any kind.
fn same_device(present: &LinkKind, wanted: &LinkKind) -> bool {
    match (present, wanted) {
        (_, LinkKind::Existing) => true,
        (LinkKind::Veth(_) | LinkKind::VethEnd, LinkKind::Veth(_) | LinkKind::VethEnd) => true,
        (LinkKind::Macvlan { .. }, LinkKind::Macvlan { .. }) => {
            // The kernel changes modes, but not to or from this one.
            let alone = |kind| mode(kind) == Some(PhysicalSort::Macvlan(MacvlanMode::Passthru));
            is_in_place(present, wanted) && alone(present) == alone(wanted)
        }
        (LinkKind::Ipvlan { .. }, LinkKind::Ipvlan { .. }) => is_in_place(present, wanted),
        _ => present == wanted,
    }
}

/// Whether what stands on a parent stands where it should, and is known by the same mark.
fn is_in_place(present: &LinkKind, wanted: &LinkKind) -> bool {
    let place = |kind: &LinkKind| (kind.stands_on().cloned(), kind.mark().cloned());
    place(present) == place(wanted)
}

fn mode(kind: &LinkKind) -> Option<PhysicalSort> {
    match kind {
        LinkKind::Macvlan { mode, .. } => Some(PhysicalSort::Macvlan(*mode)),
        LinkKind::Ipvlan { mode, flag, .. } => Some(PhysicalSort::Ipvlan(*mode, *flag)),
        _ => None,
    }
}

/// Whether those on one parent see each other as they should, where that is of any concern.
fn same_mode(present: &LinkKind, wanted: &LinkKind) -> bool {
    mode(wanted).is_none_or(|wanted| mode(present) == Some(wanted))
}

#[cfg(test)]
mod tests;
