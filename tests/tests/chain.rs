//! Chains: Debian's reference plugins before and behind ours, run by a small runtime that keeps the
//! rules of the specification (section 3): order, `prevResult`, capabilities.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use serde_json::{Value, json};
use tombolo_tests::plugin::{Call, nothing_left, one_host};
use tombolo_tests::{Cluster, addresses};

const VERSION: &str = "1.0.0";

/// A configuration list, and what the runtime has for those that declare capabilities.
struct Chain {
    plugins: Vec<Value>,
    runtime: Value,
}

impl Chain {
    /// One plugin's configuration, as the runtime makes it.
    fn config(&self, plugin: &Value, previous: Option<&Value>) -> Value {
        let mut config = plugin.clone();
        config["cniVersion"] = json!(VERSION);
        config["name"] = json!("chain");
        let declared = config["capabilities"].take();
        let declared = declared.as_object().cloned().unwrap_or_default();
        config.as_object_mut().unwrap().remove("capabilities");
        let provided = self.runtime.as_object().unwrap();
        let both = provided
            .iter()
            .filter(|(name, _)| declared.get(*name) == Some(&json!(true)));
        config["runtimeConfig"] = both.map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Some(previous) = previous {
            config["prevResult"] = previous.clone();
        }
        config
    }

    fn call(
        &self,
        cluster: &Cluster,
        (verb, container): (&str, &str),
        plugin: &Value,
        previous: Option<&Value>,
    ) -> Value {
        let kind = plugin["type"].as_str().unwrap();
        let mut call = Call::new(verb, container)
            .variable("CNI_PATH", "/usr/lib/cni")
            .variable("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        if kind != "tombolo-cni" {
            call.program = format!("/usr/lib/cni/{kind}");
        }
        call.config = self.config(plugin, previous);
        call.on(cluster).succeeded()
    }

    /// ADD goes forward, each with the result of the one before; the last one's is the final one.
    fn add(&self, cluster: &Cluster, container: &str) -> Value {
        let mut result: Option<Value> = None;
        for plugin in &self.plugins {
            result = Some(self.call(cluster, ("ADD", container), plugin, result.as_ref()));
        }
        result.unwrap()
    }

    /// CHECK goes forward, each with the final result. That of portmap 1.1.1 looks for the rules of
    /// one family in the other's tables wherever both exist, and never succeeds.
    fn check(&self, cluster: &Cluster, container: &str, result: &Value) {
        let sound = self
            .plugins
            .iter()
            .filter(|plugin| plugin["type"] != "portmap");
        for plugin in sound {
            self.call(cluster, ("CHECK", container), plugin, Some(result));
        }
    }

    /// DEL goes backward, each with the final result.
    fn del(&self, cluster: &Cluster, container: &str, result: &Value) {
        for plugin in self.plugins.iter().rev() {
            self.call(cluster, ("DEL", container), plugin, Some(result));
        }
    }
}

#[test]
fn portmap_bandwidth_and_tuning_behind_ours() {
    let cluster = one_host("chain");
    let chain = Chain {
        plugins: vec![
            json!({"type": "tombolo-cni", "network": "default"}),
            json!({"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}),
            json!({"type": "bandwidth", "capabilities": {"bandwidth": true}}),
            json!({"type": "tuning", "sysctl": {"net.ipv4.conf.all.log_martians": "1"},
                   "mac": "02:00:00:00:00:77", "promisc": true}),
        ],
        runtime: json!({
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
            "bandwidth": {"ingressRate": 80_000_000, "ingressBurst": 8_000_000},
        }),
    };
    cluster.lab.container("a", "c1").unwrap();
    let result = chain.add(&cluster, "c1");
    assert_eq!(addresses(&result).len(), 2, "{result}");
    chain.check(&cluster, "c1", &result);
    // Each has done its part, and ours has not undone it after some passes over the kernel.
    cluster.apply(
        "a",
        "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {name: more}\nspec: {cidr: 10.61.0.0/16}\n",
    );
    cluster.settle();
    let link = cluster.sh("a/c1", "ip -d link show eth0");
    assert!(
        link.contains("02:00:00:00:00:77") && link.contains("PROMISC"),
        "{link}"
    );
    let shaped = cluster.sh("a", "tc qdisc show");
    assert!(shaped.contains("tbf"), "{shaped}");
    let _server = cluster
        .lab
        .spawn(
            "a/c1",
            &[
                "socat",
                "TCP4-LISTEN:80,fork,reuseaddr",
                "SYSTEM:echo hello",
            ],
        )
        .unwrap();
    let _ = cluster.sh("a/c1", "until ss -lnt | grep -q ':80 '; do :; done");
    let said = cluster.sh("a", "socat -T2 - TCP4:192.168.50.11:8080 < /dev/null");
    assert_eq!(said.trim(), "hello");
    assert!(
        cluster.pings("a/c1", "203.0.113.1"),
        "the container is cut off"
    );
    chain.check(&cluster, "c1", &result);
    chain.del(&cluster, "c1", &result);
    chain.del(&cluster, "c1", &result);
    nothing_left(&cluster);
    let nat = cluster.sh(
        "a",
        "iptables-nft-save -t nat | grep -c to-destination || true",
    );
    assert_eq!(nat.trim(), "0", "portmap's rules are left");
}

#[test]
fn another_interface_before_ours_stays_in_the_result() {
    let cluster = one_host("chain-before");
    let chain = Chain {
        plugins: vec![
            json!({"type": "loopback"}),
            json!({"type": "tombolo-cni", "network": "default"}),
            json!({"type": "tuning", "sysctl": {"net.ipv4.conf.all.log_martians": "1"}}),
        ],
        runtime: json!({}),
    };
    cluster.lab.container("a", "c1").unwrap();
    let result = chain.add(&cluster, "c1");
    let names: Vec<&str> = result["interfaces"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|interface| interface["name"].as_str())
        .collect();
    assert!(
        names.contains(&"lo") && names.contains(&"eth0"),
        "{names:?}"
    );
    // Addresses point at the interface that they are on.
    for ip in result["ips"].as_array().unwrap() {
        let index = ip["interface"].as_u64().unwrap() as usize;
        let address = ip["address"].as_str().unwrap();
        let is_loopback = address.starts_with("127.") || address.starts_with("::1");
        assert_eq!(names[index] == "lo", is_loopback, "{result}");
    }
    assert!(
        cluster.pings("a/c1", "203.0.113.1"),
        "the container is cut off"
    );
    chain.del(&cluster, "c1", &result);
    nothing_left(&cluster);
}
