//! Policy, seen from those who use it: who an endpoint is, why a flow is let through or not, what was
//! denied, what is not in force.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use serde_json::{Value, json};
use tombolo_lab::Lab;
use tombolo_tests::{Cluster, Shape};

/// A container with labels, profiles or ports, as the configuration gives them.
fn container(cluster: &Cluster, place: &str, more: &Value) -> Vec<String> {
    let (host, name) = place.split_once('/').unwrap();
    let mut config = Lab::config("default");
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    cluster.container_with(host, name, &config)
}

/// The endpoint of a container, as a node sees it.
fn endpoint(cluster: &Cluster, host: &str, container: &str) -> Value {
    let all = cluster.json(host, &["get", "endpoints", "-o", "json"]);
    let all = all["items"].as_array().unwrap().iter();
    let mut own = all.filter(|one| {
        let id = one["spec"]["containerID"].as_str().unwrap_or_default();
        id.ends_with(container)
    });
    own.next().cloned().unwrap_or(Value::Null)
}

#[test]
fn who_an_endpoint_is_comes_with_it_and_changes() {
    let cluster = Cluster::up("who", &Shape::hosts(2));
    let about = json!({
        "labels": {"app": "web", "old": "yes"}, "profiles": ["base"], "namespace": "shop",
        "namedPorts": [{"name": "web", "protocol": "TCP", "port": 80}],
    });
    let _ = container(&cluster, "a/web", &about);
    let web = endpoint(&cluster, "a", "web");
    assert_eq!(
        web["metadata"]["labels"],
        json!({"app": "web", "old": "yes"})
    );
    assert_eq!(web["metadata"]["namespace"], "shop");
    assert_eq!(web["spec"]["profiles"], json!(["base"]));
    assert_eq!(web["spec"]["namedPorts"], about["namedPorts"]);
    // From another node; that one's own view has followed when the command is back.
    let said = cluster.sh(
        "b",
        "tombolo label endpoint shop/web app=db old- new=1 --profile strict --profile base",
    );
    assert!(
        said.contains("app=db, new=1; profiles strict, base"),
        "{said}"
    );
    let web = endpoint(&cluster, "b", "web");
    assert_eq!(web["metadata"]["labels"], json!({"app": "db", "new": "1"}));
    assert_eq!(web["spec"]["profiles"], json!(["strict", "base"]));
    let _ = cluster.sh("a", "tombolo label endpoint web -n shop --no-profiles");
    assert!(endpoint(&cluster, "a", "web")["spec"]["profiles"].is_null());
    for (words, said) in [
        ("endpoint mail x=y", "no endpoint is called \"mail\""),
        ("endpoint web", "nothing to change"),
        ("endpoint web x=y x-", "given twice"),
    ] {
        let output = cluster.try_sh("a", &format!("tombolo label {words}"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains(said),
            "{words}: {error}"
        );
    }
    // By hand the same is said in words.
    cluster.lab.container("b", "hand").unwrap();
    let _ = cluster.sh("b", "tombolo attach --netns /run/netns/hand --container hand --label app=hand --profile p --named-port dns=UDP/53 -n shop");
    let hand = endpoint(&cluster, "b", "hand");
    assert_eq!(hand["metadata"]["labels"], json!({"app": "hand"}));
    assert_eq!(hand["spec"]["namedPorts"][0]["port"], 53);
}

#[test]
fn who_an_endpoint_is_stays_without_the_store() {
    let cluster = Cluster::up("alone", &Shape::hosts(2));
    cluster.lab.kill_agent("a").unwrap();
    let about = json!({"labels": {"app": "web"}, "profiles": ["base"],
        "namedPorts": [{"name": "web", "protocol": "TCP", "port": 80}]});
    let _ = container(&cluster, "b/web", &about);
    let same = |host: &str| {
        let web = endpoint(&cluster, host, "web");
        let is = web["metadata"]["labels"] == about["labels"]
            && web["spec"]["profiles"] == about["profiles"]
            && web["spec"]["namedPorts"] == about["namedPorts"];
        is.then_some(())
    };
    assert_eq!(same("b"), Some(()));
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.lab.ready("a").unwrap();
    cluster.until("the store knows it", || same("a"));
}

#[test]
fn a_flow_is_explained_by_the_agent_and_by_files() {
    let cluster = Cluster::up("flow", &Shape::hosts(2));
    let web = container(&cluster, "a/web", &json!({"labels": {"app": "web"}}));
    let _ = container(&cluster, "b/client", &json!({"labels": {"role": "client"}}));
    cluster.apply(
        "a",
        "apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {namespace: default, name: web}
spec:
  selector: app == 'web'
  ingress:
    - {action: Allow, protocol: TCP, source: {selector: role == 'client'}, destination: {ports: [80]}}",
    );
    cluster.settle();
    for (question, allowed, said) in [
        (
            "client web 80",
            "allowed",
            "NetworkPolicy default/web ingress rule 1",
        ),
        ("client web 81", "denied", "no, "),
        (
            &format!("node/b {} TCP/80", web[0]),
            "denied",
            "end of tier default",
        ),
        ("node/a web 443", "allowed", "own endpoints"),
        ("web client ICMP/8/0", "allowed", "nothing forbids it"),
    ] {
        let text = cluster.sh("b", &format!("tombolo explain flow {question}"));
        assert!(
            text.starts_with(allowed) && text.contains(said),
            "{question}: {text}"
        );
        let answer = cluster.sh("b", &format!("tombolo explain flow {question} -o json"));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            answer["allowed"],
            allowed == "allowed",
            "{question}: {answer:#}"
        );
    }
    for (question, code, said) in [
        ("client web", 0, ""),
        ("we client", 0, ""),
        ("x web 80", 1, "no endpoint"),
        ("web", 2, "FROM TO"),
    ] {
        let output = cluster.try_sh("b", &format!("tombolo explain flow {question}"));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{question}: {error}");
        assert!(error.contains(said), "{question}: {error}");
    }
}
