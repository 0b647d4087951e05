//! Transactions: compares, branches, nesting, all or nothing.

use std::sync::Arc;

use bytes::Bytes;
use tombolo_store::*;

crate::cases![
    all_writes_share_one_revision,
    a_compare_that_fails_takes_the_other_branch,
    every_compare_target_and_operator,
    a_compare_over_a_range_holds_for_every_key,
    a_step_reads_what_the_steps_before_it_wrote,
    nested_compares_see_the_state_before,
    a_key_written_twice_is_refused,
    put_and_delete_of_one_key_is_refused,
    branches_may_write_the_same_key,
    a_bad_step_undoes_the_others,
    prev_kv_tells_what_was_there,
    ignore_value_and_ignore_lease_keep_them,
    too_many_operations_are_refused,
    of_fifty_racing_creations_one_wins,
    fifty_racing_increments_all_count,
];

fn kv_of(response: &OpResponse) -> &[KeyValue] {
    match response {
        OpResponse::Range(range) => &range.kvs,
        other => panic!("not a range: {other:?}"),
    }
}

async fn all_writes_share_one_revision(store: Arc<dyn Store>) {
    let txn = Txn::of(vec![Op::put("t/1", "a"), Op::put("t/2", "b")]);
    let done = store.txn(txn).await.unwrap();
    assert!(done.succeeded);
    let found = store.list_prefix(b"t/").await.unwrap();
    assert!(found.kvs.iter().all(|kv| kv.mod_revision == done.revision));
}

async fn a_compare_that_fails_takes_the_other_branch(store: Arc<dyn Store>) {
    let txn = Txn::of(vec![Op::put("t/f", "then")])
        .when(vec![Compare::value("t/f", "never")])
        .or_else(vec![Op::put("t/f", "else")]);
    let done = store.txn(txn).await.unwrap();
    assert!(!done.succeeded);
    assert_eq!(store.get(b"t/f").await.unwrap().unwrap().value, "else");
}

async fn holds(store: &Arc<dyn Store>, compare: Compare) -> bool {
    store
        .txn(Txn::default().when(vec![compare]))
        .await
        .unwrap()
        .succeeded
}

async fn every_compare_target_and_operator(store: Arc<dyn Store>) {
    let at = store.put(b"t/c", Bytes::from("m")).await.unwrap();
    let before = Revision(at.0 - 1);
    let lower = [
        CompareTarget::Version(0),
        CompareTarget::Create(before),
        CompareTarget::Mod(before),
        CompareTarget::Value("l".into()),
        CompareTarget::Lease(LeaseId(-1)),
    ];
    let equal = [
        CompareTarget::Version(1),
        CompareTarget::Create(at),
        CompareTarget::Mod(at),
        CompareTarget::Value("m".into()),
        CompareTarget::Lease(LeaseId::NONE),
    ];
    let by = async |target: &CompareTarget, op| {
        let key = KeyRange::single("t/c");
        holds(
            &store,
            Compare {
                key,
                target: target.clone(),
                op,
            },
        )
        .await
    };
    for (lower, equal) in lower.iter().zip(&equal) {
        assert!(by(lower, CompareOp::Greater).await, "{lower:?}");
        assert!(by(lower, CompareOp::NotEqual).await, "{lower:?}");
        assert!(!by(lower, CompareOp::Less).await, "{lower:?}");
        assert!(by(equal, CompareOp::Equal).await, "{equal:?}");
        assert!(!by(equal, CompareOp::Greater).await, "{equal:?}");
        assert!(!by(equal, CompareOp::NotEqual).await, "{equal:?}");
    }
    assert!(holds(&store, Compare::absent("t/absent")).await);
    assert!(!holds(&store, Compare::absent("t/c")).await);
    assert!(!holds(&store, Compare::value("t/absent", "")).await);
    assert!(holds(&store, Compare::unchanged("t/c", at)).await);
}

async fn a_compare_over_a_range_holds_for_every_key(store: Arc<dyn Store>) {
    for key in ["t/r/1", "t/r/2"] {
        store.put(key.as_bytes(), Bytes::from("v")).await.unwrap();
    }
    let version = |version| Compare {
        key: KeyRange::prefix("t/r/"),
        target: CompareTarget::Version(version),
        op: CompareOp::Equal,
    };
    assert!(holds(&store, version(1)).await);
    store.put(b"t/r/2", Bytes::from("w")).await.unwrap();
    assert!(!holds(&store, version(1)).await);
}

