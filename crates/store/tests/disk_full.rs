//! A disk that is full: the write says so, nothing is damaged, and once there is room it goes on.
//!
//! The store is in this test binary, started again in a mount namespace of its own (unshare(1)),
//! on a tmpfs of half a MiB.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_store::{EmbeddedConfig, EmbeddedStore, Revision, Store, StoreError};

const FOLDER: &str = "STORE_SMALL_DISK";

/// Writes until the disk is full; answers how many writes were acknowledged.
async fn fill(store: &EmbeddedStore) -> (u32, StoreError) {
    let value = Bytes::from(vec![b'v'; 4096]);
    for number in 0..10_000 {
        let key = format!("key/{number:05}");
        if let Err(error) = store.put(key.as_bytes(), value.clone()).await {
            return (number, error);
        }
    }
    panic!("half a MiB took 40");
}

/// How many keys there are, and the newest revision.
async fn held(store: &EmbeddedStore) -> (usize, Revision) {
    let found = store.list_prefix(b"key/").await.unwrap();
    (found.kvs.len(), found.revision)
}

/// Writes until a write is taken again.
async fn works_again(store: &EmbeddedStore, key: &[u8]) {
    let begun = Instant::now();
    while let Err(error) = store.put(key, Bytes::from("x")).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
        tokio::task::yield_now().await;
    }
}

fn room(folder: &Path) -> PathBuf {
    folder.join("something-else")
}

/// The life of a store on a small disk; only where it was started for it.
#[tokio::test]
async fn inside() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    // Somebody else's file takes most of the disk, and is deleted later.
    std::fs::write(room(&folder), vec![0; 256 << 10]).unwrap();
    let config = EmbeddedConfig::new(folder.join("store"));
    let store = EmbeddedStore::open(config.clone()).unwrap();
    let (acknowledged, error) = fill(&store).await;
    let text = error.to_string();
    assert!(matches!(error, StoreError::Io { .. }), "{text}");
    assert!(
        text.contains("No space left") && text.contains("check free space"),
        "{text}"
    );
    // What was acknowledged is read, and the store says how it is.
    let (keys, revision) = held(&store).await;
    assert_eq!(keys, usize::try_from(acknowledged).unwrap());
    let status = store.status().await.unwrap();
    assert!(status.problem.unwrap().contains("No space left"));
    assert_eq!(status.revision, revision);

    std::fs::remove_file(room(&folder)).unwrap();
    works_again(&store, b"after").await;
    assert_eq!(store.status().await.unwrap().problem, None);
    // The write that was refused may have happened; no other may.
    let (now, _) = held(&store).await;
    assert!((keys..=keys + 1).contains(&now), "{now} keys after {keys}");
    drop(store);

    let store = EmbeddedStore::open(config).unwrap();
    assert_eq!(held(&store).await.0, now);
    assert_eq!(store.get(b"after").await.unwrap().unwrap().value, "x");
}

#[test]
fn a_full_disk_is_told_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=512k tmpfs \"$STORE_SMALL_DISK\" && exec \"$0\" --exact inside --nocapture --test-threads 1";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
