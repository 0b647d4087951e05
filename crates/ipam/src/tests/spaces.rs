//! Networks whose address spaces are their own may have the same addresses.

use super::*;

const TWICE: &str = "
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: blue},
 spec: {driver: overlay, transport: {type: vxlan}, pools: [blue]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: blue},
 spec: {cidr: 10.0.0.0/28, blockSize: 30, space: blue}}
";

#[test]
fn the_same_address_is_given_once_a_space() {
    let mut store = Store::of(&format!("{WORLD}{TWICE}"));
    let (a, b) = (name("a"), name("b"));
    let wanted = ["10.0.0.1".parse().unwrap()];
    let claim = |store: &mut Store, node: &Name, network: &str, identity: &str| {
        let network = name(network);
        let request = Request {
            wanted: &wanted,
            ..Request::workload(node, &network, identity)
        };
        store.assign(&request)
    };
    let common = claim(&mut store, &a, "net", "c1").unwrap();
    let blue = claim(&mut store, &b, "blue", "c2").unwrap();
    assert_eq!(common.addresses, blue.addresses);
    let refused = claim(&mut store, &a, "blue", "c3").unwrap_err();
    assert!(
        matches!(refused, IpamError::Held { ref holder, .. } if holder.contains("c2")),
        "{refused}"
    );
    assert!(check(&store.world()).is_empty());
    // Giving one back does not touch the other.
    let writes = release(&store.world(), &common.handle, common.generation);
    assert!(store.commit(&writes));
    let again = claim(&mut store, &a, "blue", "c3").unwrap_err();
    assert!(matches!(again, IpamError::Held { .. }), "{again}");
    claim(&mut store, &a, "net", "c4").expect("it is free there");
    assert!(check(&store.world()).is_empty());
}
