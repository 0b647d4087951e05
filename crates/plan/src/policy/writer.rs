//! What is written into one domain: chains and sets, each once, by whoever asks first.

use std::collections::HashMap;

use tombolo_model::{Family, ResourceKey, World};
use tombolo_policy::{Directory, Group, Rulebook};

use super::domain::Domain;
use super::sets::GroupSets;
use crate::host_plan::{HostPlan, Origin};
use crate::objects::{Chain, Hook, Key, Members, NftName, NftSet, Object, Rule};

/// Writes chains and sets of one domain.
pub(super) struct Writer<'w, 'a> {
    pub world: &'a World,
    pub rulebook: &'w Rulebook<'a>,
    pub directory: &'w Directory<'a>,
    pub domain: &'w Domain<'a>,
    pub families: Vec<Family>,
    /// The sets of groups that were asked for.
    pub groups: HashMap<Group<'a>, GroupSets>,
    /// For whom something is written.
    pub asker: ResourceKey,
    pub plan: &'w mut HostPlan,
}

impl Writer<'_, '_> {
    /// Whether a chain is planned already.
    pub fn has_chain(&self, name: &str) -> bool {
        let place = self.domain.place(Key::NftChain(NftName::inet(name)));
        self.plan.objects.contains_key(&place)
    }

    pub fn chain(&mut self, name: &str, hook: Option<Hook>, rules: Vec<Rule>, origin: Origin) {
        let place = self.domain.place(Key::NftChain(NftName::inet(name)));
        self.plan
            .want(place, Object::NftChain(Chain { hook, rules }), origin);
    }

    /// A set with its members.
    pub fn set(&mut self, name: &str, set: NftSet, members: Members, origin: Origin) {
        let place = self.domain.place(Key::NftSet(NftName::inet(name)));
        if self.plan.objects.contains_key(&place) {
            return;
        }
        self.plan.want(place, Object::NftSet(set), origin.clone());
        let place = self.domain.place(Key::NftMembers(NftName::inet(name)));
        self.plan.want(place, Object::NftMembers(members), origin);
    }
}
