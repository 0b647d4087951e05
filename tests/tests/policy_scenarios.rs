//! What happens to policy while things happen: traffic, restarts, others' hands on the packet filter,
//! forged packets.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::Instant;

use serde_json::json;
use tombolo_lab::measure::{Flow, FlowCount};
use tombolo_model::Family;
use tombolo_tests::probe::What;
use tombolo_tests::stage::run;
use tombolo_tests::troupe::Troupe;
use tombolo_tests::{Cluster, Shape};

const TCP: What = What::Tcp(80);
const PING: What = What::Icmp(8, 0);

/// Servers are reached by clients alone.
fn policy(name: &str, client: &str) -> String {
    format!(
        "---
apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {{name: {name}}}
spec: {{selector: app == 'web', ingress: [{{action: Allow, source: {{selector: app == '{client}'}}}}]}}
"
    )
}

/// A server on a, a client and somebody else on b.
fn three(troupe: &mut Troupe<'_>, network: &str) -> [usize; 3] {
    [("a", "web"), ("b", "client"), ("b", "other")].map(|(host, app)| {
        let labels = json!({"labels": {"app": app}});
        troupe.container(&format!("{host}/{app}"), network, &labels)
    })
}

#[test]
fn an_allowed_stream_loses_nothing_while_policies_change() {
    let cluster = Cluster::up("pol-traffic", &Shape::hosts(2));
    let mut troupe = Troupe::new(&cluster);
    let [web, client, other] = three(&mut troupe, "default");
    cluster.apply("a", &policy("web", "client"));
    cluster.settle();
    let flows = Family::ALL.map(|family| {
        let to = troupe.address(web, family);
        Flow::start(&cluster.lab, "b/client", "a/web", to, 500).unwrap()
    });
    for round in 0..100 {
        let text = policy("unrelated", &format!("nobody{round}"));
        let text = text.replace("app == 'web'", "app == 'other'");
        cluster.apply("a", &text);
    }
    cluster.settle();
    for flow in flows {
        let FlowCount { sent, received, .. } = flow.stop().unwrap();
        assert!(sent > 50, "{sent} packets are too few to tell");
        assert_eq!(sent, received, "packets were lost");
    }
    troupe.assert(other, web, TCP, false);
    troupe.assert(client, web, TCP, true);
    troupe.assert(web, other, TCP, false);
}

#[test]
fn the_first_packet_of_a_container_meets_its_policy() {
    let cluster = Cluster::up("pol-first", &Shape::hosts(2));
    cluster.apply("a", &policy("web", "client"));
    cluster.settle();
    let _ = cluster.container("b", "other", "default");
    for round in 0..5 {
        let address = format!("10.244.0.{}", 40 + round);
        let script = format!("ping -n -i 0.01 {address} | tee /run/pings");
        let pings = cluster
            .lab
            .spawn("b/other", &["sh", "-c", &script])
            .unwrap();
        let config = json!({"labels": {"app": "web"}, "runtimeConfig": {"ips": [address]}});
        let mut whole = tombolo_lab::Lab::config("default");
        for (key, value) in config.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let got = cluster.container_with("a", &format!("web{round}"), &whole);
        assert_eq!(got[0], address);
        // It is there and would be reached: its own host may.
        cluster.until("its host reaches it", || {
            cluster.pings("a", &address).then_some(())
        });
        let said = cluster.sh("b/other", "cat /run/pings");
        assert!(!said.contains("bytes from"), "an answer came: {said}");
        drop(pings);
    }
}

