//! Store → World: list once, then every change, and from the start again when history is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use tombolo_model::{ResourceKey, World};
use tombolo_store::{Listed, StoreError, Unreadable, WorldChange};

use crate::kept;
use crate::shared::Shared;

/// The first pause after the store failed; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The World is compacted after so many changes at least, and after half of it has changed.
const COMPACT_AFTER: usize = 2000;

/// Follows the store for ever. While it does not answer the World stays as it was last seen.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match follow_once(&shared, &mut pause).await {
            Ok(()) => "the watch ended".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            error,
            "the store does not answer; going on with what is known"
        );
        shared.store_error.send_replace(Some(error));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn follow_once(shared: &Shared, pause: &mut Duration) -> Result<(), StoreError> {
    let listed = shared.resources.list().await?;
    let mut watch = shared.resources.watch(listed.revision).await?;
    replace(shared, listed);
    tombolo_kernel::give_back_memory();
    shared.store_error.send_replace(None);
    *pause = FIRST_PAUSE;
    let mut changes = 0;
    while let Some(batch) = watch.next().await {
        let batch = batch?;
        changes += batch.changes.len();
        let grown = changes > COMPACT_AFTER.max(shared.world().size() / 2);
        shared.update(batch.revision, |world| {
            for change in &batch.changes {
                match change {
                    WorldChange::Put(resource) => {
                        world.put((**resource).clone());
                    }
                    WorldChange::Delete(key) => {
                        world.remove(key);
                    }
                    WorldChange::Unreadable { key, what } => {
                        // Left as it was: a newer program wrote what this one cannot read.
                        tracing::warn!(%key, why = what.why, "a resource cannot be read");
                    }
                }
            }
        });
        let noted = |unreadable: &mut _| note(unreadable, &batch.changes);
        if shared.unreadable.send_if_modified(noted) {
            keep(shared);
        }
        if grown {
            shared.update(batch.revision, World::compact);
            tombolo_kernel::give_back_memory();
            changes = 0;
        }
        // Nobody may be listening.
        let _ = shared.changes.send(Arc::new(batch));
    }
    Ok(())
}

/// Keeps in mind what cannot be read; answers whether that has changed.
fn note(unreadable: &mut BTreeMap<ResourceKey, Unreadable>, changes: &[WorldChange]) -> bool {
    let mut changed = false;
    for change in changes {
        changed |= match change {
            WorldChange::Put(resource) => unreadable.remove(&resource.key()).is_some(),
            WorldChange::Delete(key) => unreadable.remove(key).is_some(),
            WorldChange::Unreadable { key, what } => {
                unreadable.insert(key.clone(), what.clone()).as_ref() != Some(what)
            }
        };
    }
    changed
}

/// Keeps policies that cannot be read any more over a restart.
fn keep(shared: &Shared) {
    let unreadable = shared.unreadable.borrow().clone();
    kept::save(&shared.files.kept(), &shared.world().clone(), &unreadable);
}

fn replace(shared: &Shared, listed: Listed) {
    let Listed {
        world: mut new,
        unreadable,
        revision,
    } = listed;
    let kept = match unreadable.is_empty() {
        true => Vec::new(),
        false => kept::load(&shared.files.kept()),
    };
    shared.update(revision, |world| {
        // What could be read once and cannot now stays as it was, as in a watch, and over a restart.
        for resource in kept
            .into_iter()
            .filter(|kept| unreadable.contains_key(&kept.key()))
        {
            new.put(resource);
        }
        for resource in unreadable.keys().filter_map(|key| world.get(key)) {
            new.put(resource);
        }
        // What comes from elsewhere than the store.
        new.learned = std::mem::take(&mut world.learned);
        *world = new;
    });
    shared.unreadable.send_replace(unreadable);
    keep(shared);
    // Whatever was given back before is known by now.
    shared.giving_back.store(false, Ordering::SeqCst);
}
