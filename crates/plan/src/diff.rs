//! The fewest operations that make a kernel match a plan.
//!
//! The observation holds every object that is ours, and, of what is not ours, only what the plan
//! names. So whatever is observed and not planned is to be removed; whatever is planned and not
//! observed is to be made; whatever differs is to be changed in place. Everything is made and
//! changed before anything is removed ([`crate::order`]).

use std::collections::BTreeMap;

use crate::host_plan::HostPlan;
use crate::objects::{Key, Link, LinkKind, Netns, Object, Place};
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
            Op::Create { place, object } => write!(f, "create {place} {object}"),
            Op::Change { place, from, to } => write!(f, "change {place} from {from} to {to}"),
            Op::Remove { place, .. } => write!(f, "remove {place}"),
        }
    }
}

/// The operations that make `observed` match `plan`, in order.
#[must_use]
pub fn diff(plan: &HostPlan, observed: &Observed) -> Vec<Op> {
    let mut making = Vec::new();
    let mut removing = Vec::new();
    for (place, planned) in &plan.objects {
        match observed.get(place) {
            None => making.push(Op::Create {
                place: place.clone(),
                object: planned.object.clone(),
            }),
            Some(present) if satisfies(present, &planned.object) => {}
            Some(present) if changes_in_place(present, &planned.object) => {
                making.push(Op::Change {
                    place: place.clone(),
                    from: present.clone(),
                    to: planned.object.clone(),
                });
            }
            Some(present) => {
                // The kernel cannot change it: it is removed first, which is the one case in which
                // something is closed before it is opened again.
                making.push(Op::Remove {
                    place: place.clone(),
                    object: present.clone(),
                });
                making.push(Op::Create {
                    place: place.clone(),
                    object: planned.object.clone(),
                });
            }
        }
    }
    for (place, present) in observed {
        if !plan.objects.contains_key(place) {
            removing.push(Op::Remove {
                place: place.clone(),
                object: present.clone(),
            });
        }
    }
    // Stable: a removal stays before the making of the same object, which has the same rank.
    making.sort_by_key(|op| rank(&op.place().key));
    removing.sort_by_key(|op| std::cmp::Reverse(rank(&op.place().key)));
    making.extend(removing);
    replace_lost_pairs(plan, observed, &mut making);
    making
}

/// A sandbox's end of a pair cannot be made by itself. Where it is gone although the host's end is
/// there (it was renamed, or moved elsewhere), the pair is made anew.
fn replace_lost_pairs(plan: &HostPlan, observed: &Observed, ops: &mut Vec<Op>) {
    let lost = |netns: &Netns, name: &tombolo_model::IfName| {
        !observed.contains_key(&Place {
            netns: netns.clone(),
            key: Key::Link(name.clone()),
        })
    };
    let mut front = Vec::new();
    for (place, planned) in &plan.objects {
        let Object::Link(Link {
            kind: LinkKind::Veth(peer),
            ..
        }) = &planned.object
        else {
            continue;
        };
        if let Some(present) = observed.get(place)
            && lost(&peer.netns, &peer.name)
            && !ops
                .iter()
                .any(|op| matches!(op, Op::Remove { place: p, .. } if p == place))
        {
            ops.retain(|op| op.place() != place);
            front.push(Op::Remove {
                place: place.clone(),
                object: present.clone(),
            });
            front.push(Op::Create {
                place: place.clone(),
                object: planned.object.clone(),
            });
        }
    }
    front.append(ops);
    *ops = front;
    // The end comes with its pair.
    ops.retain(|op| {
        !matches!(
            op,
            Op::Create {
                object: Object::Link(Link {
                    kind: LinkKind::VethEnd,
                    ..
                }),
                ..
            }
        )
    });
}

/// Whether an object as it is does for the object as it is wanted.
#[must_use]
pub fn satisfies(present: &Object, wanted: &Object) -> bool {
    match (present, wanted) {
        (Object::Link(present), Object::Link(wanted)) => {
            same_device(&present.kind, &wanted.kind)
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
        _ => present == wanted,
    }
}

#[cfg(test)]
mod tests;
