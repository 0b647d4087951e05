//! Watches: every revision once, in order, as one batch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tombolo_store::*;

crate::cases![
    a_watch_tells_what_comes,
    a_watch_from_an_old_revision_catches_up,
    a_watch_from_a_future_revision_waits,
    a_transaction_is_one_batch,
    other_keys_are_not_told,
    a_watch_tells_what_was_before,
    a_compacted_start_is_told,
    a_watcher_that_sleeps_misses_nothing,
    many_watchers_see_the_same,
];

async fn put(store: &Arc<dyn Store>, key: &str, value: &str) -> Revision {
    store
        .put(key.as_bytes(), Bytes::from(value.to_owned()))
        .await
        .unwrap()
}

async fn watch(store: &Arc<dyn Store>, prefix: &'static str, from: Revision) -> WatchStream {
    store
        .watch(WatchRequest::new(KeyRange::prefix(prefix)).starting(from))
        .await
        .unwrap()
}

async fn next(stream: &mut WatchStream) -> Result<WatchBatch, StoreError> {
    let next = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
    next.expect("an event within 20 s")
        .expect("the watch goes on")
}

async fn a_watch_tells_what_comes(store: Arc<dyn Store>) {
    let mut stream = watch(&store, "w/a/", Revision::NONE).await;
    let created = put(&store, "w/a/1", "x").await;
    store.delete(b"w/a/1").await.unwrap();
    let batch = next(&mut stream).await.unwrap();
    assert_eq!(
        (batch.revision, batch.events[0].kind),
        (created, EventKind::Put)
    );
    assert_eq!(batch.events[0].kv.value, "x");
    let batch = next(&mut stream).await.unwrap();
    assert_eq!(
        (batch.revision, batch.events[0].kind),
        (created.next(), EventKind::Delete)
    );
    let deleted = &batch.events[0].kv;
    assert_eq!(
        (&deleted.key[..], deleted.mod_revision),
        (&b"w/a/1"[..], created.next())
    );
    assert_eq!(
        (deleted.version, deleted.create_revision),
        (0, Revision::NONE)
    );
}

async fn a_watch_from_an_old_revision_catches_up(store: Arc<dyn Store>) {
    let first = put(&store, "w/b/1", "1").await;
    put(&store, "w/b/1", "2").await;
    let mut stream = watch(&store, "w/b/", first).await;
    put(&store, "w/b/1", "3").await;
    for value in ["1", "2", "3"] {
        assert_eq!(next(&mut stream).await.unwrap().events[0].kv.value, value);
    }
}

async fn a_watch_from_a_future_revision_waits(store: Arc<dyn Store>) {
    let now = put(&store, "w/f/0", "x").await;
    let mut stream = watch(&store, "w/f/", Revision(now.0 + 2)).await;
    put(&store, "w/f/1", "x").await;
    put(&store, "w/f/2", "x").await;
    assert_eq!(next(&mut stream).await.unwrap().events[0].kv.key, "w/f/2");
}

async fn a_transaction_is_one_batch(store: Arc<dyn Store>) {
    put(&store, "w/t/2", "old").await;
    let mut stream = watch(&store, "w/t/", Revision::NONE).await;
    let ops = vec![
        Op::put("w/t/1", "x"),
        Op::delete("w/t/2"),
        Op::put("w/t/3", "y"),
    ];
    let done = store.txn(Txn::of(ops)).await.unwrap();
    let batch = next(&mut stream).await.unwrap();
    assert_eq!(batch.revision, done.revision);
    let mut keys: Vec<&[u8]> = batch.events.iter().map(|event| &event.kv.key[..]).collect();
    keys.sort_unstable();
    assert_eq!(keys, [&b"w/t/1"[..], b"w/t/2", b"w/t/3"]);
}

async fn other_keys_are_not_told(store: Arc<dyn Store>) {
    let request = WatchRequest::new(KeyRange::single("w/o/b"));
    let mut stream = store.watch(request).await.unwrap();
    for key in ["w/o/a", "w/o/bb", "w/o/b", "w/o/c"] {
        put(&store, key, "x").await;
    }
    assert_eq!(next(&mut stream).await.unwrap().events[0].kv.key, "w/o/b");
}

async fn a_watch_tells_what_was_before(store: Arc<dyn Store>) {
    put(&store, "w/p", "1").await;
    let request = WatchRequest::new(KeyRange::single("w/p"));
    let mut stream = store
        .watch(WatchRequest {
            prev_kv: true,
            ..request
        })
        .await
        .unwrap();
    put(&store, "w/p", "2").await;
    store.delete(b"w/p").await.unwrap();
    for value in ["1", "2"] {
        let batch = next(&mut stream).await.unwrap();
        assert_eq!(batch.events[0].prev_kv.as_ref().unwrap().value, value);
    }
}

async fn a_compacted_start_is_told(store: Arc<dyn Store>) {
    let old = put(&store, "w/c", "1").await;
    let at = put(&store, "w/c", "2").await;
    put(&store, "w/c", "3").await;
    store.compact(at).await.unwrap();
    let mut stream = watch(&store, "w/c", old).await;
    let told = next(&mut stream).await.unwrap_err();
    assert_eq!(
        told,
        StoreError::Compacted {
            requested: old,
            compact_revision: at
        }
    );
    assert!(stream.next().await.is_none());
    let mut stream = watch(&store, "w/c", at).await;
    assert_eq!(next(&mut stream).await.unwrap().events[0].kv.value, "2");
}

async fn a_watcher_that_sleeps_misses_nothing(store: Arc<dyn Store>) {
    let mut stream = watch(&store, "w/s/", Revision::NONE).await;
    let value = "x".repeat(10_000);
    for number in 0..300 {
        put(&store, &format!("w/s/{number}"), &value).await;
    }
    let mut last = Revision::NONE;
    for number in 0..300 {
        let batch = next(&mut stream).await.unwrap();
        assert_eq!(batch.events[0].kv.key, format!("w/s/{number}"));
        assert!(batch.revision > last);
        last = batch.revision;
    }
}

async fn many_watchers_see_the_same(store: Arc<dyn Store>) {
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(watch(&store, "w/m/", Revision::NONE).await);
    }
    for number in 0..20 {
        put(&store, &format!("w/m/{number}"), "x").await;
    }
    for stream in &mut streams {
        for number in 0..20 {
            let batch = next(stream).await.unwrap();
            assert_eq!(batch.events[0].kv.key, format!("w/m/{number}"));
        }
    }
}
