//! Policy, seen from those who use it: who an endpoint is, why a flow is let through or not, what was
//! denied, what is not in force.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use tombolo_lab::Lab;
use tombolo_tests::{Cluster, Shape};

/// How long an answer may take that is expected, or that is expected not to come.
const ANSWER: Duration = Duration::from_secs(2);

/// Who may talk to `web`: clients, to port 80 and 53.
const WEB: &str = "apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {namespace: default, name: web}
spec:
  selector: app == 'web'
  ingress:
    - {action: Allow, protocol: TCP, source: {selector: role == 'client'}, destination: {ports: [80]}}
    - {action: Allow, protocol: UDP, source: {selector: role == 'client'}, destination: {ports: [53]}}";

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
    cluster.apply("a", WEB);
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

/// What is sent comes back, by TCP on port 80 and by UDP on port 53.
fn serve(cluster: &Cluster, place: &str) {
    let (tcp, udp) = cluster.inside(place, || {
        (
            TcpListener::bind("0.0.0.0:80").unwrap(),
            UdpSocket::bind("0.0.0.0:53").unwrap(),
        )
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) && stream.write_all(&byte).is_ok() {}
            });
        }
    });
    std::thread::spawn(move || {
        let mut byte = [0];
        while let Ok((_, from)) = udp.recv_from(&mut byte) {
            let _ = udp.send_to(&byte, from);
        }
    });
}

/// A client's connections to the server.
struct Client {
    tcp: TcpStream,
    udp: UdpSocket,
}

impl Client {
    fn connect(cluster: &Cluster, place: &str, server: &str) -> Client {
        let (tcp, udp) = cluster.inside(place, || {
            let tcp = TcpStream::connect((server, 80)).unwrap();
            let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
            udp.connect((server, 53)).unwrap();
            (tcp, udp)
        });
        tcp.set_read_timeout(Some(ANSWER)).unwrap();
        udp.set_read_timeout(Some(ANSWER)).unwrap();
        Client { tcp, udp }
    }

    /// Whether both connections answer: TCP and UDP.
    fn answers(&mut self) -> (bool, bool) {
        let mut byte = [0];
        let tcp = self.tcp.write_all(b"x").is_ok() && matches!(self.tcp.read(&mut byte), Ok(1));
        let udp = self.udp.send(b"x").is_ok() && matches!(self.udp.recv(&mut byte), Ok(1));
        (tcp, udp)
    }
}

