use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::testing::Host;

/// A host that tracks what goes over its loopback: what says `ct` needs it.
fn tracking() -> Host {
    let host = Host::new();
    host.run(
        "ip link set lo up; nft add table inet t; \
         nft add chain inet t o '{ type filter hook output priority -300; }'; \
         nft add rule inet t o ct state new accept",
    );
    host
}

fn udp(host: &Host, from: &str, to: &str) -> UdpSocket {
    let socket = host.netns.run(|| UdpSocket::bind(from)).unwrap().unwrap();
    socket.send_to(b"x", to).unwrap();
    socket
}

fn with_port(host: &Host, port: u16) -> Vec<Connection> {
    let all = dump(&host.netns).unwrap();
    all.into_iter()
        .filter(|connection| connection.destination_port == port)
        .collect()
}

#[test]
fn exactly_the_connections_that_are_named_are_cut() {
    let host = tracking();
    for (family, address) in [(Family::V4, "127.0.0.1"), (Family::V6, "::1")] {
        let at = SocketAddr::new(address.parse().unwrap(), 0);
        let listener = host.netns.run(|| TcpListener::bind(at)).unwrap().unwrap();
        let to = listener.local_addr().unwrap();
        let connect = || host.netns.run(|| TcpStream::connect(to)).unwrap().unwrap();
        let (first, second) = (connect(), connect());
        let found = with_port(&host, to.port());
        assert_eq!(found.len(), 2, "{found:?}");
        let of = |stream: &TcpStream| {
            let port = stream.local_addr().unwrap().port();
            found
                .iter()
                .find(|c| c.source_port == port)
                .unwrap()
                .clone()
        };
        let (first, second) = (of(&first), of(&second));
        assert_eq!((first.family, first.protocol, first.zone), (family, 6, 0));
        assert_eq!(first.source, to.ip());
        assert_eq!(first.reply_source_port, to.port());
        assert_eq!(first.reply_destination_port, first.source_port);
        let stranger = Connection {
            id: first.id.wrapping_add(1),
            ..first.clone()
        };
        assert_eq!(delete(&host.netns, &[stranger]).unwrap(), 0);
        assert_eq!(
            delete(&host.netns, std::slice::from_ref(&first)).unwrap(),
            1
        );
        assert_eq!(with_port(&host, to.port()), [second]);
        assert_eq!(delete(&host.netns, &[first]).unwrap(), 0);
    }
}

#[test]
fn zones_of_any_direction_and_marks_are_told_and_cut() {
    let host = tracking();
    host.run(
        "nft add rule inet t o udp dport 7001 ct zone set 11; \
         nft add rule inet t o udp dport 7002 ct original zone set 12; \
         nft add rule inet t o udp dport 7003 ct reply zone set 13; \
         nft add chain inet t m '{ type filter hook output priority 0; }'; \
         nft add rule inet t m udp dport 7001-7003 ct mark set 0x2a",
    );
    // With the state a connection is tracked before it has a zone.
    host.run(
        "nft delete rule inet t o handle \
         $(nft -a list chain inet t o | sed -n 's/.*accept # handle //p')",
    );
    for (port, zone, side) in [
        (7001, 11, ZoneSide::Both),
        (7002, 12, ZoneSide::Original),
        (7003, 13, ZoneSide::Reply),
    ] {
        udp(&host, "127.0.0.1:0", &format!("127.0.0.1:{port}"));
        let found = with_port(&host, port);
        let [connection] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!((connection.zone, connection.zone_side), (zone, side));
        assert_eq!((connection.protocol, connection.mark), (17, 0x2a));
        // Bits are set and taken away, and the others stay.
        for (value, whole) in [(0xf00, 0xf2a), (0x100, 0x12a)] {
            assert_eq!(mark(&host.netns, &found, 0xf00, value).unwrap(), 1);
            assert_eq!(with_port(&host, port)[0].mark, whole);
        }
        assert_eq!(delete(&host.netns, &found).unwrap(), 1);
        assert_eq!(with_port(&host, port), []);
        assert_eq!(
            mark(&host.netns, &found, 1, 1).unwrap(),
            0,
            "it is made anew"
        );
        assert_eq!(with_port(&host, port), []);
    }
}

#[test]
fn echoes_are_known_by_their_identifier() {
    let host = tracking();
    host.run("ping -q -c 1 -e 77 127.0.0.1; ping -q -c 1 -e 78 127.0.0.1; ping -q -c 1 -e 79 ::1");
    let echo = |id| {
        let all = dump(&host.netns).unwrap();
        all.into_iter()
            .find(|c| c.icmp.is_some_and(|icmp| icmp.2 == id))
    };
    assert_eq!(echo(77).unwrap().icmp, Some((8, 0, 77)));
    assert_eq!(echo(79).unwrap().icmp, Some((128, 0, 79)));
    let cut = [echo(77).unwrap(), echo(79).unwrap()];
    assert_eq!(delete(&host.netns, &cut).unwrap(), 2);
    assert!(echo(77).is_none() && echo(79).is_none() && echo(78).is_some());
}

#[test]
fn thousands_are_cut_at_once() {
    let host = tracking();
    let sockets: Vec<UdpSocket> = (0..3000)
        .map(|n| udp(&host, "127.0.0.1:0", &format!("127.0.0.1:{}", 20_000 + n)))
        .collect();
    let all = dump(&host.netns).unwrap();
    let sent: Vec<Connection> = all
        .into_iter()
        .filter(|c| c.destination_port >= 20_000)
        .collect();
    assert!(sent.len() >= sockets.len());
    assert_eq!(delete(&host.netns, &sent).unwrap(), sent.len());
    assert_eq!(dump(&host.netns).unwrap(), []);
}
