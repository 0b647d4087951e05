//! Resources in a store: where each kind lives, and how it is read, watched and committed.
//!
//! A resource is JSON under `/tombolo/v1/<kind>/<name>`, or `/tombolo/v1/<kind>/<namespace>/<name>`
//! for kinds that have a namespace. Its `resourceVersion` is not part of the value: it is the
//! revision at which the store last wrote the key.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use tombolo_model::{AnyResource, Change, Expected, KindName, Name, ResourceKey, World, Write};

use crate::error::{InvalidRequest, StoreError};
use crate::key_range::KeyRange;
use crate::store::Store;
use crate::told::{EventKind, WatchRequest};
use crate::types::{Compare, KeyValue, Op, RangeRequest, Revision, Txn};

/// What every key begins with, unless a cluster is given another one.
pub const PREFIX: &str = "/tombolo/v1/";

/// How many keys are listed at once.
const PAGE: usize = 1000;

/// The resources of one cluster in a store.
#[derive(Clone)]
pub struct Resources {
    store: Arc<dyn Store>,
    prefix: String,
}

/// How a commit went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// Everything was written, at this revision.
    Done(Revision),
    /// Something was not as expected, so nothing was written. Read again and decide again.
    Conflict,
}

/// One change of the World.
#[derive(Debug, Clone, PartialEq)]
pub enum WorldChange {
    /// A resource is there, new or changed.
    Put(Box<AnyResource>),
    /// A resource is gone.
    Delete(ResourceKey),
    /// A value that is no resource of this program's version; it is left alone.
    Unreadable {
        /// The resource that it should be.
        key: ResourceKey,
        /// What is wrong with it.
        what: Unreadable,
    },
}

/// A value of the store that is no resource of this program's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong with it.
    pub why: String,
    /// The revision at which it was written.
    pub revision: Revision,
}

/// Everything, as the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What can be read.
    pub world: World,
    /// What is no resource of this program's version, and why.
    pub unreadable: BTreeMap<ResourceKey, Unreadable>,
    /// The revision that it is of.
    pub revision: Revision,
}

/// All changes of one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldBatch {
    /// The revision.
    pub revision: Revision,
    /// Its changes.
    pub changes: Vec<WorldChange>,
}

impl Resources {
    /// The resources of a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Resources {
        Resources {
            store,
            prefix: PREFIX.to_owned(),
        }
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Everything that can be read, with the revision that it is of.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn world(&self) -> Result<(World, Revision), StoreError> {
        let listed = self.list().await?;
        Ok((listed.world, listed.revision))
    }

