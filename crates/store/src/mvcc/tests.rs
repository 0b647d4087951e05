//! The state machine against a model that keeps a whole copy of the map per revision.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::KeyRange;
use crate::types::{Compare, DeleteRequest, Op, RangeRequest};

const NOW: Now = Now(Duration::ZERO);

/// Per revision, everything that was there.
type Model = BTreeMap<i64, BTreeMap<Bytes, KeyValue>>;

#[derive(Debug, Clone)]
enum Step {
    Txn(Txn),
    Compact(u8),
}

fn key() -> impl Strategy<Value = String> {
    "[abc]{1,2}"
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (key(), "[xyz]").prop_map(|(key, value)| Op::put(key, value)),
        1 => key().prop_map(Op::delete),
        1 => key().prop_map(|prefix| {
            Op::Delete(DeleteRequest { range: KeyRange::prefix(prefix), prev_kv: true })
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ops = || prop::collection::vec(op(), 0..4);
    let txn = (ops(), ops(), prop::option::of((key(), "[xyz]"))).prop_map(|(then, other, when)| {
        let when = when.map(|(key, value)| Compare::value(key, value));
        Step::Txn(
            Txn::of(then)
                .when(when.into_iter().collect())
                .or_else(other),
        )
    });
    prop_oneof![8 => txn, 1 => any::<u8>().prop_map(Step::Compact)]
}

/// Does to a plain map what the branch says.
fn expect(map: &mut BTreeMap<Bytes, KeyValue>, ops: &[Op], revision: Revision) -> bool {
    let mut changed = false;
    for op in ops {
        match op {
            Op::Put(put) => {
                let old = map.get(&put.key);
                let kv = KeyValue {
                    key: put.key.clone(),
                    value: put.value.clone(),
                    create_revision: old.map_or(revision, |old| old.create_revision),
                    mod_revision: revision,
                    version: old.map_or(0, |old| old.version) + 1,
                    lease: LeaseId::NONE,
                };
                map.insert(put.key.clone(), kv);
                changed = true;
            }
            Op::Delete(delete) => {
                let before = map.len();
                map.retain(|key, _| !delete.range.contains(key));
                changed |= map.len() != before;
            }
            Op::Range(_) | Op::Txn(_) => {}
        }
    }
    changed
}

fn play(steps: Vec<Step>) -> (Mvcc, Model, Vec<Effects>) {
    let mut mvcc = Mvcc::default();
    let mut model: Model = [(1, BTreeMap::new())].into();
    let mut written = Vec::new();
    for step in steps {
        let before = mvcc.revision();
        let mut map = model[&before.0].clone();
        let command = match &step {
            Step::Txn(txn) => Command::Txn(txn.clone()),
            Step::Compact(part) => Command::Compact(Revision(before.0 * i64::from(*part) / 255)),
        };
        match (mvcc.apply(command, NOW), step) {
            (Ok((Reply::Txn(response), effects)), Step::Txn(txn)) => {
                let branch = if response.succeeded {
                    &txn.success
                } else {
                    &txn.failure
                };
                let changed = expect(&mut map, branch, before.next());
                let after = if changed { before.next() } else { before };
                assert_eq!((response.revision, mvcc.revision()), (after, after));
                model.insert(after.0, map);
                written.push(effects);
            }
            (Ok((_, effects)), _) => written.push(effects),
            (Err(_), _) => assert_eq!(mvcc.revision(), before),
        }
    }
    (mvcc, model, written)
}

fn check(mvcc: &Mvcc, model: &Model) {
    let newest = mvcc.revision();
    assert_eq!(newest.0, *model.keys().last().unwrap());
    for (revision, map) in model {
        let request = RangeRequest::new(KeyRange::everything()).at(Revision(*revision));
        match mvcc.range(&request, newest) {
            Ok(found) => assert!(found.kvs.iter().eq(map.values()), "at {revision}"),
            Err(_) => assert!(*revision < mvcc.compact_revision().0),
        }
    }
    // Replaying what a watcher missed leads from the compaction to the present.
    let start = mvcc.compact_revision().max(FIRST_REVISION);
    let mut map = model[&start.0].clone();
    let request = WatchRequest {
        start_revision: start.next(),
        ..WatchRequest::default()
    };
    let (batches, next) = mvcc.missed(&request, newest, usize::MAX).unwrap();
    assert_eq!(next, newest.next().max(start.next()));
    for event in batches.into_iter().flat_map(|batch| batch.events) {
        match event.kind {
            EventKind::Put => drop(map.insert(event.kv.key.clone(), event.kv)),
            EventKind::Delete => assert!(map.remove(&event.kv.key).is_some()),
        }
    }
    assert_eq!(&map, &model[&newest.0]);
}

/// What a journal would hold, read back.
fn restored(written: &[Effects]) -> Mvcc {
    let mut rows: BTreeMap<Place, (EventKind, KeyValue)> = BTreeMap::new();
    let mut compacted = Revision::NONE;
    for effects in written {
        for committed in &effects.committed {
            for (sub, change) in (0..).zip(&committed.changes) {
                rows.insert((committed.revision, sub), (change.kind, change.kv.clone()));
            }
        }
        if let Some((revision, dropped)) = &effects.compacted {
            compacted = *revision;
            for place in dropped {
                assert!(
                    rows.remove(place).is_some(),
                    "{place:?} is dropped but not there"
                );
            }
        }
    }
    let mut mvcc = Mvcc::default();
    mvcc.restore_bounds(compacted);
    let mut by_revision: BTreeMap<Revision, Vec<(EventKind, KeyValue)>> = BTreeMap::new();
    for ((revision, _), row) in rows {
        by_revision.entry(revision).or_default().push(row);
    }
    for (revision, changes) in by_revision {
        mvcc.restore(revision, changes);
    }
    mvcc
}

proptest! {
    #[test]
    fn the_state_machine_agrees_with_the_naive_model(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let (mvcc, model, written) = play(steps);
        check(&mvcc, &model);
        check(&restored(&written), &model);
    }
}

#[test]
fn a_lease_ends_when_its_time_is_over_and_not_before() {
    let mut mvcc = Mvcc::default();
    let id = LeaseId(7);
    let ttl = Duration::from_secs(5);
    let at = |seconds| Now(Duration::from_secs(seconds));
    mvcc.apply(Command::LeaseGrant { id, ttl }, at(0)).unwrap();
    mvcc.apply(
        Command::Txn(Txn::of(vec![Op::put_leased("k", "v", id)])),
        at(1),
    )
    .unwrap();
    mvcc.apply(Command::LeaseKeepAlive(id), at(3)).unwrap();
    let (_, effects) = mvcc.apply(Command::Expire, at(7)).unwrap();
    assert!(effects.is_empty());
    assert_eq!(mvcc.leases().next_end(), Some(at(8)));
    let (_, effects) = mvcc.apply(Command::Expire, at(8)).unwrap();
    assert_eq!(
        (effects.leases_ended, effects.committed.len()),
        (vec![id], 1)
    );
    assert_eq!(mvcc.leases().next_end(), None);
}
