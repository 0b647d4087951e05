use std::net::UdpSocket;

use super::*;
use crate::testing::{Host, path, run};

const LIMIT: Duration = Duration::from_secs(5);

fn until(reader: &mut Reader, count: usize) -> Vec<Logged> {
    let mut all = Vec::new();
    while all.len() < count {
        let some = reader.next(LIMIT).unwrap();
        assert!(!some.is_empty(), "{all:?}");
        all.extend(some);
    }
    all
}

#[test]
fn packets_are_told_with_their_interfaces_ports_and_the_rules_prefix() {
    let host = Host::new();
    host.run(&format!(
        "ip link set lo up; ip link add near type veth peer name eth0 netns {}",
        path(&host.sandbox)
    ));
    host.run("ip link set near up; ip addr add 10.9.0.1/24 dev near; ip addr add fd00::1/64 dev near nodad");
    run(
        &host.sandbox,
        "ip link set eth0 up; ip addr add 10.9.0.2/24 dev eth0; ip addr add fd00::2/64 dev eth0 nodad",
    );
    host.run(
        "nft add table inet t; \
         nft add chain inet t i '{ type filter hook input priority 0; }'; \
         nft add chain inet t o '{ type filter hook output priority 0; }'; \
         nft add rule inet t i udp dport 7000 log prefix '\"deny i\"' group 7; \
         nft add rule inet t i icmp type echo-request log prefix '\"echo\"' group 7; \
         nft add rule inet t o udp dport 7001 log prefix '\"deny o\"' group 7; \
         nft add rule inet t o udp dport 7002 log prefix '\"other\"' group 8",
    );
    let mut reader = Reader::open(&host.netns, 7).unwrap();
    let error = Reader::open(&host.netns, 7).unwrap_err().to_string();
    assert!(error.starts_with("listen to nflog group 7 in "), "{error}");
    let send = |netns: &NetnsHandle, from: &str, to: &str| {
        let socket = netns.run(|| UdpSocket::bind(from)).unwrap().unwrap();
        socket.send_to(b"x", to).unwrap();
    };
    send(&host.sandbox, "10.9.0.2:5000", "10.9.0.1:7000");
    send(&host.sandbox, "[fd00::2]:5000", "[fd00::1]:7000");
    send(&host.netns, "[fd00::1]:5002", "[fd00::2]:7002");
    send(&host.netns, "[fd00::1]:5001", "[fd00::2]:7001");
    run(&host.sandbox, "ping -q -c 1 10.9.0.1");
    let near = Some(Interface::Named("near".parse().unwrap()));
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let incoming = Logged {
        prefix: "deny i".to_owned(),
        in_interface: near.clone(),
        out_interface: None,
        in_port: None,
        out_port: None,
        source: ip("10.9.0.2"),
        destination: ip("10.9.0.1"),
        protocol: 17,
        source_port: Some(5000),
        destination_port: Some(7000),
        icmp: None,
    };
    let sixth = Logged {
        source: ip("fd00::2"),
        destination: ip("fd00::1"),
        ..incoming.clone()
    };
    let outgoing = Logged {
        prefix: "deny o".to_owned(),
        in_interface: None,
        out_interface: near,
        source: ip("fd00::1"),
        destination: ip("fd00::2"),
        source_port: Some(5001),
        destination_port: Some(7001),
        ..incoming.clone()
    };
    let echo = Logged {
        prefix: "echo".to_owned(),
        protocol: 1,
        source_port: None,
        destination_port: None,
        icmp: Some((8, 0)),
        ..incoming.clone()
    };
    assert_eq!(until(&mut reader, 4), [incoming, sixth, outgoing, echo]);
    assert_eq!(reader.next(Duration::from_millis(1)).unwrap(), []);
    assert_eq!(reader.overruns(), 0);
}

#[test]
fn what_is_not_read_in_time_is_counted() {
    let host = Host::new();
    host.run(
        "ip link set lo up; nft add table inet t; \
         nft add chain inet t o '{ type filter hook output priority 0; }'; \
         nft add rule inet t o udp dport 7000 log group 7",
    );
    let mut reader = Reader::open(&host.netns, 7).unwrap();
    let socket = host
        .netns
        .run(|| UdpSocket::bind("127.0.0.1:0"))
        .unwrap()
        .unwrap();
    let sent = 40_000;
    for _ in 0..sent {
        socket.send_to(&[0; 250], "127.0.0.1:7000").unwrap();
    }
    let mut read = 0;
    loop {
        let some = reader.next(Duration::from_millis(300)).unwrap();
        if some.is_empty() {
            break;
        }
        read += some.len();
    }
    assert!(read > 0 && read < sent, "{read}");
    assert!(reader.overruns() > 0);
}
