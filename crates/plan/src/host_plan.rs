//! HostPlan: everything that one host should hold, and why.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tombolo_model::kinds::{NodeNetworkStatus, TransportSpec};
use tombolo_model::{Name, ResourceKey};

use crate::bgp::BgpPlan;
use crate::objects::{Object, Place};
use crate::tunnel::TunnelPlan;

/// Everything that one host should hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostPlan {
    /// The kernel's objects.
    pub objects: BTreeMap<Place, Planned>,
    /// Which namespaces the sandboxes are, by their inodes, where that is known: a path that leads
    /// to another one by now leads to nobody's sandbox.
    pub sandboxes: BTreeMap<String, u64>,
    /// What the node tells its peers once the objects are in place, by network.
    pub announce: BTreeMap<Name, NodeNetworkStatus>,
    /// What its BGP speaker is to be; none if it is to have none.
    pub bgp: Option<BgpPlan>,
    /// What its tunnel through user space is to be; none if it is to have none.
    pub tunnel: Option<TunnelPlan>,
    /// What cannot be done as the resources ask for.
    pub problems: Vec<Problem>,
}

/// An object with the reason why it is wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// How it should be.
    pub object: Object,
    /// Who asked for it.
    pub origin: Origin,
}

/// Who asked for an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The resource.
    pub resource: ResourceKey,
    /// The rule of the planner, as `transport/vxlan: route to a peer's block`.
    pub rule: &'static str,
}

/// Something that cannot be done as a resource asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The resource that asks for it.
    pub resource: ResourceKey,
    /// What cannot be done, why, and what to do about it.
    pub message: String,
}

impl HostPlan {
    /// Wants an object. The first who asks for a place gives its origin; a second one who asks for
    /// the same place must want the same.
    pub fn want(&mut self, place: Place, object: Object, origin: Origin) {
        if let Some(present) = self.objects.get(&place) {
            if present.object != object {
                let message = format!(
                    "{place} is wanted as `{object}`, but {} already wants it as `{}`",
                    present.origin.resource, present.object
                );
                self.problems.push(Problem {
                    resource: origin.resource,
                    message,
                });
            }
            return;
        }
        self.objects.insert(place, Planned { object, origin });
    }

    /// Notes something that cannot be done.
    pub fn problem(&mut self, resource: ResourceKey, message: impl Into<String>) {
        self.problems.push(Problem {
            resource,
            message: message.into(),
        });
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.resource, self.rule)
    }
}

impl fmt::Display for HostPlan {
    /// One object a line, with its origin behind `#`, namespace by namespace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, planned) in &self.objects {
            let object = planned.object.to_string();
            let space = if object.is_empty() { "" } else { " " };
            let mut lines = object.lines();
            writeln!(
                f,
                "{place}{space}{}  # {}",
                lines.next().unwrap_or_default(),
                planned.origin
            )?;
            for line in lines {
                writeln!(f, "{line}")?;
            }
        }
        for (network, status) in &self.announce {
            let list = |transports: &[TransportSpec]| {
                transports
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(",")
            };
            writeln!(
                f,
                "announce {network} sends {} receives {}",
                list(&status.sends),
                list(&status.receives)
            )?;
        }
        if let Some(bgp) = &self.bgp {
            write!(f, "{bgp}")?;
        }
        if let Some(tunnel) = &self.tunnel {
            write!(f, "{tunnel}")?;
        }
        for problem in &self.problems {
            writeln!(f, "problem {}: {}", problem.resource, problem.message)?;
        }
        Ok(())
    }
}
