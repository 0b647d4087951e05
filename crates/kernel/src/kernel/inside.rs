//! What we put into sandboxes and nothing on the host leads to: interfaces that stand on one of the
//! host's. They are found again by their mark, also when no plan names their sandbox any more.

use std::collections::BTreeSet;

use tombolo_model::IfName;
use tombolo_plan::objects::LinkKind;
use tombolo_plan::{HostPlan, Key, Netns, Object, Place};

use super::Kernel;
use crate::error::KernelError;
use crate::link::{self, LinkInfo};
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
    /// Interfaces of ours in sandboxes, which no plan wants: their endpoint is gone, or was given to
    /// somebody else, and its sandbox is not.
    pub(super) fn read_strays(
        &mut self,
        plan: &HostPlan,
    ) -> Result<Vec<(Place, Object)>, KernelError> {
        let Some(own) = self.number else {
            return Ok(Vec::new());
        };
        let wanted = marks(plan);
        let mut strays = Vec::new();
        for number in nsid::all(&mut self.host)? {
            for info in link::read_numbered(&mut self.host, number) {
                // In a namespace of another host's, its own agent sees to it.
                let stands_here = info.parent.is_some_and(|(_, netns)| netns == Some(own));
                let stray = stray(&info).filter(|mark| stands_here && !wanted.contains(mark));
                let Some(name) = stray.and_then(|_| IfName::new(info.name.as_str()).ok()) else {
                    continue;
                };
                let place = Place {
                    netns: Netns::Numbered(number),
                    key: Key::Link(name),
                };
                let object = Object::Link(link::object(&info, &self.host.links));
                strays.push((place, object));
            }
        }
        Ok(strays)
    }
}

fn stray(info: &LinkInfo) -> Option<IfName> {
    link::is_marked(info).then(|| IfName::new(info.alias.as_deref()?).ok())?
}

/// The marks of all interfaces that a plan wants in sandboxes.
fn marks(plan: &HostPlan) -> BTreeSet<IfName> {
    let mark = |object: &Object| match object {
        Object::Link(link) => match &link.kind {
            LinkKind::Macvlan { mark, .. } => mark.clone(),
            _ => None,
        },
        _ => None,
    };
    let planned = plan.objects.values();
    planned
        .filter_map(|planned| mark(&planned.object))
        .collect()
}
