//! A kernel made of a map, for judging plans and operations without one.
//!
//! It holds a host's objects and those of the sandboxes reached from it, and takes operations one
//! by one as Linux would: it refuses what Linux refuses (a route on a missing link, a second
//! object of one key, an element of a missing set), and what falls with a link falls here too. It
//! decides nothing about networks.

use std::collections::BTreeMap;

use tombolo_model::IfName;
use tombolo_plan::diff::above;
use tombolo_plan::objects::{Link, LinkKind, Route, VethPeer};
use tombolo_plan::{HostPlan, Key, Netns, Object, Observed, Op, Place};

/// A kernel made of a map.
#[derive(Debug, Clone, Default)]
pub struct FakeKernel {
    /// Everything that it holds.
    pub objects: Observed,
}

impl FakeKernel {
    /// What is ours, and of the rest what the plan names, as the real reader sees it.
    pub fn observe(&self, plan: &HostPlan) -> Observed {
        let mut seen: Observed = BTreeMap::new();
        for (place, object) in &self.objects {
            let named = plan.objects.contains_key(place);
            let ours = place.netns == Netns::Host && !matches!(place.key, Key::Sysctl(_));
            if named || ours {
                seen.insert(place.clone(), object.clone());
            }
        }
        for place in plan
            .objects
            .keys()
            .filter(|p| !self.objects.contains_key(p))
        {
            match &place.key {
                Key::Link(name) if name.as_str() == "lo" => {
                    let lo = Link {
                        kind: LinkKind::Existing,
                        mtu: None,
                        mac: None,
                        up: false,
                        port: None,
                    };
                    seen.insert(place.clone(), Object::Link(lo));
                }
                Key::Sysctl(path) if self.has_sysctl(path) => {
                    seen.insert(place.clone(), Object::Sysctl("0".to_owned()));
                }
                _ => {}
            }
        }
        seen
    }

    /// Takes one operation; says what Linux would say against it.
    pub fn apply(&mut self, op: &Op) -> Result<(), String> {
        let refuse = |why: &str| Err(format!("{op}: {why}"));
        match op {
            Op::Create { place, object } => {
                if self.objects.contains_key(place) {
                    return refuse("it is there already");
                }
                if let Some(missing) = self.missing(place, object) {
                    return refuse(&format!("{missing} is missing"));
                }
                self.create(place, object);
            }
            Op::Change { place, to, .. } => {
                let foreign = matches!(place.key, Key::Sysctl(_))
                    || matches!(&place.key, Key::Link(name) if name.as_str() == "lo");
                if !self.objects.contains_key(place) && !foreign {
                    return refuse("it is not there");
                }
                if let Some(missing) = self.missing(place, to) {
                    return refuse(&format!("{missing} is missing"));
                }
                self.change(place, to);
            }
            Op::Remove { place, object } => {
                if self.objects.remove(place).is_none() && !is_of_a_pair(object) {
                    return refuse("it is not there");
                }
                if let Key::Link(name) = &place.key {
                    self.drop_with_link(&place.netns, name);
                }
            }
        }
        Ok(())
    }

    /// What a link is not asked to have stays as it is.
    fn change(&mut self, place: &Place, to: &Object) {
        let mut to = to.clone();
        if let (Object::Link(new), Some(Object::Link(old))) = (&mut to, self.objects.get(place)) {
            new.mtu = new.mtu.or(old.mtu);
            new.mac = new.mac.or(old.mac);
        }
        self.objects.insert(place.clone(), to);
    }

    fn create(&mut self, place: &Place, object: &Object) {
        self.objects.insert(place.clone(), object.clone());
        let Object::Link(link) = object else { return };
        let LinkKind::Veth(peer) = &link.kind else {
            return;
        };
        let end = Link {
            kind: LinkKind::VethEnd,
            mtu: link.mtu,
            mac: Some(peer.mac),
            up: true,
            port: None,
        };
        self.objects.insert(end_of(peer), Object::Link(end));
    }

