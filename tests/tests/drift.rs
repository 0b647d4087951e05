//! What others delete or change is restored at once, with a log line and a count that name it.

use tombolo_tests::Cluster;
use tombolo_tests::damage::{Damage, Victim, damages, differences};

/// How often objects of a kind were repaired, as the metrics say.
fn repairs(cluster: &Cluster, kind: &str) -> u64 {
    cluster.status("a")["repaired"][kind]
        .as_u64()
        .unwrap_or_default()
}

fn is_repaired(victim: &Victim, damage: &Damage, whole: &str) {
    let cluster = &victim.cluster;
    let before = repairs(cluster, damage.kind);
    victim.suffer(damage);
    // Looking everywhere comes after half a minute: later than this gives up.
    let mut now = String::new();
    let begun = std::time::Instant::now();
    loop {
        if repairs(cluster, damage.kind) > before {
            now = victim.picture();
            if now == whole {
                break;
            }
        }
        assert!(
            begun.elapsed() < tombolo_tests::DEADLINE,
            "{damage:?} is not repaired\n{}\n{}",
            differences(whole, &now),
            cluster.logs()
        );
    }
    let line = format!("repaired: [a-z]* [^ ]* {} ", damage.kind);
    let logged = cluster.try_sh("a", &format!("grep -q '{line}' /run/tombolo/agent.log"));
    assert!(
        logged.status.success(),
        "no line says that {damage:?} was repaired"
    );
}

#[test]
fn every_kind_of_object_is_restored() {
    let victim = Victim::up("drift");
    let whole = victim.picture();
    for damage in damages() {
        is_repaired(&victim, damage, &whole);
    }
    let there = victim.cluster.sh("b/c1", "ip -br -4 addr show eth0");
    let there = there.split_whitespace().nth(2).expect("an address");
    let there = there.split('/').next().expect("without its prefix");
    assert!(
        victim.cluster.pings("a/c1", there),
        "{there} is lost after the repairs\n{}",
        victim.cluster.logs()
    );
}
