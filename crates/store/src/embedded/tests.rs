use bytes::Bytes;

use super::*;
use crate::types::{RangeRequest, Revision};
use crate::{KeyRange, Store};

fn config(folder: &tempfile::TempDir) -> EmbeddedConfig {
    EmbeddedConfig::new(folder.path().join("store"))
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(config(&folder)).unwrap();
    let lease = store
        .lease_grant(std::time::Duration::from_secs(60), None)
        .await
        .unwrap();
    store.put(b"a", Bytes::from("1")).await.unwrap();
    store.put(b"a", Bytes::from("2")).await.unwrap();
    let leased = crate::Op::put_leased("b", "x", lease.id);
    store.txn(crate::Txn::of(vec![leased])).await.unwrap();
    store.delete(b"a").await.unwrap();
    let before = store.status().await.unwrap();
    drop(store);

    let store = EmbeddedStore::open(config(&folder)).unwrap();
    let after = store.status().await.unwrap();
    assert_eq!(
        (after.revision, after.cluster_id),
        (before.revision, before.cluster_id)
    );
    assert_eq!(store.get(b"a").await.unwrap(), None);
    let old = RangeRequest::new(KeyRange::single("a")).at(Revision(3));
    assert_eq!(store.range(old).await.unwrap().kvs[0].value, "2");
    let info = store.lease_time_to_live(lease.id, true).await.unwrap();
    assert_eq!(info.keys, [Bytes::from("b")]);
}

#[tokio::test]
async fn history_stays_bounded_and_so_does_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        keep_revisions: 50,
        ..config(&folder)
    };
    let store = EmbeddedStore::open(config.clone()).unwrap();
    for number in 0..300 {
        store
            .put(b"counter", Bytes::from(number.to_string()))
            .await
            .unwrap();
    }
    let read_at = |revision| RangeRequest::new(KeyRange::single("counter")).at(revision);
    let newest = store.status().await.unwrap().revision;
    for store in [store].into_iter() {
        let gone = store.range(read_at(Revision(newest.0 - 100))).await;
        assert!(
            matches!(gone, Err(StoreError::Compacted { .. })),
            "{gone:?}"
        );
        let kept = store.range(read_at(Revision(newest.0 - 40))).await.unwrap();
        assert_eq!(kept.kvs[0].value, (299 - 40).to_string());
    }
    let store = EmbeddedStore::open(config).unwrap();
    let gone = store.range(read_at(Revision(newest.0 - 100))).await;
    assert!(
        matches!(gone, Err(StoreError::Compacted { .. })),
        "{gone:?}"
    );
    assert_eq!(store.get(b"counter").await.unwrap().unwrap().value, "299");
}

#[test]
fn a_file_in_use_says_who_may_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let held = EmbeddedStore::open(config(&folder)).unwrap();
    let error = EmbeddedStore::open(config(&folder)).err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("tombolo agent"), "{error}");
    drop(held);
    EmbeddedStore::open(config(&folder)).unwrap();
}

#[test]
fn a_file_that_is_no_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    std::fs::write(&config.file, b"apiVersion: tombolo.dev/v1\n".repeat(200)).unwrap();
    let before = std::fs::read(&config.file).unwrap();
    let error = EmbeddedStore::open(config.clone()).err().unwrap();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert_eq!(std::fs::read(&config.file).unwrap(), before);
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let error = EmbeddedStore::open(EmbeddedConfig::new("/nonexistent/store"))
        .err()
        .unwrap();
    assert!(error.to_string().contains("/nonexistent/store"), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_told_of_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder);
    let store = EmbeddedStore::open(config.clone()).unwrap();
    for number in 0..50_u8 {
        let value = Bytes::from(vec![number; 300]);
        store.put(&[b'k', number], value).await.unwrap();
    }
    drop(store);
    let good = std::fs::read(&config.file).unwrap();
    let mut refused = 0;
    // Headers and the first pages; most of the rest is empty.
    for round in 0..150_usize {
        let mut damaged = good.clone();
        let at = round.wrapping_mul(2_654_435_761) % damaged.len().min(32 << 10);
        damaged[at] ^= 0xff;
        std::fs::write(&config.file, &damaged).unwrap();
        match EmbeddedStore::open(config.clone()) {
            Ok(_) => {}
            Err(StoreError::Corrupt { .. } | StoreError::Io { .. }) => refused += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(refused > 0, "no damage was noticed");
    std::fs::write(&config.file, &good).unwrap();
    let store = EmbeddedStore::open(config).unwrap();
    assert_eq!(store.list_prefix(b"k").await.unwrap().kvs.len(), 50);
}