async fn a_step_reads_what_the_steps_before_it_wrote(store: Arc<dyn Store>) {
    let steps = vec![Op::get("t/own"), Op::put("t/own", "x"), Op::get("t/own")];
    let done = store.txn(Txn::of(steps)).await.unwrap();
    assert!(kv_of(&done.responses[0]).is_empty());
    assert_eq!(kv_of(&done.responses[2])[0].value, "x");
    assert_eq!(kv_of(&done.responses[2])[0].mod_revision, done.revision);
}

async fn nested_compares_see_the_state_before(store: Arc<dyn Store>) {
    let inner = Txn::of(vec![Op::put("t/n/then", "1")])
        .when(vec![Compare::absent("t/n/a")])
        .or_else(vec![Op::put("t/n/else", "1")]);
    let done = store
        .txn(Txn::of(vec![Op::put("t/n/a", "1"), Op::Txn(inner)]))
        .await
        .unwrap();
    match &done.responses[1] {
        OpResponse::Txn(inner) => assert!(inner.succeeded),
        other => panic!("not a txn: {other:?}"),
    }
    let then = store.get(b"t/n/then").await.unwrap().unwrap();
    assert_eq!(then.mod_revision, done.revision);
    assert_eq!(store.get(b"t/n/else").await.unwrap(), None);
}

async fn refused(store: &Arc<dyn Store>, txn: Txn, error: InvalidRequest) {
    assert_eq!(store.txn(txn).await, Err(StoreError::Invalid(error)));
}

async fn a_key_written_twice_is_refused(store: Arc<dyn Store>) {
    let twice = Txn::of(vec![Op::put("t/d", "1"), Op::put("t/d", "2")]);
    refused(&store, twice.clone(), InvalidRequest::DuplicateKey).await;
    let inner = Txn::of(vec![
        Op::put("t/d", "1"),
        Op::Txn(Txn::of(vec![Op::put("t/d", "2")])),
    ]);
    refused(&store, inner, InvalidRequest::DuplicateKey).await;
    let elsewhere = Txn::default().or_else(twice.success);
    refused(&store, elsewhere, InvalidRequest::DuplicateKey).await;
    assert_eq!(store.get(b"t/d").await.unwrap(), None);
}

async fn put_and_delete_of_one_key_is_refused(store: Arc<dyn Store>) {
    let both = Txn::of(vec![Op::delete("t/pd"), Op::put("t/pd", "1")]);
    refused(&store, both, InvalidRequest::DuplicateKey).await;
}

async fn branches_may_write_the_same_key(store: Arc<dyn Store>) {
    let inner = Txn::of(vec![Op::put("t/b", "1")]).or_else(vec![Op::put("t/b", "2")]);
    store.txn(Txn::of(vec![Op::Txn(inner)])).await.unwrap();
    assert_eq!(store.get(b"t/b").await.unwrap().unwrap().value, "1");
}

async fn a_bad_step_undoes_the_others(store: Arc<dyn Store>) {
    let lease = LeaseId(987_654_321);
    let txn = Txn::of(vec![
        Op::put("t/u/1", "x"),
        Op::put_leased("t/u/2", "x", lease),
    ]);
    assert_eq!(
        store.txn(txn).await,
        Err(StoreError::LeaseNotFound { lease })
    );
    assert!(store.list_prefix(b"t/u/").await.unwrap().kvs.is_empty());
    let ahead = RangeRequest::new(KeyRange::single("t/u/1")).at(Revision(i64::MAX));
    let txn = Txn::of(vec![Op::put("t/u/1", "x"), Op::Range(ahead)]);
    assert!(matches!(
        store.txn(txn).await,
        Err(StoreError::FutureRevision { .. })
    ));
    assert!(store.list_prefix(b"t/u/").await.unwrap().kvs.is_empty());
}

