//! What we put into sandboxes and nothing on the host leads to: interfaces that stand on one of the
//! host's. They are found again by their mark, also when no plan names their sandbox any more.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_model::IfName;
use tombolo_plan::diff::{handed_mark, mark};
use tombolo_plan::{HostPlan, Key, Netns, Object, Observed, Place};

use super::Kernel;
use crate::error::KernelError;
use crate::link;
use crate::nsid;
use crate::read::Scope;
use crate::session::Session;

/// Tells a sandbox's session what the host's interfaces are called that something there is to stand
/// on.
pub(super) fn tell_parents(
    host: &mut Session,
    scope: &Scope<'_>,
    sandbox: &mut Session,
) -> Result<(), KernelError> {
    let parents = scope.parents();
    if parents.is_empty() {
        return Ok(());
    }
    let index = |name: &IfName| Some((link::find_index(host, name)?, name.to_string()));
    let names = parents.into_iter().filter_map(index).collect();
    sandbox.tell_outside(&host.handle, names)
}

impl Kernel {
    /// Adds interfaces that a runtime has taken from the host's namespace, as if they still were where
    /// they were made.
    pub(super) fn read_taken(
        &mut self,
        plan: &HostPlan,
        observed: &mut Observed,
    ) -> Result<(), KernelError> {
        let handed = plan.objects.iter();
        let handed = handed.filter(|(place, _)| !observed.contains_key(*place));
        let gone: BTreeMap<&IfName, &Place> = handed
            .filter_map(|(place, planned)| Some((handed_mark(&planned.object)?, place)))
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        for (_, object) in self.read_strays(plan)? {
            if let Some(place) = mark(&object).and_then(|mark| gone.get(mark)) {
                observed.insert((*place).clone(), object);
            }
        }
        Ok(())
    }

    /// Interfaces of ours in sandboxes that no plan names: those that nobody wants, because their
    /// endpoint is gone, or was given to somebody else, and its sandbox is not; and those that a
    /// runtime has put there.
    pub(super) fn read_strays(
        &mut self,
        plan: &HostPlan,
    ) -> Result<Vec<(Place, Object)>, KernelError> {
        let Some(own) = self.number else {
            return Ok(Vec::new());
        };
        let put_by_us: BTreeSet<&IfName> = plan
            .objects
            .iter()
            .filter(|(place, _)| place.netns != Netns::Host)
            .filter_map(|(_, planned)| mark(&planned.object))
            .collect();
        let mut strays = Vec::new();
        for number in nsid::all(&mut self.host)? {
            for mut info in link::read_numbered(&mut self.host, number) {
                // In a namespace of another host's, its own agent sees to it.
                let Some((parent, Some(netns))) = info.parent else {
                    continue;
                };
                if netns != own || !link::is_marked(&info) {
                    continue;
                }
                info.parent = Some((parent, None));
                if self.host.links.name(parent).is_none() {
                    self.host.load_links()?;
                }
                let object = Object::Link(link::object(&info, &self.host.links));
                let ours = mark(&object).is_some_and(|mark| put_by_us.contains(mark));
                let Ok(name) = IfName::new(info.name.as_str()) else {
                    continue;
                };
                if !ours {
                    let netns = Netns::Numbered(number);
                    let key = Key::Link(name);
                    strays.push((Place { netns, key }, object));
                }
            }
        }
        Ok(strays)
    }
}
