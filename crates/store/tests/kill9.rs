//! Kill -9 in the middle of writes: nothing acknowledged is lost, nothing is half there.
//!
//! The writer is this test binary itself, started again with a file to write to.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tombolo_store::{EmbeddedConfig, EmbeddedStore, Op, Store, Txn};

const FILE: &str = "STORE_WRITER_FILE";
const FIRST: &str = "STORE_WRITER_FIRST";

/// The writer: eight tasks, each writing pairs of keys and printing what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let Ok(file) = std::env::var(FILE) else {
        return;
    };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let mut config = EmbeddedConfig::new(file);
    config.keep_revisions = 100;
    let store = Arc::new(EmbeddedStore::open(config).unwrap());
    let next = Arc::new(AtomicU64::new(first));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let value = "v".repeat(200);
                let (a, b) = (format!("a/{number}"), format!("b/{number}"));
                let txn = Txn::of(vec![Op::put(a, value.clone()), Op::put(b, value)]);
                store.txn(txn).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {number}").unwrap();
                out.flush().unwrap();
            }
        });
    }
    tasks.join_all().await;
}

/// Runs the writer until it has acknowledged `count` writes, kills it, and answers them.
fn killed_after(file: &Path, first: u64, count: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture", "--test-threads", "1"])
        .env(FILE, file)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    // The last line may be cut off by the kill: it parses, to a smaller number that was
    // acknowledged earlier or never. Only whole lines before the kill count.
    for line in lines.map_while(Result::ok) {
        let Some((_, number)) = line.rsplit_once("acknowledged ") else {
            continue;
        };
        acknowledged.push(number.parse().unwrap());
        if acknowledged.len() == count {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();
    acknowledged
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store");
    let mut all = Vec::new();
    for round in 0..20_u64 {
        // Spread over the life of the writer: the opening, the first commit, compactions.
        let count = usize::try_from(1 + (round * 37) % 211).unwrap();
        let acknowledged = killed_after(&file, round * 1_000_000, count);
        assert_eq!(
            acknowledged.len(),
            count,
            "the writer ended by itself in round {round}"
        );
        all.extend(acknowledged);
        let store = EmbeddedStore::open(EmbeddedConfig::new(&file)).unwrap();
        let revisions = async |prefix: &[u8]| -> BTreeMap<u64, i64> {
            let found = store.list_prefix(prefix).await.unwrap();
            let number = |key: &[u8]| std::str::from_utf8(&key[2..]).unwrap().parse().unwrap();
            found
                .kvs
                .iter()
                .map(|kv| (number(&kv.key), kv.mod_revision.0))
                .collect()
        };
        let (a, b) = (revisions(b"a/").await, revisions(b"b/").await);
        assert_eq!(a, b, "a transaction is half there after round {round}");
        for number in &all {
            assert!(
                a.contains_key(number),
                "{number} was acknowledged, and lost in {round}"
            );
        }
    }
}