#[test]
fn the_last_policy_stands_while_the_agent_is_away() {
    let cluster = Cluster::up("pol-killed", &Shape::hosts(2));
    let mut troupe = Troupe::new(&cluster);
    let [web, client, other] = three(&mut troupe, "default");
    cluster.apply("a", &policy("web", "client"));
    cluster.settle();
    for round in 0..3 {
        let allowed = if round % 2 == 0 { "other" } else { "client" };
        // In the middle: it is told, and killed before it can have done all of it.
        let yaml = policy("web", allowed);
        cluster.apply("a", &yaml);
        cluster.lab.kill_agent("b").unwrap();
        cluster.lab.kill_agent("a").unwrap();
        let reached = [client, other].map(|from| {
            let through = troupe.get_through(from, web, TCP, false);
            assert!(
                through.iter().all(|one| *one == through[0]),
                "one family only"
            );
            through[0]
        });
        assert_ne!(
            reached[0], reached[1],
            "either the one policy or the other stands"
        );
        cluster.lab.start_agent("a", &[]).unwrap();
        cluster.lab.start_agent("b", &[]).unwrap();
        cluster.settle();
        troupe.assert(client, web, TCP, allowed == "client");
        troupe.assert(other, web, TCP, allowed == "other");
    }
}

#[test]
fn a_flushed_ruleset_is_back_at_once() {
    let cluster = Cluster::up("pol-flush", &Shape::hosts(2));
    let mut troupe = Troupe::new(&cluster);
    let [web, client, other] = three(&mut troupe, "default");
    cluster.apply("a", &policy("web", "client"));
    cluster.settle();
    troupe.assert(other, web, TCP, false);
    let host = troupe.netns("a");
    // The filter comes back in one transaction: all of it is there when this is.
    let maps = "nft list map inet tombolo ingress-ipv4 2> /dev/null || true";
    let mut windows = Vec::new();
    for _ in 0..5 {
        let _ = run(&host, "nft flush ruleset");
        let begun = Instant::now();
        cluster.until("the filter is whole again", || {
            run(&host, maps).contains("goto").then_some(())
        });
        windows.push(begun.elapsed());
        troupe.assert(other, web, TCP, false);
        troupe.assert(client, web, TCP, true);
    }
    windows.sort();
    println!(
        "denied again after {:?} (median), {:?} (worst)",
        windows[2], windows[4]
    );
    assert!(windows[4].as_secs() < 2, "{windows:?}");
}

#[test]
fn a_thousand_changes_of_a_label_end_right() {
    let cluster = Cluster::up("pol-labels", &Shape::hosts(2));
    let mut troupe = Troupe::new(&cluster);
    let [web, client, other] = three(&mut troupe, "default");
    cluster.apply("a", &policy("web", "client"));
    cluster.settle();
    troupe.assert(other, web, TCP, false);
    let flips = "for i in $(seq 250); do
            tombolo label endpoint other app=client && tombolo label endpoint other app=other || exit 1
        done > /dev/null";
    let flip = |host: &str| {
        let output = cluster.try_sh(host, flips);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    // From both nodes at once, and the last word is known only afterwards.
    std::thread::scope(|scope| {
        for host in ["a", "b"] {
            scope.spawn(move || flip(host));
        }
    });
    for (label, allowed) in [("client", true), ("other", false)] {
        let _ = cluster.sh("b", &format!("tombolo label endpoint other app={label}"));
        cluster.settle();
        troupe.assert(other, web, TCP, allowed);
        troupe.assert(client, web, TCP, true);
    }
}

#[test]
fn networks_are_apart_unless_both_are_open_or_a_rule_says_so() {
    let cluster = Cluster::up("pol-apart", &Shape::hosts(2));
    let network = |isolation: &str| {
        format!(
            "{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: second4}}, spec: {{cidr: 10.60.0.0/16}}}}
---
{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: second6}}, spec: {{cidr: 'fd60::/64', blockSize: 122}}}}
---
{{apiVersion: tombolo.dev/v1, kind: Network, metadata: {{name: second}}, spec: {{driver: routed, transport: {{type: vxlan, vni: 99}},
  pools: [second4, second6], isolation: {isolation}}}}}"
        )
    };
    let first = |isolation: &str| {
        format!(
            "{{apiVersion: tombolo.dev/v1, kind: Network, metadata: {{name: default}}, spec: {{driver: routed, transport: {{type: vxlan}},
  pools: [default-v4, default-v6], isolation: {isolation}}}}}"
        )
    };
    cluster.apply("a", &network("network"));
    cluster.settle();
    let mut troupe = Troupe::new(&cluster);
    let web = troupe.container("a/web", "default", &json!({"labels": {"app": "web"}}));
    let near = troupe.container("a/near", "second", &json!({"labels": {"app": "client"}}));
    let far = troupe.container("b/far", "second", &json!({"labels": {"app": "client"}}));
    let both = |troupe: &mut Troupe<'_>, there, back| {
        for other in [near, far] {
            troupe.assert(other, web, TCP, there);
            troupe.assert(web, other, PING, back);
        }
    };
    both(&mut troupe, false, false);
    troupe.assert(near, far, TCP, true);
    cluster.apply("a", &network("none"));
    cluster.settle();
    both(&mut troupe, false, false);
    cluster.apply("a", &first("none"));
    cluster.settle();
    both(&mut troupe, true, true);
    cluster.apply("a", &first("network"));
    cluster.apply("a", &policy("web", "client"));
    cluster.settle();
    both(&mut troupe, true, false);
    troupe.agree(&[TCP, PING, What::Udp(81)]);
}

