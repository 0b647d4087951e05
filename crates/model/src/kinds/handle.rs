//! Handle: who an address was given to, remembered after it was given back.
//!
//! An identity is what stays when a container is restarted or moved: namespace and name, else the
//! container ID. The handle of an identity remembers its addresses, so that it gets them again,
//! and counts its generations, so that an owner of the past can be told from the present one.
//!
//! Handles named `generations/…` are no one's: they remember how far the generations of deleted
//! handles had grown, so that a handle made anew does not repeat one.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::names::{ContainerId, IfName, Name, SharedNames};
use crate::resource::FieldError;

/// Who an address was given to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Handle {
    /// The network.
    pub network: Name,
    /// Who: `namespace/name/interface`, or `node:container/interface` of what stays on its node.
    pub identity: String,
    /// Grows with every time that addresses are given under this identity.
    pub generation: u64,
    /// The node that uses the addresses at present; none after they were given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// The endpoint (namespace and name) that uses them at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<(Name, Name)>,
    /// The addresses, in use or last used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
}

impl Handle {
    /// Gives the names the texts of equal ones.
    pub(crate) fn share_names(&mut self, shared: &mut SharedNames) {
        shared.share(&mut self.network);
        if let Some(node) = &mut self.node {
            shared.share(node);
        }
        if let Some((namespace, name)) = &mut self.endpoint {
            shared.share(namespace);
            shared.share(name);
        }
    }

    /// The name of the handle of an identity in a network: a hash, since an identity may hold
    /// characters that a name cannot.
    #[must_use]
    pub fn resource_name(network: &Name, identity: &str) -> Name {
        let mut hash = Sha256::new();
        hash.update(network.as_str());
        hash.update([0]);
        hash.update(identity);
        Name::new(hex::encode(&hash.finalize()[..16])).expect("hexadecimal digits make a name")
    }

    /// The identity of a container of which no more is known: it never appears on another node. No
    /// namespace has a colon in its name.
    #[must_use]
    pub fn identity_on(node: &Name, container: &ContainerId, interface: &IfName) -> String {
        format!("{node}:{container}/{interface}")
    }

    /// Whether the identity never appears on another node than this one.
    #[must_use]
    pub fn stays_on(&self, node: &Name) -> bool {
        let rest = self.identity.strip_prefix(node.as_str());
        rest.is_some_and(|rest| rest.starts_with(':'))
    }

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        Vec::new()
    }
}
