//! Leases: keys that go away by themselves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tombolo_store::*;

crate::cases![
    a_lease_is_granted_listed_and_revoked,
    an_id_of_ones_own_is_kept_and_taken_once,
    revoking_deletes_the_keys_at_one_revision,
    expiry_deletes_the_keys_and_watchers_see_it,
    a_lease_that_is_kept_alive_stays,
    a_lease_that_is_gone_is_told,
    a_key_leaves_its_lease_when_it_is_put_without,
];

const MINUTE: Duration = Duration::from_secs(60);

async fn leased(store: &Arc<dyn Store>, key: &'static str, lease: LeaseId) {
    store
        .txn(Txn::of(vec![Op::put_leased(key, "x", lease)]))
        .await
        .unwrap();
}

async fn a_lease_is_granted_listed_and_revoked(store: Arc<dyn Store>) {
    let grant = store.lease_grant(MINUTE, None).await.unwrap();
    assert_eq!(grant.ttl, MINUTE);
    assert!(store.lease_list().await.unwrap().contains(&grant.id));
    leased(&store, "l/g", grant.id).await;
    let info = store.lease_time_to_live(grant.id, true).await.unwrap();
    assert_eq!(
        (info.granted, info.keys),
        (MINUTE, vec![Bytes::from("l/g")])
    );
    assert!(info.remaining <= MINUTE && info.remaining > MINUTE / 2);
    store.lease_revoke(grant.id).await.unwrap();
    assert!(!store.lease_list().await.unwrap().contains(&grant.id));
}

async fn an_id_of_ones_own_is_kept_and_taken_once(store: Arc<dyn Store>) {
    let id = LeaseId(0x7ea5e);
    assert_eq!(store.lease_grant(MINUTE, Some(id)).await.unwrap().id, id);
    let again = store.lease_grant(MINUTE, Some(id)).await;
    assert_eq!(again, Err(StoreError::LeaseExists { lease: id }));
    let long = Duration::from_secs(MAX_LEASE_TTL_SECONDS + 1);
    let max_seconds = MAX_LEASE_TTL_SECONDS;
    let refused = StoreError::Invalid(InvalidRequest::LeaseTtlTooLarge { max_seconds });
    assert_eq!(store.lease_grant(long, None).await, Err(refused));
}

async fn revoking_deletes_the_keys_at_one_revision(store: Arc<dyn Store>) {
    let id = store.lease_grant(MINUTE, None).await.unwrap().id;
    leased(&store, "l/r/1", id).await;
    leased(&store, "l/r/2", id).await;
    let request = WatchRequest::new(KeyRange::prefix("l/r/"));
    let mut stream = store.watch(request).await.unwrap();
    store.lease_revoke(id).await.unwrap();
    let batch = tokio::time::timeout(MINUTE, stream.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(batch.events.len(), 2);
    assert!(
        batch
            .events
            .iter()
            .all(|event| event.kind == EventKind::Delete)
    );
    assert!(store.list_prefix(b"l/r/").await.unwrap().kvs.is_empty());
}

async fn expiry_deletes_the_keys_and_watchers_see_it(store: Arc<dyn Store>) {
    let grant = store
        .lease_grant(Duration::from_secs(1), None)
        .await
        .unwrap();
    leased(&store, "l/e", grant.id).await;
    let request = WatchRequest::new(KeyRange::single("l/e"));
    let mut stream = store.watch(request).await.unwrap();
    let batch = tokio::time::timeout(MINUTE, stream.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(batch.events[0].kind, EventKind::Delete);
    assert_eq!(store.get(b"l/e").await.unwrap(), None);
    let gone = store.lease_keep_alive(grant.id).await;
    assert_eq!(gone, Err(StoreError::LeaseNotFound { lease: grant.id }));
}

async fn a_lease_that_is_kept_alive_stays(store: Arc<dyn Store>) {
    let grant = store
        .lease_grant(Duration::from_secs(2), None)
        .await
        .unwrap();
    leased(&store, "l/k", grant.id).await;
    let mut beat = tokio::time::interval(Duration::from_millis(500));
    for _ in 0..(2 * grant.ttl.as_secs() + 3) {
        beat.tick().await;
        assert_eq!(store.lease_keep_alive(grant.id).await.unwrap(), grant.ttl);
    }
    assert!(store.get(b"l/k").await.unwrap().is_some());
    store.lease_revoke(grant.id).await.unwrap();
}

async fn a_lease_that_is_gone_is_told(store: Arc<dyn Store>) {
    let lease = LeaseId(0x5eed);
    let gone = StoreError::LeaseNotFound { lease };
    assert_eq!(store.lease_revoke(lease).await, Err(gone.clone()));
    assert_eq!(store.lease_keep_alive(lease).await, Err(gone.clone()));
    assert_eq!(
        store.lease_time_to_live(lease, false).await,
        Err(gone.clone())
    );
    let put = store
        .txn(Txn::of(vec![Op::put_leased("l/x", "x", lease)]))
        .await;
    assert_eq!(put, Err(gone));
}

async fn a_key_leaves_its_lease_when_it_is_put_without(store: Arc<dyn Store>) {
    let id = store.lease_grant(MINUTE, None).await.unwrap().id;
    leased(&store, "l/stay", id).await;
    store.put(b"l/stay", Bytes::from("y")).await.unwrap();
    store.lease_revoke(id).await.unwrap();
    assert_eq!(store.get(b"l/stay").await.unwrap().unwrap().value, "y");
}