    /// What an object needs that is not there.
    fn missing(&self, place: &Place, object: &Object) -> Option<String> {
        let link = |name: &IfName| {
            let link = Key::Link(name.clone());
            let is_foreign = place.netns == Netns::Host && !name.as_str().starts_with("tb");
            let there = Place {
                netns: place.netns.clone(),
                key: link,
            };
            (!is_foreign && !self.objects.contains_key(&there)).then(|| format!("link {name}"))
        };
        match (&place.key, object) {
            (Key::Address { link: name, .. }, _)
            | (Key::Neighbour { link: name, .. }, _)
            | (Key::Fdb { link: name, .. }, _) => link(name),
            (Key::Route { .. }, Object::Route(Route { next, .. })) => {
                next.links().into_iter().find_map(link)
            }
            (Key::Link(_), Object::Link(Link { port: Some(p), .. })) => link(&p.bridge),
            (Key::Link(_), Object::Link(Link { kind, .. })) => {
                let parent = kind.stands_on()?;
                let there = Place::host(Key::Link(parent.clone()));
                let is_foreign = !parent.as_str().starts_with("tb");
                (!is_foreign && !self.objects.contains_key(&there))
                    .then(|| format!("link {parent}"))
            }
            (Key::NftElement { set, .. } | Key::NftMembers(set), _) => {
                let set_place = Place {
                    netns: place.netns.clone(),
                    key: Key::NftSet(set.clone()),
                };
                (!self.objects.contains_key(&set_place)).then(|| format!("set {set}"))
            }
            (Key::Sysctl(path), _) => (!self.has_sysctl(path)).then(|| path.clone()),
            _ => None,
        }
    }

    /// A setting of a link is there while the link is.
    fn has_sysctl(&self, path: &str) -> bool {
        path.split('/')
            .find(|part| part.starts_with("tb"))
            .is_none_or(|name| {
                let name = IfName::new(name).expect("a path of ours names an interface");
                self.objects.contains_key(&Place::host(Key::Link(name)))
            })
    }

    /// What falls with a link: all that is on it, its pair's other end, its ports' membership.
    fn drop_with_link(&mut self, netns: &Netns, name: &IfName) {
        self.objects.retain(|place, object| {
            let on_link = match (&place.key, &*object) {
                (Key::Address { link, .. }, _)
                | (Key::Neighbour { link, .. }, _)
                | (Key::Fdb { link, .. }, _) => link == name,
                (Key::Route { .. }, Object::Route(route)) => route.next.links().contains(&name),
                (Key::Sysctl(path), _) => path.split('/').any(|part| part == name.as_str()),
                _ => false,
            };
            !(on_link && place.netns == *netns)
        });
        for (netns, name) in above(netns, name, &self.objects) {
            let key = Key::Link(name.clone());
            self.objects.remove(&Place {
                netns: netns.clone(),
                key,
            });
            self.drop_with_link(&netns, &name);
        }
        for object in self.objects.values_mut() {
            if let Object::Link(link) = object
                && link.port.as_ref().is_some_and(|p| p.bridge == *name)
            {
                link.port = None;
            }
        }
        self.drop_lost_ends();
    }

    /// An end whose pair is gone is gone, with all that is on it; and the other way round.
    fn drop_lost_ends(&mut self) {
        let pairs: Vec<(Place, Place)> = self
            .objects
            .iter()
            .filter_map(|(place, object)| match object {
                Object::Link(Link {
                    kind: LinkKind::Veth(peer),
                    ..
                }) => Some((place.clone(), end_of(peer))),
                _ => None,
            })
            .collect();
        let lost = self.objects.iter().find_map(|(place, object)| {
            let is_end = matches!(object, Object::Link(l) if l.kind == LinkKind::VethEnd);
            let orphan = is_end && !pairs.iter().any(|(_, end)| end == place);
            let half = pairs
                .iter()
                .any(|(host, end)| host == place && !self.objects.contains_key(end));
            (orphan || half).then(|| place.clone())
        });
        if let Some(place) = lost {
            self.objects.remove(&place);
            if let Key::Link(name) = &place.key {
                self.drop_with_link(&place.netns, name);
            }
        }
    }
}

/// With one end of a pair goes the other, and who removes both is told that one is gone.
fn is_of_a_pair(object: &Object) -> bool {
    matches!(object, Object::Link(link) if matches!(link.kind, LinkKind::Veth(_) | LinkKind::VethEnd))
}

/// Where the other end of a pair is.
fn end_of(peer: &VethPeer) -> Place {
    Place {
        netns: peer.netns.clone(),
        key: Key::Link(peer.name.clone()),
    }
}
