use super::*;
use tombolo_model::parse::{Accept, parse_with, world_of};

const WORLD: &str = "
apiVersion: tombolo.dev/v1
kind: Node
metadata: {name: n}
spec: {addresses: [{address: 192.168.0.1/24, interface: eth0, mtu: 1500, reason: test}]}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: p}
spec: {cidr: 10.0.0.0/16}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: q}
spec: {cidr: 10.9.0.0/16, space: own}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: r}
spec: {cidr: 10.9.0.0/16, space: other}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: default}
spec: {driver: routed, pools: [p], transport: {type: direct}}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: red}
spec: {driver: overlay, pools: [q], transport: {type: vxlan, vni: 5000}}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: blue}
spec: {driver: overlay, pools: [r], transport: {type: vxlan, vni: 5001}}
---
apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {namespace: default, name: web}
spec:
  selector: app == 'web'
  ingress:
    - {action: Allow, protocol: TCP, destination: {ports: [80]}}
";

fn world() -> World {
    let mut text = WORLD.to_owned();
    for (container, network, address, labels) in [
        ("web", "default", "10.0.0.1", "{app: web}"),
        ("client", "default", "10.0.0.2", "{}"),
        ("red1", "red", "10.9.0.1", "{}"),
        ("blue1", "blue", "10.9.0.1", "{}"),
        ("red2", "red", "10.9.0.2", "{}"),
    ] {
        text.push_str(&format!(
            "---\napiVersion: tombolo.dev/v1\nkind: Endpoint\nmetadata: {{namespace: default, name: n.{container}.eth0, labels: {labels}}}\nspec: {{node: n, network: {network}, containerID: {container}, interface: eth0, sandbox: /s, handle: h.{container}, generation: 1, addresses: [{address}], mac: 02:00:00:00:00:01}}\n"
        ));
    }
    world_of(&parse_with("t.yaml", &text, Accept::Internal).unwrap()).unwrap()
}

fn ask(from: &str, to: &str, port: &str) -> Result<FlowAnswer, String> {
    let request = FlowRequest {
        from: from.to_owned(),
        to: to.to_owned(),
        port: Some(port.to_owned()).filter(|port| !port.is_empty()),
        family: None,
    };
    explain(&world(), &request).map_err(|fault| fault.to_string())
}

#[test]
fn ends_are_understood_in_every_form() {
    for (from, to, allowed) in [
        ("client", "web", true),
        ("default/client", "default/n.web.eth0", true),
        ("10.0.0.2", "10.0.0.1", true),
        ("8.8.8.8", "web", true),
        ("node/n", "web", true),
    ] {
        assert_eq!(
            ask(from, to, "80").unwrap().verdict.allowed,
            allowed,
            "{from} {to}"
        );
    }
    assert!(!ask("client", "web", "81").unwrap().verdict.allowed);
    let only = ask("10.9.0.2", "red1", "80").unwrap();
    assert!(matches!(only.flow.from, Party::Endpoint(..)), "{only:?}");
    let error = ask("10.9.0.1", "web", "80").unwrap_err();
    assert!(
        error.contains("default/n.blue1.eth0\n  default/n.red1.eth0"),
        "{error}"
    );
    for (from, said) in [
        ("node/m", "there is no node m"),
        ("mail", "no endpoint is called"),
        ("red", "any of 2"),
    ] {
        let error = ask(from, "web", "80").unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn ports_are_understood_in_every_form() {
    let flow = |port: &str| {
        ask("client", "web", port).map(|answer| {
            let Flow {
                protocol,
                destination_port,
                icmp,
                ..
            } = answer.flow;
            (protocol.0, destination_port, icmp)
        })
    };
    for (port, expected) in [
        ("80", (6, Some(80), None)),
        ("tcp/80", (6, Some(80), None)),
        ("UDP/53", (17, Some(53), None)),
        ("ICMP", (1, None, None)),
        ("ICMP/3/1", (1, None, Some((3, 1)))),
        ("ICMP/8", (1, None, Some((8, 0)))),
        ("89/", (0, None, None)),
        ("", (6, None, None)),
        ("TCP", (6, None, None)),
    ] {
        match expected.0 {
            0 => assert!(flow(port).unwrap_err().contains("89 has nothing like it")),
            _ => assert_eq!(flow(port).unwrap(), expected, "{port}"),
        }
    }
    for (port, said) in [
        ("0", "from 1 to 65535"),
        ("TCP/x", "from 1 to 65535"),
        ("70000", "from 1 to 65535"),
        ("ICMP/256", "a type is"),
        ("ICMP/1/2/3", "nothing like it"),
        ("flying/1", "is no protocol"),
    ] {
        let error = flow(port).unwrap_err();
        assert!(error.contains(said), "{port}: {error}");
    }
}
