use super::*;
use proptest::prelude::*;

fn env() -> Environment {
    Environment::of(&[
        ("CNI_CONTAINERID", "c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_NETNS", "/n"),
    ])
}

fn read(text: &str) -> Result<Config, CniError> {
    config(&env(), text.as_bytes())
}

fn with(more: &str) -> Result<Config, CniError> {
    read(&format!(
        r#"{{"cniVersion":"1.0.0","name":"default","type":"tombolo-cni"{more}}}"#
    ))
}

#[test]
fn cni_1_1_a_networks_name_has_its_rule() {
    for name in ["", "-a", "a b", ".a"] {
        let error = read(&format!(r#"{{"cniVersion":"1.0.0","name":"{name}"}}"#)).unwrap_err();
        assert_eq!(error.code(), 7, "{name}: {error}");
    }
    assert_eq!(with("").unwrap().network.as_str(), "default");
}

#[test]
fn cni_1_2_a_networks_name_is_no_path() {
    assert_eq!(
        read(r#"{"cniVersion":"1.0.0","name":"a/b"}"#)
            .unwrap_err()
            .code(),
        7
    );
}

#[test]
fn cni_1_11_type_has_no_slash() {
    for bad in ["a/b", r"a\\b"] {
        let text = format!(r#"{{"cniVersion":"1.0.0","name":"n","type":"{bad}"}}"#);
        assert_eq!(read(&text).unwrap_err().code(), 7, "{bad}");
    }
}

#[test]
fn cni_1_12_ipam_type_has_no_slash() {
    assert_eq!(with(r#","ipam":{"type":"../x"}"#).unwrap_err().code(), 7);
    assert_eq!(
        with(r#","ipam":{"type":"host-local"}"#).unwrap_err().code(),
        2
    );
    assert!(with(r#","ipam":{}"#).is_ok());
}

#[test]
fn cni_1_18_every_version_is_read_alike() {
    for version in SUPPORTED {
        let text = format!(r#"{{"cniVersion":"{version}","name":"n","cni.dev/future":1}}"#);
        assert_eq!(read(&text).unwrap().version, version);
    }
    for version in ["0.1.0", "0.2.0", "2.0.0", "x"] {
        let text = format!(r#"{{"cniVersion":"{version}","name":"n"}}"#);
        assert_eq!(read(&text).unwrap_err().code(), 1, "{version}");
    }
    assert_eq!(
        read(r#"{"name":"n"}"#).unwrap_err().code(),
        1,
        "no version means 0.1.0"
    );
}

#[test]
fn cni_2_2_a_containers_id_has_its_rule() {
    for id in ["-a", "a/b", "a b"] {
        let env = Environment::of(&[("CNI_CONTAINERID", id), ("CNI_IFNAME", "eth0")]);
        let error = attachment(&env, "DEL", false).unwrap_err();
        assert!(
            error.code() == 4 && error.to_string().contains("CNI_CONTAINERID"),
            "{error}"
        );
    }
}

#[test]
fn cni_2_3_an_interfaces_name_has_its_rule() {
    for name in ["sixteen-letters-", ".", "..", "a/b", "a:b", "a b"] {
        let env = Environment::of(&[("CNI_CONTAINERID", "c"), ("CNI_IFNAME", name)]);
        let error = attachment(&env, "DEL", false).unwrap_err();
        assert!(
            error.code() == 4 && error.to_string().contains("CNI_IFNAME"),
            "{error}"
        );
    }
}

#[test]
fn cni_5_13_an_unsupported_field_is_named_with_its_value() {
    let error = with(r#","promiscMode":true"#).unwrap_err();
    assert_eq!(error.code(), 2);
    assert!(
        error
            .to_string()
            .contains("\"promiscMode\" with value true"),
        "{error}"
    );
}

#[test]
fn cni_5_14_all_invalid_variables_are_named() {
    let error = attachment(&Environment::of(&[("CNI_IFNAME", "a/b")]), "ADD", true).unwrap_err();
    for name in [
        "CNI_CONTAINERID is missing",
        "CNI_NETNS is missing",
        "CNI_IFNAME: ",
    ] {
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn cni_c_1_cni_args_yield_to_the_runtimes_own_words() {
    let env = Environment::of(&[(
        "CNI_ARGS",
        "IgnoreUnknown=1;IP=10.0.0.1;MAC=02:00:00:00:00:01",
    )]);
    let text = |more: &str| format!(r#"{{"cniVersion":"1.0.0","name":"n"{more}}}"#);
    let plain = config(&env, text("").as_bytes()).unwrap();
    assert_eq!(plain.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    let more = r#","runtimeConfig":{"ips":["10.0.0.2/24"],"mac":"02:00:00:00:00:02"},"args":{"cni":{"ips":["10.0.0.3"]}}"#;
    let both = config(&env, text(more).as_bytes()).unwrap();
    assert_eq!(both.addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(both.mac.unwrap().to_string(), "02:00:00:00:00:02");
}

#[test]
fn a_pods_name_is_its_identity() {
    let env = Environment::of(&[
        ("CNI_IFNAME", "eth0"),
        (
            "CNI_ARGS",
            "K8S_POD_NAMESPACE=prod;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=x",
        ),
    ]);
    let config = config(&env, br#"{"cniVersion":"1.0.0","name":"n"}"#).unwrap();
    assert_eq!(config.identity.as_deref(), Some("prod/web-0/eth0"));
}

#[test]
fn ports_are_read() {
    let text = r#","runtimeConfig":{"portMappings":[{"hostPort":80,"containerPort":8080,"protocol":"TCP","hostIP":""},{"hostPort":0,"containerPort":1}]}"#;
    let ports = with(text).unwrap().ports;
    assert_eq!(ports.len(), 1);
    assert_eq!((ports[0].host_port, ports[0].host_ip), (80, None));
    for bad in [
        r#"{"hostPort":70000,"containerPort":1}"#,
        r#"{"hostPort":1,"containerPort":1,"protocol":"icmp"}"#,
        r#"{"hostPort":1,"containerPort":1,"hostIP":"x"}"#,
        "5",
    ] {
        let error = with(&format!(r#","runtimeConfig":{{"portMappings":[{bad}]}}"#)).unwrap_err();
        assert_eq!(error.code(), 7, "{bad}: {error}");
    }
}

#[test]
fn what_is_no_configuration_is_code_6() {
    for text in ["", "{", "[]", "5", "null", "{\"cniVersion\":5}"] {
        assert_eq!(read(text).unwrap_err().code(), 6, "{text}");
    }
}

proptest! {
    #[test]
    fn no_input_brings_it_down(bytes in prop::collection::vec(any::<u8>(), 0..200), args in ".{0,40}") {
        let env = Environment::of(&[("CNI_ARGS", &args)]);
        let _ = config(&env, &bytes);
        let _ = version_of(&bytes);
    }

    #[test]
    fn no_json_brings_it_down(key in "[a-zA-Z.]{0,12}", value in "[\\[\\]{}0-9\":,a-z]{0,30}") {
        let _ = with(&format!(r#","{key}":{value}"#));
        let _ = with(&format!(r#","runtimeConfig":{{"{key}":{value}}}"#));
    }
}

#[test]
fn who_a_container_is_to_policies_is_said_for_all_and_for_one() {
    let all = r#","labels":{"app":"web","tier":"front"},"profiles":["base"],"namedPorts":[{"name":"web","protocol":"TCP","port":80}]"#;
    let config = with(all).unwrap();
    assert_eq!(config.labels["tier"], "front");
    assert_eq!(config.profiles[0].as_str(), "base");
    assert_eq!(config.named_ports[0].port, 80);
    let one = r#","args":{"cni":{"labels":[{"key":"app","value":"db"}],"profiles":["own"],"namedPorts":[]}}"#;
    let config = with(&format!("{all}{one}")).unwrap();
    assert_eq!(
        (&*config.labels["app"], &*config.labels["tier"]),
        ("db", "front")
    );
    assert_eq!(config.profiles[0].as_str(), "own");
    assert!(config.named_ports.is_empty());
    for wrong in [
        r#","labels":["app"]"#,
        r#","profiles":"base""#,
        r#","namedPorts":[{"name":"web","protocol":"flying","port":80}]"#,
    ] {
        assert_eq!(with(wrong).unwrap_err().code(), 7, "{wrong}");
    }
}

#[test]
fn a_pods_namespace_is_its_own_unless_the_configuration_says_which() {
    let read = |more: &str, namespace: &str| {
        let args = format!("K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=p");
        let env = Environment::of(&[("CNI_IFNAME", "eth0"), ("CNI_ARGS", &args)]);
        let text = format!(r#"{{"cniVersion":"1.0.0","name":"n"{more}}}"#);
        let config = config(&env, text.as_bytes())?;
        Ok::<_, CniError>(config.namespace.map(|name| name.to_string()))
    };
    assert_eq!(read("", "shop").unwrap().as_deref(), Some("shop"));
    assert_eq!(read("", "").unwrap(), None);
    let own = read(r#","namespace":"blue""#, "shop").unwrap();
    assert_eq!(own.as_deref(), Some("blue"));
    assert_eq!(read("", "a/b").unwrap_err().code(), 4);
}