/// A counter of a host's metrics.
fn metric(cluster: &Cluster, host: &str, name: &str) -> u64 {
    let text = cluster.sh(host, "curl -s localhost:7463/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

#[test]
fn a_label_that_goes_cuts_exactly_its_connections() {
    let cluster = Cluster::up("cut", &Shape::hosts(2));
    let web = container(&cluster, "a/web", &json!({"labels": {"app": "web"}}));
    for place in ["a/near", "b/far", "b/other"] {
        let _ = container(&cluster, place, &json!({"labels": {"role": "client"}}));
    }
    cluster.settle();
    serve(&cluster, "a/web");
    let mut near = Client::connect(&cluster, "a/near", &web[0]);
    let mut far = Client::connect(&cluster, "b/far", &web[0]);
    let mut other = Client::connect(&cluster, "b/other", &web[0]);
    for client in [&mut near, &mut far, &mut other] {
        assert_eq!(client.answers(), (true, true), "before there is a policy");
    }
    cluster.apply("b", WEB);
    cluster.settle();
    for client in [&mut near, &mut far, &mut other] {
        assert_eq!(client.answers(), (true, true), "the policy lets them go on");
    }
    assert_eq!(metric(&cluster, "a", "tombolo_connections_cut_total"), 0);
    let _ = cluster.sh(
        "b",
        "tombolo label endpoint far role-; tombolo label endpoint near role=guest",
    );
    cluster.settle();
    assert_eq!(far.answers(), (false, false), "it is no client any more");
    assert_eq!(
        near.answers(),
        (false, false),
        "nor is that on the host itself"
    );
    assert_eq!(
        other.answers(),
        (true, true),
        "what was not touched goes on"
    );
    assert_eq!(metric(&cluster, "a", "tombolo_connections_cut_total"), 4);
    assert_eq!(metric(&cluster, "b", "tombolo_connections_cut_total"), 0);
    // Who is let in again begins anew.
    let _ = cluster.sh("a", "tombolo label endpoint far role=client");
    let mut again = Client::connect(&cluster, "b/far", &web[0]);
    assert_eq!(again.answers(), (true, true));
    cluster.settle();
    let (_, udp) = far.answers();
    assert!(udp, "and what has no connection is let through again");
    assert_eq!(cluster.status("a")["problems"], json!([]));
}

#[test]
fn what_is_denied_is_told_with_names_and_counted() {
    let cluster = Cluster::up("denials", &Shape::hosts(2));
    let web = container(&cluster, "a/web", &json!({"labels": {"app": "web"}}));
    let _ = container(&cluster, "b/guest", &json!({}));
    cluster.apply("a", WEB);
    cluster.settle();
    let denials = cluster.sh("a", "tombolo get denials");
    assert_eq!(denials.trim(), "nothing was denied lately");
    cluster.inside("b/guest", || {
        let to = format!("{}:80", web[0]).parse().unwrap();
        assert!(TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_err());
    });
    let denial = cluster.until("it is told", || {
        let all = cluster.json("a", &["get", "denials", "-o", "json"]);
        all.as_array().unwrap().first().cloned()
    });
    assert!(
        denial["from"]["name"].to_string().contains("guest"),
        "{denial:#}"
    );
    assert!(
        denial["to"]["name"].to_string().contains("web"),
        "{denial:#}"
    );
    assert_eq!(
        (&denial["protocol"], &denial["destinationPort"]),
        (&json!("TCP"), &json!(80))
    );
    assert!(
        denial["deniedBy"].to_string().contains("tier default"),
        "{denial:#}"
    );
    let first = cluster.sh("a", "timeout 10 tombolo get denials --watch | head -n 1");
    assert!(
        first.contains("TCP/80") && first.contains("default/b.b-guest.eth0"),
        "{first}"
    );
    let table = cluster.sh("a", "tombolo get denials");
    assert!(
        table.starts_with("WHEN") && table.contains("DENIED BY"),
        "{table}"
    );
    let denied = "tombolo_denied_packets_total{policy=\"ingress at the end of tier default\"} ";
    let counted = metric(&cluster, "a", denied);
    assert!(counted >= 1, "{counted}");
    // Counts survive that the chain is made anew.
    cluster.apply("a", &WEB.replace("[80]", "[80, 81]"));
    cluster.settle();
    assert!(metric(&cluster, "a", denied) >= counted);
    // Nothing is told on the host that let it go.
    assert_eq!(
        cluster.json("b", &["get", "denials", "-o", "json"]),
        json!([])
    );
}

#[test]
fn a_change_is_foreseen() {
    let cluster = Cluster::up("foresee", &Shape::hosts(1));
    let _ = container(&cluster, "a/web", &json!({"labels": {"app": "web"}}));
    let _ = container(&cluster, "a/guest", &json!({}));
    let dry = |yaml: &str| {
        let script = format!(
            "cat > /run/dry.yaml <<'END'\n{yaml}\nEND\ntombolo apply --dry-run -f /run/dry.yaml"
        );
        cluster.sh("a", &script)
    };
    let said = dry(WEB);
    let change = "default/a.a-guest.eth0 → default/a.a-web.eth0";
    assert!(
        said.starts_with("NetworkPolicy default/web would be created\n"),
        "{said}"
    );
    assert!(
        said.contains(change) && said.contains("allowed → denied"),
        "{said}"
    );
    let none = cluster.json("a", &["get", "networkpolicies", "-o", "json"]);
    assert_eq!(none["items"], json!([]), "nothing was done");
    cluster.apply("a", WEB);
    assert!(dry(WEB).contains("nothing would change"));
    let wider = WEB.replace("source: {selector: role == 'client'}, ", "");
    let said = dry(&wider);
    assert!(said.contains("denied → allowed"), "{said}");
    let answer = cluster.sh("a", "tombolo apply --dry-run -f /run/dry.yaml -o json");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["flows"]["changes"][0]["allowed"], true, "{answer:#}");
    assert_eq!(answer["applied"][0]["action"], "configured");
}

#[test]
fn a_policy_that_cannot_be_read_stays_as_it_was_and_is_told() {
    let cluster = Cluster::up("alarm", &Shape::hosts(2));
    let web = container(&cluster, "a/web", &json!({"labels": {"app": "web"}}));
    let _ = container(&cluster, "b/guest", &json!({}));
    cluster.apply("a", WEB);
    cluster.settle();
    serve(&cluster, "a/web");
    // A newer program writes what this one does not understand.
    let etcdctl = "cd /var/lib/tombolo; ETCDCTL_API=3 etcdctl --endpoints https://192.168.50.11:7460 --cacert ca.crt --cert node.crt --key node.key";
    let key = "/tombolo/v1/networkpolicies/default/web";
    let put = r#"{"metadata":{"namespace":"default","name":"web"},"spec":{"selector":"all()","speed":"fast"}}"#;
    let _ = cluster.sh("a", &format!("{etcdctl} put {key} '{put}'"));
    let alarm = |host: &str| {
        let problems = cluster.status(host)["problems"].to_string();
        (problems.contains("NetworkPolicy default/web cannot be read")
            && problems.contains("speed"))
        .then_some(())
    };
    for host in ["a", "b"] {
        cluster.until("the alarm is raised", || alarm(host));
        let checked = cluster.try_sh(host, "tombolo status --check");
        assert_eq!(checked.status.code(), Some(1));
    }
    let blocked = || {
        cluster.inside("b/guest", || {
            let to = format!("{}:80", web[0]).parse().unwrap();
            TcpStream::connect_timeout(&to, Duration::from_millis(300)).is_err()
        })
    };
    assert!(blocked(), "the policy before stays in force");
    // So it does over a restart of the agent.
    cluster.lab.kill_agent("b").unwrap();
    cluster.lab.kill_agent("a").unwrap();
    for host in ["a", "b"] {
        cluster.lab.start_agent(host, &[]).unwrap();
        cluster.lab.ready(host).unwrap();
    }
    assert!(blocked(), "the policy before stays in force");
    assert_eq!(alarm("a"), Some(()));
    let text = cluster.sh("a", "tombolo get networkpolicies");
    assert!(
        text.contains("app == 'web'") || text.contains("app == \"web\""),
        "{text}"
    );
    cluster.apply("a", WEB);
    for host in ["a", "b"] {
        cluster.until("the alarm is over", || alarm(host).is_none().then_some(()));
    }
    assert!(blocked());
}
