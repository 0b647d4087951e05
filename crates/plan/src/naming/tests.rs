use super::*;
use tombolo_model::kinds::Node as NodeSpec;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn node(uid: &str) -> Resource<Node> {
    let mut node = Resource::new(name("n1"), NodeSpec::default());
    node.metadata.uid = uid.to_owned();
    node
}

/// These stand in kernels that outlive an upgrade: a change of any of them cuts every container
/// off until its host is restarted.
#[test]
fn names_and_addresses_never_change() {
    let vni = |n| Vni::new(n).unwrap();
    let tbx = vxlan(vni(4096), Family::V4);
    for (is, should) in [
        (
            host_end(&name("default"), &name("c1")).to_string(),
            "tbv895d7396d5b",
        ),
        (bridge(&name("default")).to_string(), "tbbbb9a03f3"),
        (tbx.to_string(), "tbx4096"),
        (vxlan(vni(4096), Family::V6).to_string(), "tbx4096-6"),
        (
            vxlan(vni(0xff_ffff), Family::V6).to_string(),
            "tbx16777215-6",
        ),
        (
            tunnel_mac(&node("u1"), &tbx).to_string(),
            "02:86:a9:3e:ee:60",
        ),
        (
            bridge_mac(&name("n1"), &name("default")).to_string(),
            "02:16:9a:3d:60:a6",
        ),
        (port_mac(&tbx).to_string(), "02:e9:b1:79:83:88"),
        (GATEWAY_MAC.to_string(), "ee:ee:ee:ee:ee:ee"),
    ] {
        assert_eq!(is, should);
    }
}

#[test]
fn names_fit_and_are_ours_however_long_the_resources_are() {
    let long = name(&"x".repeat(253));
    for made in [host_end(&long, &long), bridge(&long)] {
        assert!(made.as_str().len() <= 15, "{made}");
        assert!(made.as_str().starts_with(LINK_PREFIX), "{made}");
    }
}

#[test]
fn names_of_different_resources_differ() {
    // The border between namespace and name counts.
    assert_ne!(
        host_end(&name("a"), &name("bc")),
        host_end(&name("ab"), &name("c"))
    );
    assert_ne!(bridge(&name("a")), bridge(&name("b")));
}

#[test]
fn addresses_are_unicast_and_follow_node_and_device() {
    let tbx = |n| vxlan(Vni::new(n).unwrap(), Family::V4);
    let mac = tunnel_mac(&node("u1"), &tbx(1));
    assert_ne!(mac, tunnel_mac(&node("u2"), &tbx(1)), "a node made anew");
    assert_ne!(mac, tunnel_mac(&node("u1"), &tbx(2)), "another device");
    for mac in [
        mac,
        bridge_mac(&name("n"), &name("m")),
        port_mac(&tbx(1)),
        GATEWAY_MAC,
    ] {
        assert!(mac.is_unicast(), "{mac}");
        assert_eq!(mac.0[0] & 2, 2, "{mac} is locally administered");
    }
}