#[test]
fn a_host_is_closed_but_for_failsafe_ports() {
    let cluster = Cluster::up("pol-host", &Shape::hosts(2));
    let mut troupe = Troupe::new(&cluster);
    let hosts = [troupe.host("a"), troupe.host("b")];
    let [web, client, _] = three(&mut troupe, "default");
    let whats = [TCP, What::Tcp(22), What::Udp(81), PING];
    let before = troupe.agree(&whats);
    cluster.apply(
        "a",
        "apiVersion: tombolo.dev/v1
kind: HostEndpoint
metadata: {name: a-eth0, labels: {role: host}}
spec: {node: a, interfaceName: eth0}
---
apiVersion: tombolo.dev/v1
kind: GlobalNetworkPolicy
metadata: {name: hosts}
spec: {selector: role == 'host', ingress: [{action: Allow, protocol: TCP, destination: {ports: [81]}}], egress: [{action: Allow}]}
",
    );
    cluster.settle();
    for (from, what, expected) in [
        (hosts[1], TCP, false),
        (hosts[1], What::Tcp(22), true),
        (hosts[1], What::Tcp(81), true),
        (hosts[1], PING, false),
        (web, TCP, true),
    ] {
        troupe.assert(from, hosts[0], what, expected);
    }
    troupe.assert(client, web, TCP, true);
    // The cluster goes on: nodes still talk to the store and by tunnels.
    let after = troupe.agree(&whats);
    assert!(after.1 > before.1, "{before:?}, {after:?}");
    let _ = cluster.sh("b", "tombolo status --wait");
}

#[test]
fn macvlan_endpoints_are_judged_in_their_sandbox() {
    let cluster = Cluster::up("pol-macvlan", &Shape::hosts(2));
    cluster.apply(
        "a",
        "{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: lan4}, spec: {cidr: 192.168.50.0/24, blockSize: 28}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: lan6}, spec: {cidr: 'fd50::/64', blockSize: 124}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: lan}, spec: {driver: macvlan, macvlan: {parent: eth0}, gateway: [192.168.50.1, 'fd50::1'], pools: [lan4, lan6]}}",
    );
    cluster.settle();
    let mut troupe = Troupe::new(&cluster);
    let [web, client, other] = three(&mut troupe, "lan");
    troupe.assert(other, web, TCP, true);
    cluster.apply("a", &policy("web", "client"));
    cluster.settle();
    troupe.assert(other, web, TCP, false);
    troupe.assert(other, web, PING, false);
    troupe.assert(client, web, TCP, true);
    troupe.assert(web, other, TCP, true);
    troupe.agree(&[TCP, PING]);
}

