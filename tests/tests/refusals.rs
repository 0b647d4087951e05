//! Bad input: a clear error, and nothing half made.

use tombolo_tests::{Cluster, Shape, lab};

fn says(text: &str, signs: &[&str]) {
    for sign in signs {
        assert!(text.contains(sign), "{sign:?} is not said:\n{text}");
    }
}

fn one_host(name: &str) -> Cluster {
    Cluster::up(name, &Shape::hosts(1))
}

#[test]
fn resources_that_are_wrong_are_refused_with_their_place() {
    let cluster = one_host("bad-yaml");
    let pool = |name: &str, spec: &str| {
        format!(
            "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    };
    let good = pool("good", "{cidr: 10.60.0.0/16}");
    for (bad, signs) in [
        ("kind: [".to_owned(), vec!["/run/apply.yaml:"]),
        (
            pool("x", "{cidr: 10.61.0.0/16, blockSize: 99}"),
            vec!["blockSize", "99", "between 20 and 32"],
        ),
        (
            pool("x", "{cidr: 10.61.0.0/16, natOutgong: true}"),
            vec!["natOutgong", "natOutgoing"],
        ),
        (pool("x", "{cidr: nonsense}"), vec!["spec.cidr", "nonsense"]),
        (
            pool("x", "{cidr: 10.244.128.0/17}"),
            vec!["overlaps", "default-v4"],
        ),
        (
            pool("x", "{cidr: 10.60.128.0/17}"),
            vec!["overlaps", "good"],
        ),
        (
            good.replace("IPPool", "Pool").replace("good", "x"),
            vec!["Pool", "IPPool"],
        ),
        (
            good.replace("IPPool", "Block").replace("good", "x"),
            vec!["Block"],
        ),
        (
            good.replace("tombolo.dev/v1", "v1").replace("good", "x"),
            vec!["apiVersion", "tombolo.dev/v1"],
        ),
    ] {
        let error = cluster
            .try_apply("a", &format!("{good}---\n{bad}"))
            .expect_err("it is refused");
        says(&error, &signs);
        says(&error, &["/run/apply.yaml:", "exit status: 1"]);
        let pools = cluster.sh("a", "tombolo get ippools");
        assert!(!pools.contains("good"), "half of it was applied:\n{pools}");
    }
}

#[test]
fn networks_that_cannot_be_are_refused() {
    let cluster = one_host("bad-net");
    let network = |spec: &str| {
        format!("apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {{name: n}}\nspec: {spec}\n")
    };
    for (spec, signs) in [
        (
            "{driver: flying, pools: [default-v4]}",
            vec!["spec.driver", "flying", "routed"],
        ),
        (
            "{driver: routed, pools: [default-v4]}",
            vec!["spec.transport", "missing"],
        ),
        (
            "{driver: routed, transport: {type: pigeon}, pools: [p]}",
            vec!["pigeon", "vxlan"],
        ),
        (
            "{driver: routed, transport: {type: vxlan, vni: 0}, pools: [p]}",
            vec!["vni", "16777215"],
        ),
        (
            "{driver: routed, transport: {type: direct, vni: 7}, pools: [p]}",
            vec!["vni", "no such option"],
        ),
        (
            "{driver: bridge, pools: [nowhere]}",
            vec!["there is no IPPool nowhere"],
        ),
        (
            "{driver: bridge, pools: [default-v4]}",
            vec!["belongs to network default already"],
        ),
        (
            "{driver: bridge, transport: {type: vxlan}, pools: [p]}",
            vec!["stays on its node"],
        ),
    ] {
        let error = cluster
            .try_apply("a", &network(spec))
            .expect_err("it is refused");
        says(&error, &signs);
        says(&error, &["/run/apply.yaml:"]);
    }
}

#[test]
fn what_is_in_use_is_not_taken_away() {
    let cluster = one_host("in-use");
    let _ = cluster.container("a", "c1", "default");
    let error = cluster
        .lab
        .tombolo("a", &["delete", "network", "default"])
        .unwrap_err();
    says(&error.to_string(), &["in use", "detach them first"]);
    let error = cluster
        .lab
        .tombolo("a", &["delete", "ippool", "default-v4"])
        .unwrap_err();
    says(&error.to_string(), &["in use", "network default"]);
    let error = cluster
        .lab
        .tombolo("a", &["delete", "ippool", "nowhere"])
        .unwrap_err();
    says(&error.to_string(), &["there is no IPPool nowhere"]);
    let shrink = "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {name: default-v4}\nspec: {cidr: 10.244.0.0/17}\n";
    says(
        &cluster.try_apply("a", shrink).unwrap_err(),
        &["in use", "Add another pool"],
    );
}

#[test]
fn a_network_in_use_keeps_its_driver() {
    let cluster = Cluster::up("in-use-driver", &Shape::hosts(2));
    let network = |driver: &str| {
        format!(
            "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {{name: default}}\nspec: {{driver: {driver}, pools: [default-v4, default-v6]}}\n"
        )
    };
    for host in ["a", "b"] {
        let _ = cluster.container(host, "c1", "default");
    }
    let error = cluster.try_apply("a", &network("ptp")).unwrap_err();
    says(
        &error,
        &[
            "spec.driver",
            "2 endpoints (1 on node a, 1 on node b",
            "detach them first",
        ],
    );
    let config = tombolo_lab::Lab::config("default");
    for host in ["a", "b"] {
        cluster.lab.detach(host, "c1", &config).unwrap();
    }
    cluster.apply("a", &network("ptp"));
}

#[test]
fn several_are_deleted_all_or_none() {
    let cluster = one_host("delete-all");
    let pool = |n: usize| {
        format!(
            "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {{name: p{n}}}\nspec: {{cidr: 10.80.{n}.0/24}}\n---\n"
        )
    };
    let network = "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {name: n}\nspec: {driver: ptp, pools: [p0]}\n";
    let delete = |text: &str| {
        std::fs::write(cluster.file("a", "/run/delete.yaml"), text).unwrap();
        let output = cluster.try_sh("a", "tombolo delete -f /run/delete.yaml");
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    };
    cluster.apply("a", &(pool(0) + &pool(1) + network));
    let before = cluster.sh("a", "tombolo get ippools; tombolo get networks");
    // One that is in use by what stays, and one that is not there: nothing is deleted, both are told.
    let (done, said) = delete(&(pool(1) + &pool(0) + &pool(7)));
    assert!(!done);
    says(
        &said,
        &[
            "nothing was changed",
            "/run/delete.yaml:8:",
            "network n",
            "there is no IPPool p7",
        ],
    );
    assert_eq!(
        cluster.sh("a", "tombolo get ippools; tombolo get networks"),
        before
    );
    // A pool and the network that uses it go together, in whatever order they are written.
    let (done, said) = delete(&(pool(0) + &pool(1) + network));
    assert!(done, "{said}");
    let after = cluster.sh("a", "tombolo get ippools; tombolo get networks");
    assert!(!after.contains("10.80."), "{after}");
    // More than a transaction holds go in batches, which is said.
    for part in [0..100, 100..150] {
        cluster.apply("a", &part.map(pool).collect::<String>());
    }
    let (done, said) = delete(&(0..150).map(pool).collect::<String>());
    assert!(done, "{said}");
    says(&said, &["150 resources are deleted in 2 batches"]);
    assert!(!cluster.sh("a", "tombolo get ippools").contains("10.80."));
}

#[test]
fn attaching_what_cannot_be_attached() {
    let cluster = one_host("bad-attach");
    let attach = |words: &[&str]| {
        let mut all = vec!["attach", "--container", "x"];
        all.extend(words);
        cluster
            .lab
            .tombolo("a", &all)
            .expect_err("it is refused")
            .to_string()
    };
    says(
        &attach(&["--netns", "/run/netns/gone"]),
        &["no network namespace at /run/netns/gone"],
    );
    cluster.lab.container("a", "c1").unwrap();
    let netns = ["--netns", "/run/netns/c1"];
    says(
        &attach(&[netns[0], netns[1], "--network", "nowhere"]),
        &["no network nowhere", "default"],
    );
    says(
        &attach(&[netns[0], netns[1], "--ip", "192.0.2.1"]),
        &["192.0.2.1", "default-v4"],
    );
    let endpoints = cluster.sh("a", "tombolo get endpoints; ip -o link");
    assert!(
        endpoints.contains("there are no endpoints") && !endpoints.contains("tbv"),
        "{endpoints}"
    );
}

#[test]
fn an_agent_that_is_down_is_said_to_be_down() {
    let lab = lab("down", &Shape::hosts(1));
    let error = lab.tombolo("a", &["status"]).unwrap_err().to_string();
    says(
        &error,
        &["does not answer", "tombolo agent", "exit status: 1"],
    );
    let error = lab.tombolo("a", &["agent"]).unwrap_err().to_string();
    says(&error, &["is no node yet", "tombolo init", "tombolo join"]);
    let error = lab.tombolo("a", &["gett"]).unwrap_err().to_string();
    says(&error, &["exit status: 2"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    for (port, option) in [
        (7460, "--store-listen"),
        (7461, "--join-listen"),
        (7463, "--metrics-listen"),
    ] {
        let lab = lab("taken", &Shape::hosts(1));
        lab.init("a", &[]).unwrap();
        let listen = format!("TCP6-LISTEN:{port},ipv6only=0,fork");
        let _holder = lab.spawn("a", &["socat", &listen, "EXEC:true"]).unwrap();
        let taken = format!("until ss -ltn | grep -q :{port}; do :; done");
        lab.output("a", &["sh", "-c", &taken]).unwrap();
        let error = lab.tombolo("a", &["agent"]).unwrap_err().to_string();
        says(&error, &[&port.to_string(), option]);
    }
}

#[test]
fn a_second_agent_on_one_host_is_refused() {
    let cluster = one_host("second");
    let error = cluster
        .lab
        .tombolo("a", &["agent"])
        .unwrap_err()
        .to_string();
    says(&error, &["another agent answers", "--socket"]);
    assert_eq!(cluster.status("a")["problems"], serde_json::json!([]));
    let error = cluster
        .lab
        .tombolo("a", &["agent", "--cleanup"])
        .unwrap_err()
        .to_string();
    says(&error, &["an agent runs", "stop it first"]);
}

#[test]
fn without_privileges_it_says_which() {
    let lab = lab("privileges", &Shape::hosts(1));
    lab.init("a", &["--state-dir", "/run/state"]).unwrap();
    let script = "chown -R 65534 /run/state; mkdir /run/mine; chown 65534 /run/mine; setpriv --reuid=65534 --clear-groups --bounding-set=-all tombolo --socket /run/mine/s agent --state-dir /run/state";
    let output = lab.exec("a", &["sh", "-c", script]).unwrap();
    assert!(!output.status.success());
    says(&String::from_utf8_lossy(&output.stderr), &["CAP_NET_ADMIN"]);
}

#[test]
fn the_api_answers_programs() {
    let cluster = one_host("api");
    let curl = "curl -s -w ' %{http_code}' --unix-socket /run/tombolo/tombolo.sock";
    for (ask, signs) in [
        ("http://t/v1/status", vec!["\"node\":\"a\"", " 200"]),
        ("http://t/v1/flying", vec!["no kind of resource", " 404"]),
        (
            "http://t/v1/networks/nowhere",
            vec!["no Network nowhere", " 404"],
        ),
        ("-d '{' http://t/v1/attach", vec!["body", " 400"]),
        (
            "-d '{\"resources\":[{}]}' http://t/v1/apply",
            vec!["apiVersion", " 400"],
        ),
        ("-X DELETE http://t/v1/blocks/x", vec!["no Block x", " 404"]),
    ] {
        says(&cluster.sh("a", &format!("{curl} {ask}")), &signs);
    }
    assert_eq!(
        cluster
            .sh("a", "stat -c %a /run/tombolo/tombolo.sock")
            .trim(),
        "660"
    );
    says(
        &cluster.sh("a", "curl -s localhost:7463/metrics"),
        &["tombolo_pass_seconds", "tombolo_objects"],
    );
    says(
        &cluster.sh("a", "curl -s localhost:7463/healthz localhost:7463/readyz"),
        &["ok\nok"],
    );
    says(
        &cluster.sh("a", "tombolo get networks -o yaml"),
        &["kind: Network", "driver: routed"],
    );
}

#[test]
fn a_watch_tells_every_change() {
    let cluster = one_host("watch");
    let watch = "timeout 10 tombolo get ippools --watch > /run/watched & until grep -q default-v4 /run/watched; do :; done";
    let pool = "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {name: seen}\nspec: {cidr: 10.71.0.0/16}\n";
    let _watch = cluster
        .lab
        .spawn("a", &["sh", "-c", &format!("{watch}; wait")])
        .unwrap();
    cluster.until("the watch stands", || {
        cluster
            .try_sh("a", "grep -q default-v4 /run/watched")
            .status
            .success()
            .then_some(())
    });
    cluster.apply("a", pool);
    cluster
        .lab
        .tombolo("a", &["delete", "ippool", "seen"])
        .unwrap();
    cluster.until("the changes are told", || {
        let told = cluster.sh("a", "cat /run/watched");
        (told.contains("10.71.0.0/16") && told.contains("seen deleted")).then_some(())
    });
}
