//! Debian's `etcdctl` on the embedded store, over mutual TLS.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use support::{Ca, Served};
use tempfile::TempDir;
use tombolo_store::{EmbeddedConfig, EmbeddedStore};

struct Bench {
    folder: TempDir,
    served: Served,
}

impl Bench {
    async fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig::new(folder.path().join("store"));
        let store = Arc::new(EmbeddedStore::open(config).unwrap());
        let ca = Ca::new();
        let tls = ca.client("etcdctl");
        for (name, text) in [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let served = Served::start(store, ca.server(), None).await;
        Bench { folder, served }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        let file = |name: &str| self.folder.path().join(name);
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.served.address]);
        command.arg("--cacert").arg(file("ca"));
        command
            .arg("--cert")
            .arg(file("cert"))
            .arg("--key")
            .arg(file("key"))
            .args(args);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .stdin(Stdio::piped());
        command
    }

    fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap_or_else(|error| {
            panic!("cannot start etcdctl ({error}); run: apt-get install -y etcd-client")
        })
    }

    async fn run(&self, args: &[&str], input: &str) -> Output {
        let mut child = self.spawn(args);
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
            .await
            .unwrap()
    }

    /// What it printed, given that it succeeded.
    async fn ok(&self, args: &[&str]) -> String {
        self.with_input(args, "").await
    }

    async fn with_input(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "etcdctl {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args, "").await;
        assert!(!output.status.success(), "etcdctl {args:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_get_and_delete() {
    let bench = Bench::new().await;
    assert_eq!(bench.ok(&["put", "a/1", "x"]).await, "OK\n");
    bench.ok(&["put", "a/2", "y"]).await;
    bench.ok(&["put", "a/1", "z"]).await;
    assert_eq!(
        bench.ok(&["get", "a/", "--prefix"]).await,
        "a/1\nz\na/2\ny\n"
    );
    assert_eq!(bench.ok(&["get", "a/1", "--rev", "2"]).await, "a/1\nx\n");
    let json: serde_json::Value =
        serde_json::from_str(&bench.ok(&["get", "a/1", "-w", "json"]).await).unwrap();
    assert_eq!(
        (&json["header"]["revision"], &json["kvs"][0]["version"]),
        (&4.into(), &2.into())
    );
    assert_eq!(bench.ok(&["del", "a/", "--prefix"]).await, "2\n");
    assert_eq!(bench.ok(&["get", "a/", "--prefix"]).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions() {
    let bench = Bench::new().await;
    bench.ok(&["put", "k", "1"]).await;
    let script = "value(\"k\") = \"1\"\n\nput k 2\nget k\n\nput k 3\n\n";
    assert_eq!(
        bench.with_input(&["txn"], script).await,
        "SUCCESS\n\nOK\n\nk\n2\n"
    );
    assert_eq!(bench.with_input(&["txn"], script).await, "FAILURE\n\nOK\n");
    assert_eq!(bench.ok(&["get", "k"]).await, "k\n3\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches() {
    let bench = Bench::new().await;
    bench.ok(&["put", "w/1", "old"]).await;
    let mut child = bench.spawn(&["watch", "w/", "--prefix", "--rev", "2"]);
    let out = child.stdout.take().unwrap();
    let lines = tokio::task::spawn_blocking(move || {
        BufReader::new(out)
            .lines()
            .take(8)
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    });
    bench.ok(&["put", "w/2", "new"]).await;
    bench.ok(&["del", "w/1"]).await;
    let lines = lines.await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        lines,
        ["PUT", "w/1", "old", "PUT", "w/2", "new", "DELETE", "w/1"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases() {
    let bench = Bench::new().await;
    let granted = bench.ok(&["lease", "grant", "60"]).await;
    assert!(granted.contains("granted with TTL(60s)"), "{granted}");
    let id = granted.split_whitespace().nth(1).unwrap().to_owned();
    bench.ok(&["put", "l", "x", "--lease", &id]).await;
    assert!(bench.ok(&["lease", "list"]).await.contains(&id));
    let kept = bench.ok(&["lease", "keep-alive", "--once", &id]).await;
    assert!(kept.contains("keepalived with TTL(60)"), "{kept}");
    let info = bench.ok(&["lease", "timetolive", &id, "--keys"]).await;
    assert!(info.contains("attached keys([l])"), "{info}");
    assert!(
        bench
            .ok(&["lease", "revoke", &id])
            .await
            .contains("revoked")
    );
    assert_eq!(bench.ok(&["get", "l"]).await, "");
    let again = bench.fails(&["lease", "revoke", &id]).await;
    assert!(again.contains("requested lease not found"), "{again}");
    let gone = bench.ok(&["lease", "timetolive", &id]).await;
    assert!(gone.contains("already expired"), "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_and_the_state_of_the_endpoint() {
    let bench = Bench::new().await;
    for value in ["1", "2", "3"] {
        bench.ok(&["put", "k", value]).await;
    }
    assert_eq!(
        bench.ok(&["compaction", "3"]).await,
        "compacted revision 3\n"
    );
    let gone = bench.fails(&["get", "k", "--rev", "2"]).await;
    assert!(
        gone.contains("required revision has been compacted"),
        "{gone}"
    );
    let again = bench.fails(&["compaction", "3"]).await;
    assert!(
        again.contains("required revision has been compacted"),
        "{again}"
    );
    let health = bench.run(&["endpoint", "health"], "").await;
    let told = String::from_utf8_lossy(&[health.stdout, health.stderr].concat()).into_owned();
    assert!(
        health.status.success() && told.contains("is healthy"),
        "{told}"
    );
    let status = bench.ok(&["endpoint", "status", "-w", "json"]).await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status[0]["Status"]["header"]["revision"], 4);
    assert!(
        bench
            .ok(&["member", "list"])
            .await
            .contains(&bench.served.address)
    );
}