async fn prev_kv_tells_what_was_there(store: Arc<dyn Store>) {
    let put = |value: &'static str| {
        let (key, value) = ("t/prev".into(), value.into());
        Op::Put(PutRequest {
            key,
            value,
            prev_kv: true,
            ..PutRequest::default()
        })
    };
    let first = store.txn(Txn::of(vec![put("1")])).await.unwrap();
    assert_eq!(first.responses, [OpResponse::Put { prev_kv: None }]);
    let second = store.txn(Txn::of(vec![put("2")])).await.unwrap();
    let before = match &second.responses[0] {
        OpResponse::Put { prev_kv } => prev_kv.clone().unwrap(),
        other => panic!("not a put: {other:?}"),
    };
    assert_eq!(
        (&before.value[..], before.mod_revision),
        (&b"1"[..], first.revision)
    );
    let delete = DeleteRequest {
        range: KeyRange::prefix("t/prev"),
        prev_kv: true,
    };
    match &store
        .txn(Txn::of(vec![Op::Delete(delete)]))
        .await
        .unwrap()
        .responses[0]
    {
        OpResponse::Delete {
            deleted: 1,
            prev_kvs,
        } => assert_eq!(prev_kvs[0].value, "2"),
        other => panic!("not one deletion: {other:?}"),
    }
}

async fn ignore_value_and_ignore_lease_keep_them(store: Arc<dyn Store>) {
    let lease = store
        .lease_grant(std::time::Duration::from_secs(60), None)
        .await
        .unwrap()
        .id;
    let keep_value = PutRequest {
        key: "t/i".into(),
        lease,
        ignore_value: true,
        ..PutRequest::default()
    };
    let txn = Txn::of(vec![Op::Put(keep_value.clone())]);
    refused(&store, txn.clone(), InvalidRequest::KeyNotFound).await;
    store.put(b"t/i", Bytes::from("v")).await.unwrap();
    store.txn(txn).await.unwrap();
    let kept = store.get(b"t/i").await.unwrap().unwrap();
    assert_eq!((&kept.value[..], kept.lease), (&b"v"[..], lease));
    let keep_lease = PutRequest {
        key: "t/i".into(),
        value: "w".into(),
        ignore_lease: true,
        ..PutRequest::default()
    };
    store.txn(Txn::of(vec![Op::Put(keep_lease)])).await.unwrap();
    let kept = store.get(b"t/i").await.unwrap().unwrap();
    assert_eq!((&kept.value[..], kept.lease), (&b"w"[..], lease));
    let both = PutRequest {
        value: "x".into(),
        ..keep_value
    };
    refused(
        &store,
        Txn::of(vec![Op::Put(both)]),
        InvalidRequest::ValueProvided,
    )
    .await;
}

async fn too_many_operations_are_refused(store: Arc<dyn Store>) {
    let puts = |count: usize| {
        (0..count)
            .map(|n| Op::put(format!("t/m/{n}"), "x"))
            .collect()
    };
    store.txn(Txn::of(puts(MAX_TXN_OPS))).await.unwrap();
    let error = InvalidRequest::TooManyOps { max: MAX_TXN_OPS };
    refused(&store, Txn::of(puts(MAX_TXN_OPS + 1)), error).await;
}

async fn of_fifty_racing_creations_one_wins(store: Arc<dyn Store>) {
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        racers.spawn(async move {
            let txn = Txn::of(vec![Op::put("t/race", number.to_string())])
                .when(vec![Compare::absent("t/race")]);
            store.txn(txn).await.unwrap().succeeded
        });
    }
    let won = racers
        .join_all()
        .await
        .into_iter()
        .filter(|won| *won)
        .count();
    assert_eq!(won, 1);
}

async fn fifty_racing_increments_all_count(store: Arc<dyn Store>) {
    store.put(b"t/sum", Bytes::from("0")).await.unwrap();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        racers.spawn(async move {
            loop {
                let now = store.get(b"t/sum").await.unwrap().unwrap();
                let sum: u32 = std::str::from_utf8(&now.value).unwrap().parse().unwrap();
                let txn = Txn::of(vec![Op::put("t/sum", (sum + 1).to_string())])
                    .when(vec![Compare::unchanged("t/sum", now.mod_revision)]);
                if store.txn(txn).await.unwrap().succeeded {
                    return;
                }
            }
        });
    }
    racers.join_all().await;
    assert_eq!(store.get(b"t/sum").await.unwrap().unwrap().value, "50");
}