#[test]
fn a_chain_is_explained_by_its_policy() {
    let cluster = Cluster::up("pol-explain", &Shape::hosts(1));
    let web = json!({"labels": {"app": "web"}});
    let mut troupe = Troupe::new(&cluster);
    let _ = troupe.container("a/web", "default", &web);
    cluster.apply("a", &policy("web", "client"));
    cluster.settle();
    let chains = run(&troupe.netns("a"), "nft list chains");
    let chain = chains
        .lines()
        .filter_map(|line| line.trim().strip_prefix("chain "));
    let mut chain = chain.map(|line| line.trim_end_matches(" {"));
    let chain = chain.find(|name| name.contains("np/default/web"));
    let chain = chain.unwrap_or_else(|| panic!("no chain is of the policy: {chains}"));
    let text = cluster.sh("a", &format!("tombolo explain nft chain {chain}"));
    assert!(text.contains("NetworkPolicy default/web"), "{text}");
}

/// The same network for all: a server, somebody whose addresses are forged, and who forges them.
const NETWORKS: &str = "
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: br4}, spec: {cidr: 10.61.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: br6}, spec: {cidr: 'fd61::/64', blockSize: 122}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: br}, spec: {driver: bridge, pools: [br4, br6]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: over4}, spec: {cidr: 10.62.0.0/24, space: over, blockSize: 28}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: over6}, spec: {cidr: 'fd62::/64', space: over}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: over}, spec: {driver: overlay, transport: {type: vxlan}, pools: [over4, over6]}}
";

#[test]
fn nobody_sends_as_somebody_else() {
    let cluster = Cluster::up("pol-spoof", &Shape::hosts(2));
    cluster.apply("a", NETWORKS);
    cluster.settle();
    let mut troupe = Troupe::new(&cluster);
    for network in ["default", "br", "over"] {
        let far = if network == "br" { "a" } else { "b" };
        let mut actor = |host: &str, name: &str| {
            let place = format!("{host}/{network}-{name}");
            (troupe.container(&place, network, &json!({})), place)
        };
        let (server, server_place) = actor(far, "server");
        let (victim, _) = actor("a", "victim");
        let (forger, forger_place) = actor("a", "forger");
        for what in [TCP, What::Udp(80), PING] {
            troupe.assert(forger, server, what, true);
        }
        let netns = troupe.netns(&forger_place);
        for family in Family::ALL {
            let forged = troupe.address(victim, family);
            let bits = if forged.is_ipv4() { 32 } else { 128 };
            let nodad = if forged.is_ipv4() { "" } else { "nodad" };
            let _ = run(
                &netns,
                &format!("ip addr add {forged}/{bits} dev eth0 {nodad}"),
            );
            let heard = troupe.forge(forger, server, forged);
            assert_eq!(heard, [false, false], "{network}: heard from {forged}");
            // It has the address now, and answers who asks where it is; nobody may believe it.
            let asks =
                format!("ip neigh flush dev eth0; ping -c3 -i0.05 -W1 {forged} || true; ip neigh");
            let known = run(&troupe.netns(&server_place), &asks);
            let own = run(&netns, "ip -o link show eth0 | sed 's/.*ether //; s/ .*//'");
            let lies = known
                .lines()
                .any(|line| line.starts_with(&format!("{forged} ")) && line.contains(own.trim()));
            assert!(
                !lies,
                "{network}: {forged} is believed to be at {own}: {known}"
            );
            let _ = run(&netns, &format!("ip addr del {forged}/{bits} dev eth0"));
        }
        if network != "default" {
            let _ = run(
                &netns,
                "ip link set eth0 address 02:00:00:00:99:99; ip neigh flush dev eth0",
            );
            for what in [What::Udp(80), PING] {
                let through = troupe.get_through(forger, server, what, false);
                assert_eq!(through, [false, false], "{network}: a forged MAC {what:?}");
            }
        }
    }
    // Without the filter, and nobody who repairs it, the same is heard: it was the filter's doing.
    cluster.lab.kill_agent("a").unwrap();
    let _ = cluster.sh("a", "nft flush chain bridge tombolo spoofing");
    let [server, victim, forger] = [3, 4, 5];
    let forged = troupe.address(forger, Family::V4);
    let _ = cluster.sh(
        "a",
        &format!("ip -n br-victim addr add {forged}/32 dev eth0"),
    );
    assert_eq!(troupe.forge(victim, server, forged), [true, true]);
}
