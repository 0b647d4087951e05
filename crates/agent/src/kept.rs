//! Policies that could be read of the store once, and cannot now, on disk: so that one which a newer
//! program has written over does not lose its last readable form when the agent starts again.
//!
//! The file is there only while something cannot be read.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tombolo_model::{AnyResource, KindName, ResourceKey, World};
use tombolo_store::Unreadable;

use crate::config::Files;
use crate::policy::is_policy;

/// Keeps what a World has of policies that cannot be read any more.
pub(crate) fn save(path: &Path, world: &World, unreadable: &BTreeMap<ResourceKey, Unreadable>) {
    let kept: Vec<Value> = unreadable
        .keys()
        .filter(|key| is_policy(key.kind))
        .filter_map(|key| world.get(key))
        .map(|resource| resource.to_value())
        .collect();
    let done = match kept.as_slice() {
        [] => match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        },
        some => Files::write(path, &Value::from(some.to_vec()).to_string()),
    };
    if let Err(error) = done {
        // It stays in memory, and is shown as a problem all the same.
        tracing::warn!(
            error = format!("{error:#}"),
            "cannot keep what cannot be read any more"
        );
    }
}

/// What was kept.
pub(crate) fn load(path: &Path) -> Vec<AnyResource> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!(%error, path = %path.display(), "cannot read what was kept");
            }
            return Vec::new();
        }
    };
    let values: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
    values.into_iter().filter_map(resource).collect()
}

fn resource(mut value: Value) -> Option<AnyResource> {
    let map = value.as_object_mut()?;
    map.remove("apiVersion");
    let kind = map.remove("kind")?;
    let kind = KindName::from_word(kind.as_str()?)?;
    AnyResource::from_value(kind, value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_model::parse::{parse, world_of};
    use tombolo_store::Revision;

    #[test]
    fn what_cannot_be_read_any_more_is_there_after_a_restart() {
        let text = "apiVersion: tombolo.dev/v1\nkind: NetworkPolicy\nmetadata: {namespace: shop, name: web}\nspec: {selector: app == 'web'}\n";
        let parsed = parse("t.yaml", text).unwrap();
        let world = world_of(&parsed).unwrap();
        let key = parsed[0].resource.key();
        let what = Unreadable {
            why: "unknown field `speed`".to_owned(),
            revision: Revision(7),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.json");
        assert_eq!(load(&path), []);
        save(&path, &world, &BTreeMap::from([(key.clone(), what)]));
        let kept = load(&path);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].key(), key);
        assert_eq!(
            kept[0].to_value()["spec"],
            parsed[0].resource.to_value()["spec"]
        );
        save(&path, &world, &BTreeMap::new());
        assert!(!path.exists());
        std::fs::write(&path, "torn [").unwrap();
        assert_eq!(load(&path), []);
    }
}
