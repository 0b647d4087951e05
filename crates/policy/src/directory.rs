//! Everything that has labels, by the addresses that it is known by.
//!
//! Many endpoints have the same labels. They are kept as one class, so that a selector is asked once
//! for all of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use foldhash::fast::FixedState;
use ipnet::IpNet;
use tombolo_model::kinds::Namespace;
use tombolo_model::{Endpoint, HostEndpoint, Name, Resource, ResourceKey, World};

use crate::rulebook::{Group, Scope};

/// Labels, by name.
pub type Labels = BTreeMap<String, String>;

/// Everything that has labels.
#[derive(Debug)]
pub struct Directory<'a> {
    /// What is alike, together.
    pub classes: Vec<Class<'a>>,
    /// The labels of namespaces, also of those that nobody wrote.
    namespaces: BTreeMap<&'a Name, Labels>,
    /// The place of a class among the classes.
    places: HashMap<ClassKey<'a>, usize, FixedState>,
}

/// What has the same labels in the same namespace.
#[derive(Debug)]
pub struct Class<'a> {
    /// The namespace, if it is of one.
    pub namespace: Option<&'a Name>,
    /// The labels, its profiles' and its namespace's name among them.
    pub labels: Cow<'a, Labels>,
    /// Who has them.
    pub members: Vec<Member<'a>>,
}

/// Somebody with labels.
#[derive(Debug, Clone, Copy)]
pub enum Member<'a> {
    /// A container's interface.
    Endpoint(&'a Resource<Endpoint>),
    /// A node's interface.
    Host(&'a Resource<HostEndpoint>),
    /// Addresses.
    Set {
        /// The kind and name of the set: its key is made of these.
        namespace: Option<&'a Name>,
        /// Its name.
        name: &'a Name,
        /// The addresses.
        nets: &'a [IpNet],
    },
}

/// What tells classes apart, as long as their labels are not put together.
#[derive(Debug, PartialEq, Eq, Hash, Clone, Copy)]
struct ClassKey<'a> {
    is_endpoint: bool,
    namespace: Option<&'a Name>,
    own: &'a Labels,
    profiles: &'a [Name],
}

