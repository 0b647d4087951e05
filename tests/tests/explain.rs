//! Why an object is in the kernel, asked in the words of `ip`, and whose it is if it is not ours.

use serde_json::Value;
use tombolo_tests::{Cluster, Shape};

/// The answer to a question, and the exit status.
fn ask(cluster: &Cluster, question: &str) -> (Value, i32) {
    let output = cluster.try_sh("a", &format!("tombolo explain -o json {question}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let answer = serde_json::from_str(&text).unwrap_or_else(|_| {
        panic!(
            "{question}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    (answer, output.status.code().unwrap_or(-1))
}

/// The only object that fits, which must be there as it is planned, and the resource's kind and name.
fn ours(cluster: &Cluster, question: &str) -> (Value, String) {
    let (answer, code) = ask(cluster, question);
    assert_eq!(code, 0, "{question}: {answer:#}");
    let found = answer["found"].as_array().expect("a list");
    let own: Vec<&Value> = found
        .iter()
        .filter(|object| object["ours"] == true)
        .collect();
    assert_eq!(own.len(), 1, "{question}: {answer:#}");
    let object = own[0].clone();
    assert!(object["differences"].is_null(), "{question}: {object:#}");
    assert!(
        object["why"].is_string() && object["rule"].is_string(),
        "{question}: {object:#}"
    );
    let resource = &object["resource"];
    let text = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
    (object.clone(), format!("{} {}", text("kind"), text("name")))
}

fn word(cluster: &Cluster, script: &str) -> String {
    cluster
        .sh("a", script)
        .split_whitespace()
        .next()
        .expect("a word")
        .to_owned()
}

#[test]
fn every_kind_of_object_of_ours_is_explained() {
    let cluster = Cluster::up("why", &Shape::hosts(2));
    let addresses = cluster.container("a", "c1", "default");
    let there = cluster.container("b", "c1", "default");
    cluster.settle();
    let route = word(&cluster, "ip route show proto 84 dev tbx4096");
    let (object, resource) = ours(&cluster, &format!("route {route}"));
    assert!(resource.starts_with("Block "), "{resource}");
    assert_eq!(object["rule"], "network: way to a block of another node");
    assert!(
        object["about"].to_string().contains("of node b"),
        "{object:#}"
    );
    let link = word(&cluster, "ls /sys/class/net | grep tbv");
    for (question, kind) in [
        (format!("link {link}"), "Endpoint "),
        ("link tbx4096".to_owned(), "Network default"),
        (format!("route {}/32", addresses[0]), "Endpoint "),
        (format!("route {}/128", addresses[1]), "Endpoint "),
        ("sysctl net.ipv4.ip_forward".to_owned(), "IPPool "),
        ("nft chain nat-postrouting".to_owned(), "IPPool "),
        ("route default in a-c1/eth0".to_owned(), "Endpoint "),
        ("neigh 169.254.1.1 in a-c1".to_owned(), "Endpoint "),
    ] {
        let (_, resource) = ours(&cluster, &question);
        assert!(resource.starts_with(kind), "{question}: {resource}");
    }
    let neighbour = word(&cluster, "ip neigh show dev tbx4096 nud permanent");
    let (object, resource) = ours(&cluster, &format!("neighbour {neighbour} dev tbx4096"));
    assert_eq!(resource, "Node b", "{object:#}");
    let mac = word(&cluster, "bridge fdb show dev tbx4096 | grep dst");
    assert_eq!(
        ours(&cluster, &format!("fdb {mac} dev tbx4096")).1,
        "Node b"
    );
    // An address of this host's container, and one of the other host's.
    let (answer, code) = ask(&cluster, &format!("address {}", addresses[0]));
    assert_eq!(
        (code, &answer["holder"]["node"]),
        (0, &"a".into()),
        "{answer:#}"
    );
    assert!(
        answer["holder"]["endpoint"]["name"]
            .to_string()
            .contains("c1"),
        "{answer:#}"
    );
    assert!(
        answer["found"][0]["place"].to_string().contains("address"),
        "{answer:#}"
    );
    let (answer, code) = ask(&cluster, &format!("address {}", there[0]));
    assert_eq!(
        (code, &answer["holder"]["node"]),
        (0, &"b".into()),
        "{answer:#}"
    );
    assert_eq!(answer["nearest"]["resource"]["kind"], "Block", "{answer:#}");
    let text = cluster.sh("a", &format!("tombolo explain route {route}"));
    for sign in ["because of", "rule", "why", "as planned"] {
        assert!(text.contains(sign), "no {sign} in\n{text}");
    }
}

#[test]
fn what_is_not_ours_is_told_by_its_marks() {
    let cluster = Cluster::up("whose", &Shape::hosts(1));
    let _ = cluster.sh("a", "ip link add docker0 type bridge; ip link set docker0 up; ip addr add 172.17.0.1/16 dev docker0");
    let _ = cluster.sh("a", "ip route add 198.51.100.0/24 via 192.168.50.1 proto bird; nft add table ip nat; nft add chain ip nat DOCKER");
    for (question, sign) in [
        ("link docker0", "Docker's default bridge"),
        ("route 172.17.0.0/16", "kernel"),
        ("route 198.51.100.0/24", "BIRD"),
        ("route default", "the lab"),
        ("address 172.17.0.1", "docker0, which is not ours"),
        ("nft chain DOCKER", "table ip nat"),
        ("sysctl net/ipv4/conf/docker0/forwarding", "setting"),
        ("rule 32766", "kernel"),
    ] {
        let (answer, code) = ask(&cluster, question);
        assert_eq!(code, 0, "{question}: {answer:#}");
        let whose = answer["found"][0]["whose"].to_string();
        assert!(
            whose.contains("not ours") && whose.contains(sign),
            "{question}: {answer:#}"
        );
    }
    let (answer, code) = ask(&cluster, "route 203.0.113.0/24");
    assert_eq!(
        (code, &answer["found"]),
        (1, &serde_json::json!([])),
        "{answer:#}"
    );
    let nearest = answer["nearest"]["place"].to_string();
    assert!(nearest.contains("route 0.0.0.0/0"), "{answer:#}");
    assert_eq!(ask(&cluster, "link nothing0").1, 1);
    let wrong = cluster.try_sh("a", "tombolo explain route nonsense");
    assert_eq!(wrong.status.code(), Some(2));
    let nobody = cluster.try_sh("a", "tombolo explain route default in nobody");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("tombolo get endpoints"));
}

#[test]
fn what_differs_from_the_plan_is_told() {
    let cluster = Cluster::up("differs", &Shape::hosts(2));
    cluster.settle();
    let route = word(&cluster, "ip route show proto 84 dev tbx4096");
    let _ = cluster.container("a", "c1", "default");
    // It is repaired as soon as it is seen, so it is damaged as often as can be.
    let damage = "while ip link set eth0 mtu 1300; do :; done";
    let damage = cluster.lab.spawn("a/c1", &["sh", "-c", damage]).unwrap();
    let object = cluster.until("the difference is told", || {
        let (answer, _) = ask(&cluster, "link eth0 in a-c1");
        let object = answer["found"][0].clone();
        object["differences"].is_array().then_some(object)
    });
    drop(damage);
    let told = &object["differences"];
    assert_eq!(
        *told,
        serde_json::json!(["mtu is 1300, not 1450"]),
        "{object:#}"
    );
    assert!(
        object["kernel"].to_string().contains("mtu 1300"),
        "{object:#}"
    );
    assert!(
        object["planned"].to_string().contains("mtu 1450"),
        "{object:#}"
    );
    let (answer, code) = ask(&cluster, &format!("route {route} table 7"));
    assert_eq!(
        (code, &answer["found"]),
        (1, &serde_json::json!([])),
        "{answer:#}"
    );
}
