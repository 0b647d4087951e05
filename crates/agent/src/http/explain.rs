//! Why an object is in the kernel: gathers what is planned and what is there, and lets the plan's
//! own origins answer ([`tombolo_plan::explain`]).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use tombolo_api::{ExplainRequest, Fault, FaultKind};
use tombolo_kernel::survey::{Entry, setting, survey};
use tombolo_kernel::{Kernel, KernelError, NetnsHandle, Ownership};
use tombolo_model::{Endpoint, Resource, World};
use tombolo_plan::explain::{Explained, Explanation, Mark, Question, best_route, holder};
use tombolo_plan::{HostPlan, Key, Netns, Observed, Place};

use super::{Agent, Body, Refusal};
use crate::shared::Shared;

pub(super) async fn explain(
    State(shared): Agent,
    Body(request): Body<ExplainRequest>,
) -> Result<Json<Explanation>, Refusal> {
    let invalid = |why: String| Fault::new(FaultKind::Invalid, why);
    let question = Question::parse(&request.question).map_err(invalid)?;
    let inside = request.inside.as_deref();
    let netns = inside.map(|text| sandbox(&shared, text)).transpose()?;
    let answer = tokio::task::spawn_blocking(move || answer(&shared, &question, netns))
        .await
        .map_err(|e| Fault::new(FaultKind::System, e.to_string()))??;
    Ok(Json(answer))
}

/// The sandbox of an endpoint of this node, by its name, its container, or its path.
fn sandbox(shared: &Shared, text: &str) -> Result<Netns, Fault> {
    let world = shared.world();
    let (container, interface) = match text.split_once('/') {
        Some((container, interface)) if !container.is_empty() => (container, Some(interface)),
        _ => (text, None),
    };
    let own: Vec<_> = world
        .endpoints
        .values()
        .filter(|endpoint| endpoint.spec.node == *shared.node())
        .collect();
    let fits = |endpoint: &&&Resource<Endpoint>, whole: bool| {
        let spec = &endpoint.spec;
        let id = spec.container_id.as_str();
        let by_id = if whole {
            id == container
        } else {
            id.starts_with(container)
        };
        by_id && interface.is_none_or(|interface| spec.interface.as_str() == interface)
    };
    let named = own
        .iter()
        .find(|endpoint| endpoint.name().as_str() == text || endpoint.spec.sandbox == text);
    let whole = named.or_else(|| own.iter().find(|endpoint| fits(endpoint, true)));
    // A container's id is long; the beginning of it does if only one sandbox begins so.
    let begun: BTreeMap<&str, _> = own
        .iter()
        .filter(|endpoint| fits(endpoint, false))
        .map(|endpoint| (endpoint.spec.sandbox.as_str(), endpoint))
        .collect();
    let only = (begun.len() == 1)
        .then(|| begun.into_values().next())
        .flatten();
    let found = whole.or(only);
    match found {
        Some(endpoint) => Ok(Netns::Sandbox(endpoint.spec.sandbox.clone())),
        None => {
            let message = format!(
                "no endpoint of this node is called {text:?}, nor its container or sandbox; see `tombolo get endpoints -o wide`"
            );
            Err(Fault::new(FaultKind::NotFound, message))
        }
    }
}

