//! What joining keeps in the store, and the transactions that change it.
//!
//! - The Token resource, with each use: who, for which key, when.
//! - The Node resource: made empty when the node is let in (its agent fills it), so that the name
//!   is taken from that moment, and free again after `tombolo delete node NAME`.
//! - The identity: which key the node was certified for. It stands beside the resources, under
//!   [`IDENTITIES`], because no person edits it. It counts only while the Node is there: a later
//!   node of the same name overwrites it, after which the earlier one's certificate cannot be
//!   renewed.
//!
//! Every change is one transaction that holds only if what was read is still so. Nothing here
//! decides anything.

use serde::{Deserialize, Serialize};
use tombolo_model::{Kind, KindName, Name, Node, Resource, ResourceKey, Token};
use tombolo_store::{Compare, Op, Resources, Revision, StoreError, Txn};

use crate::token::resource_key;

/// What the key of every identity begins with.
pub const IDENTITIES: &str = "/tombolo/join/v1/identities/";

/// Which key a node was certified for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    /// SHA-256 of the public key, hexadecimal.
    pub key_hash: String,
    /// The one before it: its owner may not have received the newer certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// Something read, with the revision at which it was written ([`Revision::NONE`] if absent).
#[derive(Debug, Clone)]
pub(crate) struct Read<T> {
    /// The value, if there is one.
    pub value: Option<T>,
    /// When it was written.
    pub revision: Revision,
}

/// The records of joining.
pub(crate) struct Records {
    resources: Resources,
}

impl Records {
    pub(crate) fn new(resources: Resources) -> Records {
        Records { resources }
    }

    pub(crate) async fn token(&self, id: &Name) -> Result<Read<Resource<Token>>, StoreError> {
        self.read(&self.resources.key(&resource_key(id))).await
    }

    pub(crate) async fn node(&self, name: &Name) -> Result<Read<Resource<Node>>, StoreError> {
        self.read(&self.resources.key(&node_key(name))).await
    }

    pub(crate) async fn identity(&self, name: &Name) -> Result<Read<Identity>, StoreError> {
        self.read(&identity_key(name)).await
    }

    /// Every node that can be read.
    pub(crate) async fn nodes(&self) -> Result<Vec<Resource<Node>>, StoreError> {
        let (world, _) = self.resources.world().await?;
        Ok(world.nodes.into_values().collect())
    }

    /// Lets a node in: the token with its new use, the Node, the identity. Answers false if one
    /// of them is not as it was read.
    pub(crate) async fn admit(
        &self,
        token: (&Resource<Token>, Revision),
        name: &Name,
        identity: (&Identity, Revision),
    ) -> Result<bool, StoreError> {
        let token_key = self.resources.key(&token.0.key());
        let node_key = self.resources.key(&node_key(name));
        let node = Resource::new(name.clone(), Node::default());
        let txn = Txn::of(vec![
            Op::put(token_key.clone(), stored(token.0)),
            Op::put(node_key.clone(), stored(&node)),
            Op::put(identity_key(name), json(identity.0)),
        ])
        .when(vec![
            Compare::unchanged(token_key, token.1),
            Compare::absent(node_key),
            Compare::unchanged(identity_key(name), identity.1),
        ]);
        Ok(self.resources.store().txn(txn).await?.succeeded)
    }

    /// Replaces a node's identity while the node stays. Answers false if one of them is not as it
    /// was read.
    pub(crate) async fn replace(
        &self,
        name: &Name,
        node: Revision,
        identity: (&Identity, Revision),
    ) -> Result<bool, StoreError> {
        let node_key = self.resources.key(&node_key(name));
        let mut ops = vec![Op::put(identity_key(name), json(identity.0))];
        if node == Revision::NONE {
            let empty = Resource::new(name.clone(), Node::default());
            ops.push(Op::put(node_key.clone(), stored(&empty)));
        }
        let txn = Txn::of(ops).when(vec![
            Compare::unchanged(node_key, node),
            Compare::unchanged(identity_key(name), identity.1),
        ]);
        Ok(self.resources.store().txn(txn).await?.succeeded)
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<Read<T>, StoreError> {
        let Some(kv) = self.resources.store().get(key.as_bytes()).await? else {
            return Ok(Read {
                value: None,
                revision: Revision::NONE,
            });
        };
        let value = serde_json::from_slice(&kv.value).map_err(|e| StoreError::Corrupt {
            file: key.to_owned(),
            cause: e.to_string(),
        })?;
        Ok(Read {
            value: Some(value),
            revision: kv.mod_revision,
        })
    }
}

fn node_key(name: &Name) -> ResourceKey {
    ResourceKey {
        kind: KindName::Node,
        namespace: None,
        name: name.clone(),
    }
}

fn identity_key(name: &Name) -> String {
    format!("{IDENTITIES}{name}")
}

/// A resource as the store keeps it: metadata without its version, spec, status.
fn stored<S: Kind>(resource: &Resource<S>) -> Vec<u8> {
    let mut resource = resource.clone();
    resource.metadata.resource_version = None;
    json(&resource)
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("structs of texts and numbers are always JSON")
}
