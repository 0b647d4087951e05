//! Who a container of Docker's is to policies: said by the options of its endpoint.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use serde_json::{Value, json};
use tombolo_tests::cnm::{Plugin, network};
use tombolo_tests::{Cluster, Shape};

const SUBNET: (&str, &str) = ("10.90.0.0/24", "10.90.0.1/24");

#[test]
fn an_endpoints_options_say_who_it_is() {
    let cluster = Cluster::up("cnm-who", &Shape::hosts(1));
    let plugin = Plugin::start(&cluster, "a");
    plugin.done(
        "/NetworkDriver.CreateNetwork",
        &network("n1", SUBNET, &json!({"network": "blue"})),
    );
    let create = |id: &str, address: &str, options: Value| {
        json!({"NetworkID": "n1", "EndpointID": id, "Options": options,
               "Interface": {"Address": address, "AddressIPv6": "", "MacAddress": ""}})
    };
    let options = json!({
        "com.docker.network.portmap": [], "tombolo.label.app": "web", "tombolo.namespace": "shop",
        "tombolo.profiles": "base", "tombolo.port.web": "TCP/80",
    });
    plugin.done(
        "/NetworkDriver.CreateEndpoint",
        &create("e1", "10.90.0.5/24", options),
    );
    let all = cluster.json("a", &["get", "endpoints", "-n", "shop", "-o", "json"]);
    let [endpoint] = all["items"].as_array().unwrap().as_slice() else {
        panic!("{all:#}");
    };
    assert_eq!(endpoint["metadata"]["labels"], json!({"app": "web"}));
    assert_eq!(endpoint["spec"]["profiles"], json!(["base"]));
    let web = json!([{"name": "web", "protocol": "TCP", "port": 80}]);
    assert_eq!(endpoint["spec"]["namedPorts"], web);
    let odd = create("e2", "10.90.0.6/24", json!({"tombolo.lable.app": "web"}));
    let error = plugin.refused("/NetworkDriver.CreateEndpoint", &odd);
    assert!(
        error.contains("option tombolo.lable.app is not known"),
        "{error}"
    );
}
