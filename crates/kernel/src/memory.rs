//! What a kernel held when it was last read, with what was done to it since.
//!
//! It spares reading what nobody else has touched: who changed something is told by events, and
//! whatever went wrong is forgotten, so that it is read again.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_model::IfName;
use tombolo_plan::diff::{handed_mark, mark, satisfies};
use tombolo_plan::objects::LinkKind;
use tombolo_plan::{HostPlan, Key, Netns, Object, Observed, Op, Place};

use crate::kernel::{Ownership, Wanted, is_nft};
use crate::look::Look;
use crate::record::record;

/// What a kernel held when it was last read, with what was done to it since.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    observed: Observed,
    knows_host: bool,
    /// Sandboxes that must be read again, whatever is remembered of them.
    doubtful: BTreeSet<Netns>,
}

impl Memory {
    pub(crate) fn observed(&self) -> &Observed {
        &self.observed
    }

    pub(crate) fn knows_host(&self) -> bool {
        self.knows_host
    }

    /// Whether a sandbox was found to hold all that is wanted of it.
    pub(crate) fn knows(&self, netns: &Netns, wanted: &BTreeMap<&Key, &Object>) -> bool {
        !self.doubtful.contains(netns)
            && wanted.keys().all(|key| {
                let place = Place {
                    netns: netns.clone(),
                    key: (*key).clone(),
                };
                self.observed.contains_key(&place)
            })
    }

    /// Sandboxes whose pair, or what their interface stands on, is not as wanted on the host: what is
    /// remembered of it in the sandbox went with it.
    pub(crate) fn cut_off<'a>(&self, plan: &'a HostPlan) -> BTreeSet<&'a Netns> {
        let is_right = |place: &Place, wanted: &Object| {
            let present = self.observed.get(place);
            present.is_some_and(|present| satisfies(present, wanted))
        };
        let standing = plan.objects.iter().filter(|(place, planned)| {
            let below = stands_on(&planned.object);
            let below = below.map(|name| Place::host(Key::Link(name.clone())));
            let wanted = below.and_then(|below| Some((plan.objects.get(&below)?, below)));
            place.netns != Netns::Host
                && wanted.is_some_and(|(wanted, below)| !is_right(&below, &wanted.object))
        });
        let standing = standing.map(|(place, _)| &place.netns);
        let pairs = plan
            .objects
            .iter()
            .filter_map(|(place, planned)| match &planned.object {
                Object::Link(link) => match &link.kind {
                    LinkKind::Veth(peer) => Some((place, &planned.object, &peer.netns)),
                    _ => None,
                },
                _ => None,
            })
            .filter(|(place, wanted, _)| !is_right(place, wanted))
            .map(|(_, _, netns)| netns);
        pairs.chain(standing).collect()
    }

    /// Puts what was read of a namespace in the place of what was remembered of it.
    pub(crate) fn replace(&mut self, netns: &Netns, found: Vec<(Key, Object)>) {
        self.observed.retain(|place, _| place.netns != *netns);
        self.insert(netns, found);
        self.doubtful.remove(netns);
        self.knows_host |= *netns == Netns::Host;
    }

    /// Puts settings of the host that were read in the place of those remembered.
    pub(crate) fn replace_settings(&mut self, found: Vec<(Key, Object)>) {
        let is_setting =
            |place: &Place| place.netns == Netns::Host && matches!(place.key, Key::Sysctl(_));
        self.observed.retain(|place, _| !is_setting(place));
        self.insert(&Netns::Host, found);
    }

    fn insert(&mut self, netns: &Netns, found: Vec<(Key, Object)>) {
        self.observed.extend(found.into_iter().map(|(key, object)| {
            let netns = netns.clone();
            (Place { netns, key }, object)
        }));
    }

    /// Whether an interface that a runtime takes is neither where it was made nor where it was last
    /// seen, or something changed there.
    pub(crate) fn lost_handed_over(&self, plan: &HostPlan, look: &Look) -> bool {
        let strays = || {
            self.observed
                .iter()
                .filter_map(|(place, object)| match place.netns {
                    Netns::Numbered(number) => Some((number, mark(object))),
                    _ => None,
                })
        };
        let handed = plan.objects.iter();
        let mut handed = handed.filter_map(|(place, planned)| {
            let mark = handed_mark(&planned.object)?;
            (!self.observed.contains_key(place)).then_some(mark)
        });
        strays().any(|(number, _)| look.namespaces.contains(&number))
            || handed.any(|wanted| strays().all(|(_, mark)| mark != Some(wanted)))
    }

    /// Puts what was found in sandboxes that no plan names in the place of what was remembered.
    pub(crate) fn replace_strays(&mut self, found: Vec<(Place, Object)>) {
        let is_stray = |place: &Place| matches!(place.netns, Netns::Numbered(_));
        self.observed.retain(|place, _| !is_stray(place));
        self.observed.extend(found);
    }

    /// Notes what was done.
    pub(crate) fn done(&mut self, op: &Op) {
        record(&mut self.observed, op);
    }

    /// Notes what could not be done: nobody knows how it is now.
    pub(crate) fn failed(&mut self, op: &Op) {
        match &op.place().netns {
            Netns::Host => self.knows_host = false,
            // It is looked for again with everything else.
            Netns::Numbered(_) => {
                self.observed.remove(op.place());
            }
            netns => {
                self.doubtful.insert(netns.clone());
            }
        }
    }

    /// Everything is to be read again.
    pub(crate) fn forget(&mut self) {
        *self = Memory::default();
    }

    /// Leaves out what a reading for this plan would not find: sandboxes that it does not name, and
    /// things of others that it does not name either. Answers whether there was something of ours
    /// among it that nothing on the host leads to, so that it must be looked for.
    pub(crate) fn narrow(&mut self, wanted: &Wanted<'_>, ownership: &Ownership) -> bool {
        let mut lost_sight = false;
        self.observed.retain(|place, object| {
            let planned = wanted.get(&place.netns);
            let stays = matches!(place.netns, Netns::Numbered(_))
                || planned.is_some_and(|planned| {
                    // By its name our table is ours even in a sandbox. To ask the plan takes longer.
                    ((!matches!(place.netns, Netns::Sandbox(_)) || is_nft(&place.key))
                        && is_ours(&place.key, ownership))
                        || planned.contains_key(&place.key)
                });
            // One that a runtime was to take may have been made twice, if it was on its way when it was
            // looked for.
            let given_up = place.netns == Netns::Host
                && mark(object).is_some()
                && planned.is_none_or(|planned| !planned.contains_key(&place.key));
            lost_sight |= given_up || (!stays && stands_on(object).is_some());
            stays
        });
        self.doubtful.retain(|netns| wanted.contains_key(netns));
        lost_sight
    }
}

/// The host's interface that a link stands on.
fn stands_on(object: &Object) -> Option<&IfName> {
    match object {
        Object::Link(link) => link.kind.stands_on(),
        _ => None,
    }
}

/// Whether an object of the host is ours even if no plan names it.
fn is_ours(key: &Key, ownership: &Ownership) -> bool {
    match key {
        Key::Link(link)
        | Key::Address { link, .. }
        | Key::Neighbour { link, .. }
        | Key::Fdb { link, .. }
        | Key::Station { bridge: link, .. } => link.as_str().starts_with(&ownership.link_prefix),
        Key::Sysctl(_) => false,
        _ => true,
    }
}
