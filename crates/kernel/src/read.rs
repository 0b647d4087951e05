//! Reads what a namespace holds, as far as it concerns us.
//!
//! Of the host's own namespace that is everything that is ours (see [`Ownership`]) and what the
//! plan names besides; of a sandbox, which belongs to somebody else, only what the plan names, and
//! interfaces that bear our mark.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_model::IfName;
use tombolo_plan::{Key, Netns, Object};

use crate::error::KernelError;
use crate::kernel::Ownership;
use crate::netns::NetnsHandle;
use crate::session::Session;
use crate::{address, fdb, link, neighbour, route, rule, station, sysctl};

/// What of one namespace is looked at.
pub(crate) struct Scope<'a> {
    pub ownership: &'a Ownership,
    host: bool,
    /// Whether everything in it is ours that looks so.
    own: bool,
    planned: BTreeMap<&'a Key, &'a Object>,
    named: BTreeSet<&'a IfName>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(
        ownership: &'a Ownership,
        netns: &Netns,
        planned: BTreeMap<&'a Key, &'a Object>,
    ) -> Scope<'a> {
        let named = planned
            .iter()
            .flat_map(|(key, object)| links_named(key, object))
            .collect();
        Scope {
            ownership,
            host: *netns == Netns::Host,
            own: !matches!(netns, Netns::Sandbox(_)),
            planned,
            named,
        }
    }

    pub(crate) fn is_host(&self) -> bool {
        self.host
    }

    /// Whether the plan names it.
    pub(crate) fn planned(&self, key: &Key) -> bool {
        self.planned.contains_key(key)
    }

    /// What the plan wants it to be.
    pub(crate) fn object(&self, key: &Key) -> Option<&'a Object> {
        self.planned.get(key).copied()
    }

    /// The host's interfaces that something here is to stand on.
    pub(crate) fn parents(&self) -> BTreeSet<&'a IfName> {
        let parent = |object: &&'a Object| match object {
            Object::Link(link) => link.kind.stands_on(),
            _ => None,
        };
        self.planned.values().filter_map(parent).collect()
    }

    /// What the plan wants of this namespace.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (&'a Key, &'a Object)> {
        self.planned.iter().map(|(key, object)| (*key, *object))
    }

    /// Whether a link is ours by its name.
    pub(crate) fn owns_link(&self, name: &IfName) -> bool {
        self.own && name.as_str().starts_with(&self.ownership.link_prefix)
    }

    /// Whether something that the plan wants is on a link.
    pub(crate) fn names_link(&self, name: &IfName) -> bool {
        self.named.contains(name)
    }

    /// Whether there can be stations: bridges on the host learn them.
    fn names_stations(&self) -> bool {
        (self.own && !self.host)
            || self
                .planned
                .keys()
                .any(|key| matches!(key, Key::Station { .. }))
    }

    /// Whether reading a kind of object can find anything that matters.
    fn wants(&self, kind: fn(&Key) -> bool) -> bool {
        self.own || self.planned.keys().any(|key| kind(key))
    }
}

fn links_named<'a>(key: &'a Key, object: &'a Object) -> Vec<&'a IfName> {
    match (key, object) {
        (
            Key::Link(link)
            | Key::Address { link, .. }
            | Key::Neighbour { link, .. }
            | Key::Fdb { link, .. }
            | Key::Station { bridge: link, .. },
            _,
        ) => vec![link],
        (Key::Route { .. }, Object::Route(route)) => route.next.links(),
        _ => Vec::new(),
    }
}

/// All that is looked at in one namespace, but for nftables.
pub(crate) fn read(
    session: &mut Session,
    scope: &Scope<'_>,
) -> Result<Vec<(Key, Object)>, KernelError> {
    session.load_links()?;
    let mut found = links(session, scope);
    if scope.wants(|key| matches!(key, Key::Address { .. })) {
        found.extend(address::read(session, scope)?);
    }
    if scope.wants(|key| matches!(key, Key::Route { .. })) {
        found.extend(route::read(session, scope)?);
    }
    if scope.wants(|key| matches!(key, Key::RoutingRule { .. })) {
        found.extend(rule::read(session, scope)?);
    }
    if scope.wants(|key| matches!(key, Key::Neighbour { .. })) {
        found.extend(neighbour::read(session, scope)?);
    }
    if scope.wants(|key| matches!(key, Key::Fdb { .. })) {
        found.extend(fdb::read(session, scope)?);
    }
    if scope.names_stations() {
        found.extend(station::read(session, scope)?);
    }
    found.extend(settings(&session.handle, scope)?);
    Ok(found)
}

fn links(session: &Session, scope: &Scope<'_>) -> Vec<(Key, Object)> {
    let mut found = Vec::new();
    for info in session.links.iter() {
        let Ok(name) = IfName::new(info.name.as_str()) else {
            continue;
        };
        let ours = scope.owns_link(&name) || (!scope.is_host() && link::is_marked(info));
        let key = Key::Link(name);
        if ours || scope.planned(&key) {
            found.push((key, Object::Link(link::object(info, &session.links))));
        }
    }
    found
}

/// The planned settings of one namespace.
pub(crate) fn settings(
    netns: &NetnsHandle,
    scope: &Scope<'_>,
) -> Result<Vec<(Key, Object)>, KernelError> {
    let keys: Vec<&str> = scope
        .objects()
        .filter_map(|(key, _)| match key {
            Key::Sysctl(path) => Some(path.as_str()),
            _ => None,
        })
        .collect();
    let values = sysctl::read(netns, &keys)?;
    Ok(values
        .into_iter()
        .map(|(key, value)| (Key::Sysctl(key), Object::Sysctl(value)))
        .collect())
}
