//! A thousand containers come and go while the agent is killed again and again: no address is given
//! twice, and at the end nothing is left.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tombolo_lab::{CniVerb, Lab};
use tombolo_tests::{Cluster, Shape, addresses};

const WORKERS: usize = 8;
/// Containers that come and go, in all.
const LIVES: usize = 1000;
/// How long a runtime goes on asking for a DEL.
const PATIENCE: Duration = Duration::from_secs(40);

/// Who has which address, as the runtime was told: the test's own book, which asks nobody.
#[derive(Default)]
struct Ledger(Mutex<BTreeMap<String, String>>);

impl Ledger {
    fn takes(&self, container: &str, given: &[String]) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for address in given {
            let before = book.insert(address.clone(), container.to_owned());
            assert_eq!(before, None, "{address} was given to {container} as well");
        }
    }

    /// Before DEL is asked for: once it is, the address may be given to the next at any moment.
    fn gives_back(&self, container: &str) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.retain(|_, holder| holder != container);
    }

    fn held(&self) -> BTreeMap<String, String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A small generator (xorshift, Marsaglia 2003): a run is told again by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The seed: `TOMBOLO_SEED`, else the time.
fn seed() -> u64 {
    let given = std::env::var("TOMBOLO_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::from(since.unwrap().subsec_nanos()) | 1
    })
}

/// Everything of ours in the kernel of `a`, but for what its containers have.
fn kernel(cluster: &Cluster) -> String {
    let all = cluster.sh(
        "a",
        "ip -o link | cut -d: -f2; ip -o addr | awk '{print $2, $4}'; ip route show table all proto 84; ip -6 route show table all proto 84; ip rule; ip neigh show nud permanent; bridge fdb show dev tbx4096; nft list table inet tombolo",
    );
    // What the kernel counts and adds by itself, and which end of a pair is where.
    all.lines()
        .filter(|line| !line.contains("expires"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The life of one container: ADD, and where `dies` DEL, each until it is answered.
fn live(cluster: &Cluster, ledger: &Ledger, name: &str, dies: bool) {
    let config = Lab::config("default");
    match cluster.lab.cni(CniVerb::Add, "a", name, &config) {
        Ok(result) => ledger.takes(name, &addresses(&result)),
        // The agent was killed, or is not up again yet. A runtime cleans up then.
        Err(_) if dies => {}
        Err(_) => {
            del(cluster, ledger, name);
            return live(cluster, ledger, name, dies);
        }
    }
    if dies {
        del(cluster, ledger, name);
    }
}

fn del(cluster: &Cluster, ledger: &Ledger, name: &str) {
    ledger.gives_back(name);
    let begun = Instant::now();
    while let Err(error) = cluster.lab.detach("a", name, &Lab::config("default")) {
        assert!(begun.elapsed() < PATIENCE, "DEL of {name}: {error}");
    }
}

/// Kills and starts the agent at random moments until all is done; answers how often.
fn kill_again_and_again(cluster: &Cluster, random: &mut Random, done: &AtomicBool) -> u32 {
    let mut kills = 0;
    while !done.load(Ordering::Relaxed) {
        // The moment is what is random here, so there is nothing to be awaited.
        std::thread::park_timeout(Duration::from_millis(random.below(2000)));
        cluster.lab.kill_agent("a").unwrap();
        kills += 1;
        cluster.lab.start_agent("a", &[]).unwrap();
        if random.below(3) > 0 {
            cluster.lab.ready("a").unwrap();
        }
    }
    kills
}

#[test]
fn a_thousand_lives_under_an_agent_that_is_killed() {
    let seed = seed();
    println!("TOMBOLO_SEED={seed}");
    let cluster = Cluster::up("churn", &Shape::hosts(1));
    for worker in 0..WORKERS {
        for slot in 0..4 {
            cluster
                .lab
                .container("a", &format!("w{worker}-{slot}"))
                .unwrap();
        }
    }
    let before = kernel(&cluster);
    let (ledger, lives, done) = (
        Ledger::default(),
        AtomicUsize::new(0),
        AtomicBool::new(false),
    );
    let begun = Instant::now();
    let kills = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (cluster, ledger, lives) = (&cluster, &ledger, &lives);
                scope.spawn(move || {
                    for turn in 0.. {
                        if lives.fetch_add(1, Ordering::Relaxed) >= LIVES {
                            break;
                        }
                        live(cluster, ledger, &format!("w{worker}-{}", turn % 3), true);
                    }
                    // One of each stays.
                    live(cluster, ledger, &format!("w{worker}-3"), false);
                })
            })
            .collect();
        let (cluster, done) = (&cluster, &done);
        let killer = scope.spawn(move || kill_again_and_again(cluster, &mut Random(seed), done));
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        let kills = killer.join().unwrap();
        for worker in ended {
            worker.expect("a worker's own report is above");
        }
        kills
    });
    println!("{LIVES} lives, {kills} kills, {:?}", begun.elapsed());
    assert!(kills > 5, "{kills} kills are too few to tell");
    cluster.settle();

    // The book, the store and the kernel agree on who is left.
    let held = ledger.held();
    let endpoints = cluster.json("a", &["get", "endpoints", "-o", "json"]);
    let mut known = BTreeMap::new();
    for endpoint in endpoints["items"].as_array().unwrap() {
        let container = endpoint["spec"]["containerID"].as_str().unwrap();
        for address in endpoint["spec"]["addresses"].as_array().unwrap() {
            let container = container.trim_start_matches("a-").to_owned();
            known.insert(address.as_str().unwrap().to_owned(), container);
        }
    }
    assert_eq!(known, held, "the store knows others than the runtimes do");
    let links = cluster.sh("a", "ip -o link").matches("tbv").count();
    assert_eq!(links, WORKERS, "{}", cluster.sh("a", "ip -o link"));
    for address in held.keys() {
        assert!(cluster.pings("a", address), "{address} is not reached");
    }
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");

    for worker in 0..WORKERS {
        del(&cluster, &ledger, &format!("w{worker}-3"));
    }
    cluster.settle();
    assert_eq!(kernel(&cluster), before, "something is left in the kernel");
    let show = cluster.json("a", &["ipam", "show", "-o", "json"]);
    for pool in show["pools"].as_array().unwrap() {
        // The node's own, for its tunnel.
        assert_eq!(pool["inUse"], 1, "{show}");
    }
}