fn answer(
    shared: &Arc<Shared>,
    question: &Question,
    inside: Option<Netns>,
) -> Result<Explanation, Fault> {
    let system = |error: KernelError| Fault::new(FaultKind::System, error.to_string());
    let plan = Arc::clone(&shared.applied.borrow().plan);
    let netns = inside.clone().unwrap_or(Netns::Host);
    // An address is looked for in every sandbox, unless one is named: it is where the container is.
    let anywhere = inside.is_none() && matches!(question, Question::Address { .. });
    let here = NetnsHandle::current().map_err(system)?;
    let handle = match &netns {
        Netns::Host | Netns::Segment(_) => here.clone(),
        // No question names one.
        Netns::Numbered(number) => {
            let message = format!("namespace {number} has no path by which to look into it");
            return Err(Fault::new(FaultKind::NotFound, message));
        }
        Netns::Sandbox(path) => NetnsHandle::open(Path::new(path)).map_err(system)?,
    };
    // What is ours beside the host's own namespace is the host's too.
    let is_meant = |place: &Place| {
        let on_host = inside.is_none() && matches!(place.netns, Netns::Segment(_));
        (anywhere || on_host || place.netns == netns) && question.names(&place.key)
    };
    let mut own = HostPlan::clone(&plan);
    own.objects.retain(|place, _| is_meant(place));
    let mut kernel = Kernel::open(&here, Ownership::of(shared.node())).map_err(system)?;
    let mut observed = kernel.read(&own).map_err(system)?;
    observed.retain(|place, _| is_meant(place));
    let seen = Seen {
        world: &shared.world().clone(),
        own: &own,
        observed: &observed,
        entries: survey(&handle).map_err(system)?,
        netns: &netns,
    };
    let mut found = seen.found(question);
    found.extend(seen.setting(question, &handle).map_err(system)?);
    let nearest = match question.destination() {
        Some(destination) if found.is_empty() || anywhere => seen.nearest(destination, &plan),
        _ => None,
    };
    let holder = match question {
        Question::Address { address, .. } => holder(seen.world, *address),
        _ => None,
    };
    Ok(Explanation {
        question: question.to_string(),
        found,
        holder,
        nearest,
    })
}

/// What is planned and what is there, of what is asked.
struct Seen<'a> {
    world: &'a World,
    own: &'a HostPlan,
    observed: &'a Observed,
    /// Everything of the namespace, ours or not.
    entries: Vec<Entry>,
    netns: &'a Netns,
}

impl Seen<'_> {
    fn found(&self, question: &Question) -> Vec<Explained> {
        let planned = self.own.objects.iter().map(|(place, planned)| {
            Explained::planned(self.world, place, planned, self.observed.get(place))
        });
        let unplanned = self
            .observed
            .iter()
            .filter(|(place, _)| !self.own.objects.contains_key(place));
        let left = unplanned.map(|(place, object)| Explained::left_over(place, object));
        let others = self
            .entries
            .iter()
            .filter(|entry| question.names(&entry.key));
        let others = others
            .filter(|entry| !self.is_ours(entry))
            .map(|entry| Explained::foreign(&self.place(&entry.key), &entry.text, &entry.mark));
        planned.chain(left).chain(others).collect()
    }

    fn place(&self, key: &Key) -> Place {
        Place {
            netns: self.netns.clone(),
            key: key.clone(),
        }
    }

    /// Whether an object was told of already, as ours.
    fn is_ours(&self, entry: &Entry) -> bool {
        let table = Ownership::default().nft_table;
        let in_our_table = matches!(&entry.mark, Mark::Table { family, name } if ["inet", "bridge"].contains(&family.as_str()) && *name == table);
        in_our_table || self.observed.contains_key(&self.place(&entry.key))
    }

    /// A setting that nobody planned.
    fn setting(
        &self,
        question: &Question,
        handle: &NetnsHandle,
    ) -> Result<Option<Explained>, KernelError> {
        let Question::Sysctl(path) = question else {
            return Ok(None);
        };
        let place = self.place(&Key::Sysctl(path.clone()));
        if self.own.objects.contains_key(&place) {
            return Ok(None);
        }
        let value = setting(handle, path)?;
        Ok(value.map(|value| Explained::foreign(&place, &format!("= {value}"), &Mark::Setting)))
    }

    /// The route that packets to an address take, ours or not.
    fn nearest(&self, destination: std::net::IpAddr, plan: &HostPlan) -> Option<Explained> {
        let routes: BTreeMap<Key, &Entry> = self
            .entries
            .iter()
            .filter(|entry| matches!(entry.key, Key::Route { .. }))
            .map(|entry| (entry.key.clone(), entry))
            .collect();
        let (key, entry) = best_route(&routes, destination)?;
        let place = self.place(key);
        let Some(planned) = plan.objects.get(&place) else {
            return Some(Explained::foreign(&place, &entry.text, &entry.mark));
        };
        // It is there, as was read just now; whether it differs is another question's answer.
        let mut told = Explained::planned(self.world, &place, planned, Some(&planned.object));
        told.kernel = Some(entry.text.clone());
        Some(told)
    }
}
