use super::*;

fn call(options: Value) -> CreateNetwork {
    let body = json!({"NetworkID": "n1", "Options": options, "IPv6Data": null, "IPv4Data": [
        {"AddressSpace": "LocalDefault", "Pool": "10.1.0.0/24", "Gateway": "10.1.0.1/24",
         "AuxAddresses": {"printer": "10.1.0.9/24"}}]});
    serde_json::from_value(body).unwrap()
}

fn with(options: Value) -> Result<Wish, Refused> {
    read(&call(
        json!({GENERIC: options, "com.docker.network.enable_ipv6": false}),
    ))
}

#[test]
fn an_overlay_is_what_is_made_if_nothing_is_said() {
    let wish = with(json!({})).unwrap();
    assert_eq!(
        Value::Object(wish.spec.clone()),
        json!({"driver": "overlay", "transport": {"type": "vxlan"}})
    );
    let name = Name::new("blue").unwrap();
    let all = resources(&wish, &name, |_| false, &BTreeMap::new());
    assert_eq!(
        all[0]["spec"],
        json!({"cidr": "10.1.0.0/24", "natOutgoing": true, "space": "blue"})
    );
    assert_eq!(
        all[1]["spec"]["reservedCIDRs"],
        json!(["10.1.0.0/32", "10.1.0.1/32", "10.1.0.9/32", "10.1.0.255/32"])
    );
    assert_eq!(
        all[2]["spec"],
        json!({"driver": "overlay", "transport": {"type": "vxlan"}, "pools": ["blue-v4"],
               "gateway": ["10.1.0.1"]})
    );
    let elsewhere = resources(&wish, &name, |pool| pool == "blue-v4", &BTreeMap::new());
    assert_eq!(elsewhere[2]["spec"]["pools"], json!(["blue-v4-2"]));
}

#[test]
fn every_option_has_its_field() {
    let wish = with(json!({
        "network": "blue", "driver": "macvlan", "com.docker.network.driver.mtu": "1400",
        "parent": "eth1", "macvlan_mode": "vepa", "vlan": "7", "host_access": "",
    }));
    let wish = wish.unwrap();
    assert_eq!(wish.network, Some(Name::new("blue").unwrap()));
    assert_eq!(
        Value::Object(wish.spec),
        json!({"driver": "macvlan", "mtu": 1400, "macvlan": {
            "parent": "eth1", "mode": "vepa", "vlan": 7, "hostAccess": true}})
    );
    let wish = with(json!({"driver": "routed", "transport": "direct", "vni": "9"})).unwrap();
    assert_eq!(wish.spec["transport"], json!({"type": "direct", "vni": 9}));
}

#[test]
fn an_internal_network_has_neither_gateway_nor_translation() {
    let wish = read(&call(json!({INTERNAL: true}))).unwrap();
    let all = resources(&wish, &Name::new("b").unwrap(), |_| false, &BTreeMap::new());
    assert_eq!(all[0]["spec"]["natOutgoing"], json!(false));
    assert_eq!(all[2]["spec"]["internal"], json!(true));
    assert!(all[2]["spec"].get("gateway").is_none());
}

#[test]
fn what_is_wrong_is_named() {
    for (options, words) in [
        (json!({"colour": "red"}), "option colour is not known"),
        (json!({"mtu": "big"}), "option mtu: \"big\" is no number"),
        (json!({"network": "-"}), "option network: name \"-\""),
        (json!({"host_access": "maybe"}), "option host_access"),
        (
            json!({"driver": "bridge", "vni": "7"}),
            "option vni: not with driver bridge",
        ),
        (
            json!({"parent": "eth0"}),
            "option parent: not with driver overlay",
        ),
        (json!({"vni": 7}), "option vni: 7 is no text"),
    ] {
        let error = with(options).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let mut odd = call(json!({}));
    odd.v4[0].gateway = "10.2.0.1/24".to_owned();
    assert_eq!(
        read(&odd).unwrap_err(),
        "Gateway 10.2.0.1 is not in 10.1.0.0/24"
    );
    odd.v4[0].pool = "ten".to_owned();
    assert!(read(&odd).unwrap_err().contains("Pool \"ten\""));
}

#[test]
fn blocks_of_small_pools_are_small() {
    for (cidr, size) in [
        ("10.0.0.0/16", None),
        ("10.0.0.0/24", None),
        ("10.0.0.0/25", Some(27)),
        ("10.0.0.0/28", Some(29)),
        ("10.0.0.0/30", Some(30)),
        ("fd00::/64", None),
        ("fd00::/122", Some(124)),
    ] {
        assert_eq!(block_size(cidr.parse().unwrap()), size, "{cidr}");
    }
}
