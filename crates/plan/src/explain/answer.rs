//! The answer to a question, put together from what is planned and what is there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tombolo_model::{ResourceKey, World};

use super::{Holder, Mark, about, differences, whose, why};
use crate::bgp::BGP_METRIC;
use crate::host_plan::{Origin, Planned};
use crate::objects::{Key, Object, Place};

/// What there is to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Explanation {
    /// What was asked, as it was understood.
    pub question: String,
    /// The objects that fit.
    pub found: Vec<Explained>,
    /// Of an address, who has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Where none fits, the route that packets take instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Explained>,
}

/// An object, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Explained {
    /// Where it is and which one.
    pub place: String,
    /// Whether it is ours.
    pub ours: bool,
    /// How the kernel holds it; none if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// How it is planned; none if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<String>,
    /// In what the two differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// The resource that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceKey>,
    /// That resource in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The planner's rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why the rule is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Whose it is, if it is not ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whose: Option<String>,
}

impl Explanation {
    /// Whether nothing of the kind is there, planned or known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty() && self.holder.is_none()
    }
}

impl Explained {
    /// An object that is planned, with how the kernel holds it.
    #[must_use]
    pub fn planned(
        world: &World,
        place: &Place,
        planned: &Planned,
        present: Option<&Object>,
    ) -> Explained {
        let origin = &planned.origin;
        let differences = match present {
            Some(present) => differences(present, &planned.object),
            None => vec!["the kernel does not hold it".to_owned()],
        };
        Explained {
            place: place.to_string(),
            ours: true,
            kernel: present.map(ToString::to_string),
            planned: Some(planned.object.to_string()),
            differences,
            about: match (
                about(world, &origin.resource),
                told_by(world, place, origin),
            ) {
                (Some(about), Some(tellers)) => Some(format!("{about}; {tellers}")),
                (about, tellers) => about.or(tellers),
            },
            resource: Some(origin.resource.clone()),
            rule: Some(origin.rule.to_owned()),
            why: why(origin.rule).map(str::to_owned),
            whose: None,
        }
    }

    /// An object that is ours by its mark, but that no plan wants.
    #[must_use]
    pub fn left_over(place: &Place, present: &Object) -> Explained {
        Explained {
            whose: Some(
                "ours by its mark, but nothing asks for it: the agent removes it".to_owned(),
            ),
            ours: true,
            ..Explained::bare(place, present.to_string())
        }
    }

    /// An object of somebody else's.
    #[must_use]
    pub fn foreign(place: &Place, text: &str, mark: &Mark) -> Explained {
        Explained {
            whose: Some(whose(mark)),
            ..Explained::bare(place, text.to_owned())
        }
    }

    fn bare(place: &Place, kernel: String) -> Explained {
        Explained {
            place: place.to_string(),
            ours: false,
            kernel: Some(kernel),
            planned: None,
            differences: Vec::new(),
            resource: None,
            about: None,
            rule: None,
            why: None,
            whose: None,
        }
    }
}

/// By whom a route was told, and by which next hops, if it was learned by BGP.
fn told_by(world: &World, place: &Place, origin: &Origin) -> Option<String> {
    let Key::Route {
        dst,
        metric: BGP_METRIC,
        ..
    } = &place.key
    else {
        return None;
    };
    if !origin.rule.starts_with("bgp: ") {
        return None;
    }
    let mut routes = (world.learned.values()).flat_map(|learned| learned.spec.routes.iter());
    let route = routes.find(|route| route.prefix == *dst)?;
    let hops = route.next_hops.iter().map(|hop| hop.address);
    let from: Vec<_> = (route.next_hops.iter())
        .filter_map(|hop| hop.from.as_ref())
        .collect();
    let tellers = match from.is_empty() {
        true => "kept over a restart".to_owned(),
        false => format!("told by {}", listed(from)),
    };
    Some(format!("{tellers}, next hop {}", listed(hops)))
}

/// Each of them once.
fn listed(all: impl IntoIterator<Item = impl Ord + ToString>) -> String {
    let all: BTreeSet<_> = all.into_iter().collect();
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// Of the routes of the main table, the one that a packet to an address takes: of the longest
/// prefixes, the one with the lowest metric.
#[must_use]
pub fn best_route<T>(
    routes: &BTreeMap<Key, T>,
    destination: std::net::IpAddr,
) -> Option<(&Key, &T)> {
    let fits = routes.iter().filter_map(|entry| match entry.0 {
        Key::Route { table, dst, metric }
            if *table == crate::objects::MAIN_TABLE && dst.contains(&destination) =>
        {
            Some(((dst.prefix_len(), std::cmp::Reverse(*metric)), entry))
        }
        _ => None,
    });
    fits.max_by_key(|(rank, _)| *rank).map(|(_, entry)| entry)
}
