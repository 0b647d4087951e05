//! Puts, deletes, ranges, history.

use std::sync::Arc;

use bytes::Bytes;
use tombolo_store::*;

crate::cases![
    a_key_that_is_not_there_is_none,
    a_put_tells_its_revision_and_counts_versions,
    a_deleted_key_begins_a_new_life,
    deleting_nothing_makes_no_revision,
    a_prefix_lists_only_what_is_under_it,
    a_half_open_range_leaves_its_end_out,
    a_limit_cuts_and_says_that_there_is_more,
    ranges_sort_by_every_target,
    keys_only_and_count_only,
    revision_bounds_filter,
    old_revisions_can_be_read,
    a_future_revision_is_refused,
    an_empty_key_is_refused,
    compaction_forgets_the_past_and_keeps_the_present,
    compacting_twice_or_ahead_is_refused,
    values_may_hold_any_byte,
];

async fn put(store: &Arc<dyn Store>, key: &str, value: &str) -> Revision {
    store
        .put(key.as_bytes(), Bytes::from(value.to_owned()))
        .await
        .unwrap()
}

async fn range(store: &Arc<dyn Store>, request: RangeRequest) -> Vec<String> {
    let found = store.range(request).await.unwrap();
    found
        .kvs
        .iter()
        .map(|kv| String::from_utf8(kv.key.to_vec()).unwrap())
        .collect()
}

async fn a_key_that_is_not_there_is_none(store: Arc<dyn Store>) {
    assert_eq!(store.get(b"kv/none").await.unwrap(), None);
}

async fn a_put_tells_its_revision_and_counts_versions(store: Arc<dyn Store>) {
    let first = put(&store, "kv/a", "1").await;
    let second = put(&store, "kv/a", "2").await;
    assert_eq!(second, first.next());
    let kv = store.get(b"kv/a").await.unwrap().unwrap();
    let expected = KeyValue {
        key: "kv/a".into(),
        value: "2".into(),
        create_revision: first,
        mod_revision: second,
        version: 2,
        lease: LeaseId::NONE,
    };
    assert_eq!(kv, expected);
}

async fn a_deleted_key_begins_a_new_life(store: Arc<dyn Store>) {
    put(&store, "kv/life", "1").await;
    assert!(store.delete(b"kv/life").await.unwrap());
    assert_eq!(store.get(b"kv/life").await.unwrap(), None);
    let again = put(&store, "kv/life", "2").await;
    let kv = store.get(b"kv/life").await.unwrap().unwrap();
    assert_eq!((kv.version, kv.create_revision), (1, again));
}

async fn deleting_nothing_makes_no_revision(store: Arc<dyn Store>) {
    let before = put(&store, "kv/x", "1").await;
    assert!(!store.delete(b"kv/never").await.unwrap());
    assert_eq!(put(&store, "kv/x", "2").await, before.next());
}

async fn three(store: &Arc<dyn Store>, prefix: &str) {
    for (name, value) in [("a", "z"), ("b", "y"), ("c", "x")] {
        put(store, &format!("{prefix}{name}"), value).await;
    }
}

async fn a_prefix_lists_only_what_is_under_it(store: Arc<dyn Store>) {
    three(&store, "kv/p/").await;
    put(&store, "kv/p0", "beyond").await;
    let found = store.list_prefix(b"kv/p/").await.unwrap();
    assert_eq!((found.kvs.len(), found.count, found.more), (3, 3, false));
    assert!(found.revision >= found.kvs[2].mod_revision);
}

async fn a_half_open_range_leaves_its_end_out(store: Arc<dyn Store>) {
    three(&store, "kv/h/").await;
    let span = KeyRange::span("kv/h/a", "kv/h/c");
    assert_eq!(
        range(&store, RangeRequest::new(span)).await,
        ["kv/h/a", "kv/h/b"]
    );
    let inverted = KeyRange::span("kv/h/c", "kv/h/a");
    assert!(range(&store, RangeRequest::new(inverted)).await.is_empty());
    let from = store
        .range(RangeRequest::new(KeyRange::From("kv/h/b".into())))
        .await
        .unwrap();
    assert!(from.kvs.len() >= 2 && from.kvs[0].key == "kv/h/b");
    let all = store
        .range(RangeRequest::new(KeyRange::everything()))
        .await
        .unwrap();
    assert!(all.count >= 3);
}

async fn a_limit_cuts_and_says_that_there_is_more(store: Arc<dyn Store>) {
    three(&store, "kv/l/").await;
    let request = RangeRequest::new(KeyRange::prefix("kv/l/"));
    let cut = store.range(request.clone().limit(2)).await.unwrap();
    assert_eq!((cut.kvs.len(), cut.more, cut.count), (2, true, 3));
    let whole = store.range(request.limit(3)).await.unwrap();
    assert_eq!((whole.kvs.len(), whole.more, whole.count), (3, false, 3));
}