impl<'a> Directory<'a> {
    /// Everything that has labels in a World. Endpoints that have lost their addresses to others are
    /// not among it.
    #[must_use]
    pub fn of(world: &'a World) -> Directory<'a> {
        // It is filled for each plan anew, and tells nobody in which order.
        let mut places: HashMap<ClassKey<'a>, usize, FixedState> = HashMap::default();
        let mut classes: Vec<Class<'a>> = Vec::new();
        for (key, member) in present(world).chain(hosts_and_sets(world)) {
            let index = *places.entry(key).or_insert_with(|| {
                classes.push(Class {
                    namespace: key.namespace,
                    labels: whole(world, key),
                    members: Vec::new(),
                });
                classes.len() - 1
            });
            classes[index].members.push(member);
        }
        let named = classes.iter().filter_map(|class| class.namespace);
        let mut namespaces: BTreeMap<&Name, Labels> = BTreeMap::new();
        for name in named.chain(world.namespaces.keys()) {
            namespaces
                .entry(name)
                .or_insert_with(|| namespace_labels(world, name));
        }
        Directory {
            classes,
            namespaces,
            places,
        }
    }

    /// The classes of a group.
    pub fn group(&self, group: Group<'a>) -> impl Iterator<Item = &Class<'a>> {
        self.classes
            .iter()
            .filter(move |class| self.is_in(group, class.namespace, &class.labels))
    }

    /// The class that an endpoint is of.
    #[must_use]
    pub fn class_of(
        &self,
        namespace: &'a Name,
        endpoint: &'a Resource<Endpoint>,
    ) -> Option<&Class<'a>> {
        let place = self.places.get(&ClassKey::of_endpoint(namespace, endpoint));
        place.map(|place| &self.classes[*place])
    }

    /// The labels of a namespace.
    #[must_use]
    pub fn namespace(&self, name: &Name) -> Option<&Labels> {
        self.namespaces.get(name)
    }

    /// Whether somebody with these labels is one of a group.
    #[must_use]
    pub fn is_in(&self, group: Group<'_>, namespace: Option<&Name>, labels: &Labels) -> bool {
        let within = match group.scope {
            Scope::Everywhere => true,
            Scope::Namespace(name) => namespace == Some(name),
            Scope::Namespaces(selector) if selector.is_global() => namespace.is_none(),
            Scope::Namespaces(selector) => namespace
                .and_then(|name| self.namespaces.get(name))
                .is_some_and(|labels| selector.matches(labels)),
        };
        within
            && group
                .selector
                .is_none_or(|selector| selector.matches(labels))
    }
}

/// The endpoints that have their addresses still.
fn present(world: &World) -> impl Iterator<Item = (ClassKey<'_>, Member<'_>)> {
    let doubtful = shared_addresses(world);
    let endpoints = world.endpoints.iter();
    let present = endpoints.filter(move |(_, endpoint)| {
        let mut addresses = endpoint.spec.addresses.iter();
        !(addresses.any(|a| doubtful.contains(a)) && world.is_superseded(endpoint))
    });
    present.map(|((namespace, _), endpoint)| {
        let key = ClassKey::of_endpoint(namespace, endpoint);
        (key, Member::Endpoint(endpoint))
    })
}

/// What has labels besides endpoints.
fn hosts_and_sets(world: &World) -> impl Iterator<Item = (ClassKey<'_>, Member<'_>)> {
    let hosts = world.host_endpoints.values();
    let hosts = hosts.map(|host| (ClassKey::of_host(host), Member::Host(host)));
    let sets = world.network_sets.iter().map(|((namespace, name), set)| {
        let key = ClassKey::of_set(Some(namespace), &set.metadata.labels);
        let member = Member::Set {
            namespace: Some(namespace),
            name,
            nets: &set.spec.nets,
        };
        (key, member)
    });
    let global = world.global_network_sets.iter().map(|(name, set)| {
        let key = ClassKey::of_set(None, &set.metadata.labels);
        let member = Member::Set {
            namespace: None,
            name,
            nets: &set.spec.nets,
        };
        (key, member)
    });
    hosts.chain(sets).chain(global)
}

/// Addresses that more than one endpoint has.
fn shared_addresses(world: &World) -> HashSet<IpAddr> {
    let size = world.endpoints.len();
    let mut seen = HashSet::with_capacity_and_hasher(size, FixedState::default());
    let endpoints = world.endpoints.values();
    let addresses = endpoints.flat_map(|endpoint| endpoint.spec.addresses.iter().copied());
    addresses.filter(|address| !seen.insert(*address)).collect()
}

/// The labels of a namespace, those that it has by its name among them.
fn namespace_labels(world: &World, name: &Name) -> Labels {
    let written = world.namespaces.get(name);
    let mut labels = written
        .map(|namespace| namespace.metadata.labels.clone())
        .unwrap_or_default();
    for label in Namespace::NAME_LABELS {
        labels.insert(label.to_owned(), name.to_string());
    }
    labels
}

/// The label by which everything of a namespace has its name.
const NAMESPACE: &str = "projectcalico.org/namespace";

impl<'a> ClassKey<'a> {
    fn of_endpoint(namespace: &'a Name, endpoint: &'a Resource<Endpoint>) -> ClassKey<'a> {
        ClassKey {
            is_endpoint: true,
            namespace: Some(namespace),
            own: &endpoint.metadata.labels,
            profiles: &endpoint.spec.profiles,
        }
    }

    fn of_host(host: &'a Resource<HostEndpoint>) -> ClassKey<'a> {
        ClassKey {
            profiles: &host.spec.profiles,
            ..ClassKey::of_set(None, &host.metadata.labels)
        }
    }

    /// Of what is no endpoint and has no profiles.
    fn of_set(namespace: Option<&'a Name>, own: &'a Labels) -> ClassKey<'a> {
        ClassKey {
            is_endpoint: false,
            namespace,
            own,
            profiles: &[],
        }
    }
}

/// The labels of somebody, with those of profiles and of the namespace, and an endpoint's.
fn whole<'a>(world: &World, key: ClassKey<'a>) -> Cow<'a, Labels> {
    let ClassKey {
        is_endpoint,
        namespace,
        own,
        profiles,
    } = key;
    if namespace.is_none() && profiles.is_empty() {
        return Cow::Borrowed(own);
    }
    let mut labels = own.clone();
    let profiles = profiles.iter().filter_map(|name| world.profiles.get(name));
    for (name, value) in profiles.flat_map(|profile| &profile.spec.labels_to_apply) {
        labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    if let Some(namespace) = namespace {
        labels.insert(NAMESPACE.to_owned(), namespace.to_string());
    }
    // Only endpoints have it, whatever labels a set is given.
    let (name, value) = Endpoint::LABEL;
    match is_endpoint {
        true => labels.insert(name.to_owned(), value.to_owned()),
        false => labels.remove(name),
    };
    Cow::Owned(labels)
}

impl Member<'_> {
    /// Its resource.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        match self {
            Member::Endpoint(endpoint) => endpoint.key(),
            Member::Host(host) => host.key(),
            Member::Set {
                namespace, name, ..
            } => ResourceKey {
                kind: match namespace {
                    Some(_) => tombolo_model::KindName::NetworkSet,
                    None => tombolo_model::KindName::GlobalNetworkSet,
                },
                namespace: namespace.cloned(),
                name: (*name).clone(),
            },
        }
    }
}
