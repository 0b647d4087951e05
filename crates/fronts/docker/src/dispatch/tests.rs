use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

/// A plugin whose agent does not run.
fn plugin(folder: &Path) -> Plugin {
    Plugin::new(Settings {
        socket: folder.join("tombolo.sock"),
        agent: folder.join("agent.sock"),
        docker: folder.join("docker.sock"),
        state_dir: folder.to_owned(),
    })
    .unwrap()
}

fn answer(plugin: &Plugin, path: &str, body: &Value) -> Value {
    let reply = plugin.call(path, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

const CALLS: &[&str] = &[
    "/NetworkDriver.CreateNetwork",
    "/NetworkDriver.DeleteNetwork",
    "/NetworkDriver.CreateEndpoint",
    "/NetworkDriver.DeleteEndpoint",
    "/NetworkDriver.EndpointOperInfo",
    "/NetworkDriver.Join",
    "/NetworkDriver.Leave",
    "/NetworkDriver.ProgramExternalConnectivity",
    "/NetworkDriver.RevokeExternalConnectivity",
    "/NetworkDriver.DiscoverNew",
    "/NetworkDriver.DiscoverDelete",
    "/IpamDriver.RequestPool",
    "/IpamDriver.ReleasePool",
    "/IpamDriver.RequestAddress",
    "/IpamDriver.ReleaseAddress",
];

#[test]
fn libnetwork_1_what_cannot_be_decoded_is_refused_by_status() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = plugin(folder.path());
    for path in CALLS {
        for body in ["{", "", "\u{0}", "{\"NetworkID\": [1]", "nul"] {
            let reply = plugin.call(path, body.as_bytes());
            assert_eq!(reply.status, 400, "{path} {body:?}: {}", reply.body);
            assert!(reply.body.contains("the body is not understood"));
        }
    }
}

#[test]
fn libnetwork_2_what_is_no_call_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = plugin(folder.path());
    for path in [
        "/NetworkDriver.Foo",
        "/",
        "/NetworkDriver.AllocateNetwork",
        "/VolumeDriver.List",
    ] {
        assert_eq!(plugin.call(path, b"{}").status, 404, "{path}");
    }
}

#[test]
fn libnetwork_3_what_cannot_be_done_has_its_word_for_errors() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = plugin(folder.path());
    for path in CALLS.iter().filter(|path| !path.contains("Discover")) {
        let said = answer(&plugin, path, &json!({}));
        let (field, other) = match path.starts_with("/IpamDriver.") {
            true => ("Error", "Err"),
            false => ("Err", "Error"),
        };
        assert!(said.get(other).is_none(), "{path}: {said}");
        let text = said[field]
            .as_str()
            .unwrap_or_else(|| panic!("{path}: {said}"));
        // What is missing is named, or that the agent does not run.
        assert!(
            text.contains("is missing") || text.contains("does not answer"),
            "{path}: {text}"
        );
    }
}

#[test]
fn libnetwork_5_it_says_what_it_implements() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = plugin(folder.path());
    // Docker sends no body with these.
    let said = plugin.call("/Plugin.Activate", b"");
    assert_eq!(
        said.body,
        r#"{"Implements":["NetworkDriver","IpamDriver"]}"#
    );
    let said = plugin.call("/NetworkDriver.GetCapabilities", b"");
    let said: Value = serde_json::from_str(&said.body).unwrap();
    assert_eq!(
        said,
        json!({"Scope": "local", "ConnectivityScope": "global"})
    );
    let said = plugin.call("/IpamDriver.GetCapabilities", b"");
    let said: Value = serde_json::from_str(&said.body).unwrap();
    assert_eq!(
        said,
        json!({"RequiresMACAddress": true, "RequiresRequestReplay": false})
    );
    let said = answer(&plugin, "/IpamDriver.GetDefaultAddressSpaces", &json!({}));
    assert_ne!(
        said["LocalDefaultAddressSpace"],
        said["GlobalDefaultAddressSpace"]
    );
    for call in ["DiscoverNew", "DiscoverDelete"] {
        let node =
            json!({"DiscoveryType": 1, "DiscoveryData": {"Address": "10.0.0.1", "self": true}});
        assert_eq!(
            answer(&plugin, &format!("/NetworkDriver.{call}"), &node),
            json!({})
        );
    }
}

fn pool(pool: &str, sub: &str, options: Value, v6: bool) -> Value {
    json!({"AddressSpace": SPACES[0], "Pool": pool, "SubPool": sub, "Options": options, "V6": v6})
}