async fn ranges_sort_by_every_target(store: Arc<dyn Store>) {
    three(&store, "kv/s/").await;
    put(&store, "kv/s/a", "zz").await;
    let sorted = async |sort, descending| {
        let request = RangeRequest::new(KeyRange::prefix("kv/s/"));
        let keys = range(
            &store,
            RangeRequest {
                sort,
                descending,
                ..request
            },
        )
        .await;
        keys.iter()
            .map(|key| key.chars().last().unwrap())
            .collect::<String>()
    };
    assert_eq!(sorted(SortTarget::Key, true).await, "cba");
    assert_eq!(sorted(SortTarget::Value, false).await, "cba");
    assert_eq!(sorted(SortTarget::Mod, false).await, "bca");
    assert_eq!(sorted(SortTarget::Mod, true).await, "acb");
    assert_eq!(sorted(SortTarget::Create, false).await, "abc");
    assert!(sorted(SortTarget::Version, true).await.starts_with('a'));
}

async fn keys_only_and_count_only(store: Arc<dyn Store>) {
    three(&store, "kv/o/").await;
    let request = RangeRequest::new(KeyRange::prefix("kv/o/"));
    let keys = RangeRequest {
        keys_only: true,
        ..request.clone()
    };
    let keys = store.range(keys).await.unwrap();
    assert!(keys.kvs.len() == 3 && keys.kvs.iter().all(|kv| kv.value.is_empty()));
    let count = store
        .range(RangeRequest {
            count_only: true,
            ..request
        })
        .await
        .unwrap();
    assert_eq!((count.kvs.len(), count.count), (0, 3));
}

async fn revision_bounds_filter(store: Arc<dyn Store>) {
    let first = put(&store, "kv/r/a", "1").await;
    let second = put(&store, "kv/r/b", "1").await;
    put(&store, "kv/r/a", "2").await;
    let request = RangeRequest::new(KeyRange::prefix("kv/r/"));
    let early = RangeRequest {
        max_mod_revision: second,
        ..request.clone()
    };
    assert_eq!(range(&store, early).await, ["kv/r/b"]);
    let old = RangeRequest {
        max_create_revision: first,
        ..request.clone()
    };
    assert_eq!(range(&store, old).await, ["kv/r/a"]);
    let young = RangeRequest {
        min_create_revision: second,
        ..request
    };
    assert_eq!(range(&store, young).await, ["kv/r/b"]);
}

async fn old_revisions_can_be_read(store: Arc<dyn Store>) {
    let first = put(&store, "kv/old", "1").await;
    store.delete(b"kv/old").await.unwrap();
    put(&store, "kv/old", "2").await;
    let request = RangeRequest::new(KeyRange::single("kv/old"));
    let then = store.range(request.clone().at(first)).await.unwrap();
    assert_eq!(then.kvs[0].value, "1");
    assert!(
        then.revision > first,
        "the answer tells the present revision"
    );
    assert!(
        store
            .range(request.at(first.next()))
            .await
            .unwrap()
            .kvs
            .is_empty()
    );
}

async fn a_future_revision_is_refused(store: Arc<dyn Store>) {
    let now = put(&store, "kv/future", "1").await;
    let requested = Revision(now.0 + 1000);
    let request = RangeRequest::new(KeyRange::single("kv/future")).at(requested);
    assert_eq!(
        store.range(request).await,
        Err(StoreError::FutureRevision { requested })
    );
}

async fn an_empty_key_is_refused(store: Arc<dyn Store>) {
    let empty = StoreError::Invalid(InvalidRequest::EmptyKey);
    assert_eq!(store.put(b"", Bytes::from("x")).await, Err(empty.clone()));
    assert_eq!(store.get(b"").await, Err(empty.clone()));
    assert_eq!(store.delete(b"").await, Err(empty));
}

async fn compaction_forgets_the_past_and_keeps_the_present(store: Arc<dyn Store>) {
    let old = put(&store, "kv/c", "1").await;
    put(&store, "kv/dead", "1").await;
    store.delete(b"kv/dead").await.unwrap();
    let at = put(&store, "kv/c", "2").await;
    put(&store, "kv/c", "3").await;
    store.compact(at).await.unwrap();
    let request = RangeRequest::new(KeyRange::single("kv/c"));
    let gone = store.range(request.clone().at(old)).await.unwrap_err();
    assert!(
        matches!(gone, StoreError::Compacted { requested, .. } if requested == old),
        "{gone}"
    );
    assert_eq!(
        store.range(request.clone().at(at)).await.unwrap().kvs[0].value,
        "2"
    );
    assert_eq!(store.range(request).await.unwrap().kvs[0].value, "3");
    assert_eq!(store.get(b"kv/dead").await.unwrap(), None);
}

async fn compacting_twice_or_ahead_is_refused(store: Arc<dyn Store>) {
    let at = put(&store, "kv/cc", "1").await;
    store.compact(at).await.unwrap();
    let twice = store.compact(at).await.unwrap_err();
    assert!(matches!(twice, StoreError::Compacted { .. }), "{twice}");
    let requested = Revision(at.0 + 1000);
    assert_eq!(
        store.compact(requested).await,
        Err(StoreError::FutureRevision { requested })
    );
}

async fn values_may_hold_any_byte(store: Arc<dyn Store>) {
    let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    store
        .put(b"kv/\x00\xff", value.clone().into())
        .await
        .unwrap();
    assert_eq!(
        store.get(b"kv/\x00\xff").await.unwrap().unwrap().value,
        value
    );
}
