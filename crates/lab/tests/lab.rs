//! The lab itself: it comes up, its wires do what they say, and nothing of it is left.

use std::path::PathBuf;

use tombolo_lab::{Lab, LabSpec, Topology};

fn spec(name: &str) -> LabSpec {
    LabSpec {
        tombolo: PathBuf::from(env!("CARGO_BIN_EXE_tombolo-lab-reexec")),
        ..LabSpec::for_test(name)
    }
}

fn pings(lab: &Lab, from: &str, to: &str, bytes: u32) -> bool {
    let size = (bytes - 28).to_string();
    let argv = ["ping", "-c1", "-W1", "-Mdo", "-s", &size, to];
    lab.exec(from, &argv).unwrap().status.success()
}

#[test]
fn two_hosts_reach_each_other_and_the_internet() {
    let lab = Lab::up(spec("reach")).unwrap();
    let b = lab.address("b").unwrap().to_string();
    assert!(pings(&lab, "a", &b, 1500));
    assert!(!pings(&lab, "a", &b, 1501));
    assert!(pings(&lab, "a", "203.0.113.1", 1500));
    lab.output("a", &["ping", "-c1", "-W1", "2001:db8:113::1"])
        .unwrap();
    lab.output("a", &["ping", "-c1", "-W1", "fd50::c"]).unwrap();
    assert_eq!(lab.output("b", &["hostname"]).unwrap().trim(), "b");
    lab.down().unwrap();
}

#[test]
fn every_topology_carries_its_mtu() {
    for (topology, mtu) in [
        (Topology::Switch, 9000),
        (Topology::Subnets, 1400),
        (Topology::Line, 1500),
    ] {
        let spec = LabSpec {
            hosts: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            topology,
            mtu,
            ..spec("mtu")
        };
        let lab = Lab::up(spec).unwrap();
        for from in lab.hosts() {
            for to in lab.hosts().iter().filter(|to| *to != from) {
                let address = lab.address(to).unwrap().to_string();
                assert!(
                    pings(&lab, from, &address, mtu),
                    "{topology} {from} to {to}"
                );
                assert!(
                    !pings(&lab, from, &address, mtu + 1),
                    "{topology} {from} to {to}"
                );
            }
            assert!(
                pings(&lab, from, "203.0.113.1", mtu),
                "{topology} {from} to the internet"
            );
            let six = lab.host("d").unwrap().addresses[1].to_string();
            lab.output(from.as_str(), &["ping", "-c1", "-W2", &six])
                .unwrap();
        }
    }
}