#[test]
fn libnetwork_102_the_same_pool_is_the_same_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = plugin(folder.path());
    let ask = |body: &Value| answer(&plugin, "/IpamDriver.RequestPool", body);
    let body = pool("10.7.0.0/24", "", Value::Null, false);
    let first = ask(&body);
    assert_eq!(first, ask(&body));
    assert_eq!(first["Pool"], "10.7.0.0/24");
    assert_eq!(
        first["PoolID"],
        ask(&pool("10.7.0.3/24", "", json!({}), false))["PoolID"]
    );
    let part = pool("10.7.0.0/24", "10.7.0.128/25", Value::Null, false);
    assert_ne!(first["PoolID"], ask(&part)["PoolID"]);
    let id = first["PoolID"].as_str().unwrap();
    let count = || plugin.state.read(|memory| memory.pools.get(id).copied());
    assert_eq!(count(), Some(3));
    let release = json!({"PoolID": id});
    for left in [Some(2), Some(1), None, None] {
        assert_eq!(
            answer(&plugin, "/IpamDriver.ReleasePool", &release),
            json!({})
        );
        assert_eq!(count(), left);
    }
}

#[test]
fn libnetwork_104_pools_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = plugin(folder.path());
    for (body, word) in [
        (pool("", "10.7.0.0/25", Value::Null, false), "--subnet"),
        (
            pool("10.7.0.0/24", "10.8.0.0/25", Value::Null, false),
            "--ip-range",
        ),
        (pool("ten", "", Value::Null, false), "Pool \"ten\""),
        (pool("10.7.0.0/24", "", Value::Null, true), "ipv6"),
        (
            pool("10.7.0.0/24", "", json!({"colour": "red"}), false),
            "--ipam-opt colour",
        ),
        (
            pool("10.7.0.0/24", "", json!({"network": "/"}), false),
            "--ipam-opt network",
        ),
    ] {
        let said = answer(&plugin, "/IpamDriver.RequestPool", &body);
        assert!(
            said["Error"].as_str().unwrap().contains(word),
            "{body}: {said}"
        );
    }
}

#[test]
fn libnetwork_108_gateways_and_auxiliary_addresses_are_arithmetic() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = plugin(folder.path());
    let gateway = json!({"RequestAddressType": "com.docker.network.gateway"});
    let ask = |pool: &str, address: &str, options: &Value| {
        let body = json!({"PoolID": pool, "Address": address, "Options": options});
        answer(&plugin, "/IpamDriver.RequestAddress", &body)
    };
    for (pool, address, options, said) in [
        ("10.7.0.0/24", "", &gateway, "10.7.0.1/24"),
        ("10.7.0.0/24", "10.7.0.254", &gateway, "10.7.0.254/24"),
        ("fd07::/64", "", &gateway, "fd07::1/64"),
        ("10.7.0.0/24", "10.7.0.9", &Value::Null, "10.7.0.9/24"),
    ] {
        assert_eq!(ask(pool, address, options)["Address"], said);
    }
    for (pool, address) in [
        ("10.7.0.0/24", "10.8.0.1"),
        ("7", "10.7.0.1"),
        ("10.7.0.0/24", "x"),
    ] {
        let said = ask(pool, address, &gateway);
        assert!(said["Error"].is_string(), "{said}");
    }
    let release = json!({"PoolID": "10.7.0.0/24", "Address": "10.7.0.77"});
    assert_eq!(
        answer(&plugin, "/IpamDriver.ReleaseAddress", &release),
        json!({})
    );
}

/// An agent that takes every connection and never says a word.
#[test]
fn a_silent_agent_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let _deaf = std::os::unix::net::UnixListener::bind(folder.path().join("agent.sock")).unwrap();
    let plugin = plugin(folder.path());
    std::thread::scope(|scope| {
        for path in CALLS {
            let plugin = &plugin;
            scope.spawn(move || {
                let begun = Instant::now();
                let body = json!({"NetworkID": "n", "EndpointID": "e", "SandboxKey": "/s",
                    "PoolID": "10.7.0.0/24,network=n", "Address": "10.7.0.5"});
                let reply = plugin.call(path, body.to_string().as_bytes());
                let took = begun.elapsed();
                assert!(took < Duration::from_millis(9500), "{path} took {took:?}");
                assert_eq!(reply.status, 200, "{path}: {}", reply.body);
            });
        }
    });
    // What Docker has forgotten is not.
    assert!(plugin.state.read(|memory| memory.abandoned.contains("e")));
}