    /// Everything, also what cannot be read.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self) -> Result<Listed, StoreError> {
        let whole = KeyRange::prefix(self.prefix.clone().into_bytes());
        let mut request = RangeRequest::new(whole.clone()).limit(PAGE);
        let mut world = World::default();
        let mut unreadable = BTreeMap::new();
        // Page by page, since all values together are larger than the World that is made of them.
        loop {
            let page = self.store.range(request.clone()).await?;
            for kv in &page.kvs {
                match self.read(kv) {
                    Ok(resource) => {
                        world.put(resource);
                    }
                    Err(why) => {
                        let key = text(&kv.key);
                        tracing::warn!(key, why, "unreadable resource");
                        // Leased keys (presence) live beside the resources and are none.
                        let what = Unreadable {
                            why,
                            revision: kv.mod_revision,
                        };
                        unreadable.extend(self.parse_key(&key).map(|key| (key, what)));
                    }
                }
            }
            // Every page is of the same revision.
            if request.revision == Revision::NONE {
                request.revision = page.revision;
            }
            match page.kvs.last() {
                Some(last) if page.more => request.range = whole.after(&last.key),
                _ => {
                    world.compact();
                    return Ok(Listed {
                        world,
                        unreadable,
                        revision: request.revision,
                    });
                }
            }
        }
    }

    /// One resource, straight from the store.
    ///
    /// # Errors
    /// When the store does not answer, or the value is no resource.
    pub async fn get(&self, key: &ResourceKey) -> Result<Option<AnyResource>, StoreError> {
        let Some(kv) = self.store.get(self.key(key).as_bytes()).await? else {
            return Ok(None);
        };
        self.read(&kv)
            .map(Some)
            .map_err(|cause| StoreError::Corrupt {
                file: text(&kv.key),
                cause,
            })
    }

    /// Every change after a revision.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn watch(
        &self,
        after: Revision,
    ) -> Result<futures::stream::BoxStream<'static, Result<WorldBatch, StoreError>>, StoreError>
    {
        let range = KeyRange::prefix(self.prefix.clone().into_bytes());
        let stream = self
            .store
            .watch(WatchRequest::new(range).starting(after.next()))
            .await?;
        let this = self.clone();
        Ok(stream
            .map(move |batch| {
                let batch = batch?;
                let changes = batch.events.iter().filter_map(|event| this.change(event));
                Ok(WorldBatch {
                    revision: batch.revision,
                    changes: changes.collect(),
                })
            })
            .boxed())
    }

    fn change(&self, event: &crate::told::Event) -> Option<WorldChange> {
        let (key, why) = match event.kind {
            EventKind::Put => match self.read(&event.kv) {
                Ok(resource) => return Some(WorldChange::Put(Box::new(resource))),
                Err(why) => (text(&event.kv.key), why),
            },
            EventKind::Delete => {
                return self
                    .parse_key(&text(&event.kv.key))
                    .map(WorldChange::Delete);
            }
        };
        let key = self.parse_key(&key)?;
        let what = Unreadable {
            why,
            revision: event.kv.mod_revision,
        };
        Some(WorldChange::Unreadable { key, what })
    }

    /// Commits writes, all or none.
    ///
    /// # Errors
    /// When the store does not answer. The writes may have happened all the same.
    pub async fn commit(&self, writes: &[Write]) -> Result<Commit, StoreError> {
        let mut compare = Vec::new();
        let mut success = Vec::new();
        for write in writes {
            if !write.key.kind.is_stored() {
                return Err(InvalidRequest::NotStored(write.key.to_string()).into());
            }
            let key = self.key(&write.key);
            compare.push(match write.expected {
                Expected::Absent => Compare::absent(key.clone()),
                Expected::Version(version) => Compare::unchanged(key.clone(), Revision(version)),
            });
            success.push(match &write.change {
                Change::Put(resource) => Op::put(key, value(resource)),
                Change::Delete => Op::delete(key),
            });
        }
        let response = self.store.txn(Txn::of(success).when(compare)).await?;
        Ok(if response.succeeded {
            Commit::Done(response.revision)
        } else {
            Commit::Conflict
        })
    }

    /// The newest revision of the store.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn newest(&self) -> Result<Revision, StoreError> {
        let range = KeyRange::single(format!("{}revision", self.prefix));
        Ok(self.store.range(RangeRequest::new(range)).await?.revision)
    }

    /// The key of a resource in the store.
    #[must_use]
    pub fn key(&self, key: &ResourceKey) -> String {
        let kind = key.kind.plural();
        match &key.namespace {
            Some(namespace) => format!("{}{kind}/{namespace}/{}", self.prefix, key.name),
            None => format!("{}{kind}/{}", self.prefix, key.name),
        }
    }

    fn parse_key(&self, key: &str) -> Option<ResourceKey> {
        let mut parts = key.strip_prefix(&self.prefix)?.split('/');
        let plural = parts.next()?;
        let kind = KindName::ALL
            .iter()
            .copied()
            .find(|kind| kind.plural() == plural && kind.is_stored())?;
        let namespace = if kind.is_namespaced() {
            Some(Name::new(parts.next()?).ok()?)
        } else {
            None
        };
        let name = Name::new(parts.next()?).ok()?;
        parts.next().is_none().then_some(ResourceKey {
            kind,
            namespace,
            name,
        })
    }

    fn read(&self, kv: &KeyValue) -> Result<AnyResource, String> {
        let key = self
            .parse_key(&text(&kv.key))
            .ok_or("the key is no resource's")?;
        let value: serde_json::Value =
            serde_json::from_slice(&kv.value).map_err(|e| e.to_string())?;
        let mut resource = AnyResource::from_value(key.kind, value).map_err(|e| e.to_string())?;
        if resource.key() != key {
            return Err(format!("it says that it is {}", resource.key()));
        }
        resource.metadata_mut().resource_version = Some(kv.mod_revision.0);
        Ok(resource)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The stored form: metadata without its version, spec, status.
fn value(resource: &AnyResource) -> Vec<u8> {
    let mut resource = resource.clone();
    resource.metadata_mut().resource_version = None;
    let mut value = resource.to_value();
    if let Some(map) = value.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
    }
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;

    fn pool(cidr: &str) -> AnyResource {
        let text = format!(
            "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {{name: p}}\nspec: {{cidr: {cidr}}}\n"
        );
        tombolo_model::parse::parse("test.yaml", &text)
            .unwrap()
            .remove(0)
            .resource
    }

    #[tokio::test]
    async fn resources_are_committed_read_and_watched() {
        let resources = Resources::new(Arc::new(MemoryStore::new()));
        let (world, start) = resources.world().await.unwrap();
        assert_eq!(world, World::default());
        let mut watch = resources.watch(start).await.unwrap();

        let create = Write::put(pool("10.0.0.0/16"), None);
        let Commit::Done(at) = resources
            .commit(std::slice::from_ref(&create))
            .await
            .unwrap()
        else {
            panic!("conflict in an empty store");
        };
        assert_eq!(resources.commit(&[create]).await.unwrap(), Commit::Conflict);

        let batch = watch.next().await.unwrap().unwrap();
        assert_eq!(batch.revision, at);
        let [WorldChange::Put(read)] = &batch.changes[..] else {
            panic!("{batch:?}")
        };
        assert_eq!(read.metadata().resource_version, Some(at.0));

        let key = read.key();
        let delete = Write::delete(key.clone(), at.0);
        assert!(matches!(
            resources.commit(&[delete]).await.unwrap(),
            Commit::Done(_)
        ));
        let batch = watch.next().await.unwrap().unwrap();
        assert_eq!(batch.changes, [WorldChange::Delete(key)]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_and_the_rest_is_read() {
        let resources = Resources::new(Arc::new(MemoryStore::new()));
        let pool = pool("10.0.0.0/16");
        let written = resources.commit(&[Write::put(pool.clone(), None)]).await;
        let Commit::Done(start) = written.unwrap() else {
            panic!("conflict in an empty store");
        };
        let mut watch = resources.watch(start).await.unwrap();
        let mut key = pool.key();
        key.name = Name::new("odd").unwrap();
        let put = Op::put(resources.key(&key), b"{\"spec\": 7}".to_vec());
        resources.store().txn(Txn::of(vec![put])).await.unwrap();
        let batch = watch.next().await.unwrap().unwrap();
        let [WorldChange::Unreadable { key: told, .. }] = &batch.changes[..] else {
            panic!("{batch:?}")
        };
        assert_eq!(*told, key);
        let listed = resources.list().await.unwrap();
        assert_eq!(listed.world.pools.len(), 1);
        assert_eq!(listed.unreadable.keys().collect::<Vec<_>>(), [&key]);
    }

    #[tokio::test]
    async fn a_stale_version_is_a_conflict() {
        let resources = Resources::new(Arc::new(MemoryStore::new()));
        let first = resources
            .commit(&[Write::put(pool("10.0.0.0/16"), None)])
            .await
            .unwrap();
        let Commit::Done(first) = first else {
            panic!("conflict")
        };
        let update = Write::put(pool("10.0.0.0/15"), Some(first.0));
        assert!(matches!(
            resources
                .commit(std::slice::from_ref(&update))
                .await
                .unwrap(),
            Commit::Done(_)
        ));
        assert_eq!(resources.commit(&[update]).await.unwrap(), Commit::Conflict);
    }

    #[tokio::test]
    async fn a_large_world_is_listed_page_by_page() {
        let resources = Resources::new(Arc::new(MemoryStore::new()));
        let count = 2 * PAGE + 7;
        let pools: Vec<Write> = (0..count)
            .map(|n| {
                let mut pool = pool("10.0.0.0/16");
                pool.metadata_mut().name = Name::new(format!("p{n}")).unwrap();
                Write::put(pool, None)
            })
            .collect();
        for writes in pools.chunks(100) {
            assert!(matches!(
                resources.commit(writes).await.unwrap(),
                Commit::Done(_)
            ));
        }
        let (world, revision) = resources.world().await.unwrap();
        assert_eq!(world.pools.len(), count);
        assert_eq!(revision, resources.newest().await.unwrap());
    }

    #[tokio::test]
    async fn what_a_node_learned_is_never_stored() {
        let resources = Resources::new(Arc::new(MemoryStore::new()));
        let value = serde_json::json!({"metadata": {"name": "a"}, "spec": {}});
        let learned = AnyResource::from_value(KindName::Learned, value).unwrap();
        let error = resources.commit(&[Write::put(learned, None)]).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("Learned a") && error.contains("never in a store"),
            "{error}"
        );
        let store = resources.store();
        store
            .txn(Txn::of(vec![Op::put(
                "/tombolo/v1/learned/a",
                "{\"metadata\":{\"name\":\"a\"},\"spec\":{}}",
            )]))
            .await
            .unwrap();
        let (world, _) = resources.world().await.unwrap();
        assert!(world.learned.is_empty());
    }
}
