//! Packets through real devices and sockets, between containers on two hosts.
#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod hosts;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::TryRecvError;

use hosts::{DEADLINE, Host, MTU, NETWORK, PORT, Place, outer, peer, until};
use tombolo_tunnel::header::Header;
use tombolo_tunnel::{Datapath, NetworkId, Reason, TunnelError};

/// As much goes over one connection: some hundred super-packets.
const STREAM: usize = 24 << 20;

/// A byte of the stream, which repeats itself at no length that packets have.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// Sends a stream from one container to the other, which must be what was sent.
fn stream(from: &Place, to: &Place, address: &str) {
    let listener = to.netns.run(|| TcpListener::bind((address, 0)).unwrap());
    let listener = listener.unwrap();
    let there = listener.local_addr().unwrap();
    let sender = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut stream = from
                .netns
                .run(|| TcpStream::connect_timeout(&there, DEADLINE))
                .unwrap()
                .unwrap();
            stream.set_write_timeout(Some(DEADLINE)).unwrap();
            let block: Vec<u8> = (0..251 * 1024).map(byte).collect();
            let mut left = STREAM;
            while left > 0 {
                let part = block.len().min(left);
                stream.write_all(&block[..part]).unwrap();
                left -= part;
            }
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut all = Vec::with_capacity(STREAM);
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), STREAM);
        let wrong = all.iter().enumerate().find(|(at, it)| **it != byte(*at));
        assert_eq!(wrong, None);
        sender.join()
    });
    sender.unwrap();
}

#[test]
fn a_stream_arrives_as_it_was_sent_in_both_families_over_both() {
    for outer_is_v6 in [false, true] {
        let [a, b] = Host::joined(outer_is_v6);
        stream(&a.container, &b.container, "10.244.2.2");
        stream(&b.container, &a.container, "fd44:1::2");
        let counters = a.datapath().counters();
        let sums = counters.peers.values().next().unwrap();
        assert!(sums.sent_bytes > STREAM as u64, "{sums:?}");
        assert!(sums.received_bytes > STREAM as u64, "{sums:?}");
        // Each packet on the wire is one that the network's MTU allows.
        assert!(
            sums.sent_bytes / sums.sent_packets <= MTU.into(),
            "{sums:?}"
        );
        assert_eq!(counters.dropped.len(), 0, "{:?}", counters.dropped);
    }
}

/// A device that cuts nothing itself, as the port of many a network card.
#[test]
fn a_stream_arrives_over_a_wire_that_cuts_nothing() {
    let [a, b] = Host::joined(false);
    for host in [&a, &b] {
        host.place.run("ip link set eth0 gso_max_segs 1");
    }
    stream(&a.container, &b.container, "10.244.2.2");
    stream(&a.container, &b.container, "fd44:2::2");
}

#[test]
fn datagrams_of_all_sizes_arrive_whole_and_in_order() {
    let [a, b] = Host::joined(false);
    for (near, far) in [
        ("10.244.1.2:0", "10.244.2.2:0"),
        ("[fd44:1::2]:0", "[fd44:2::2]:0"),
    ] {
        let (near, far) = (a.container.udp(near), b.container.udp(far));
        let there = far.local_addr().unwrap();
        let mut buffer = vec![0; 2000];
        for size in [1usize, 64, 64, 64, 63, 512, 1390, 64, 1] {
            let sent: Vec<u8> = (0..size).map(byte).collect();
            near.send_to(&sent, there).unwrap();
            let (length, _) = far.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..length], sent);
        }
    }
}

#[test]
fn what_comes_from_nobody_or_claims_too_much_is_dropped_and_counted() {
    let [mut a, b] = Host::pair();
    a.begin(false, 1);
    a.set_table(&[peer(2, false, MTU), peer(3, false, MTU)]);
    let inside = a.container.udp("10.244.1.2:7");
    let (there, other) = (b.place.udp("192.0.2.2:4799"), b.place.udp("192.0.2.2:4800"));
    let to = outer(1, false);
    let send = |socket: &UdpSocket, bytes: &[u8]| socket.send_to(bytes, to).unwrap();
    let good = datagram(NETWORK, "10.244.2.2", "10.244.1.2");
    let cases = [
        (Reason::Stranger, &other, good.clone()),
        (Reason::Truncated, &there, good[..good.len() - 1].to_vec()),
        (Reason::Truncated, &there, vec![0x10]),
        (Reason::Oversized, &there, [&good[..], &[0]].concat()),
        (Reason::Version, &there, [&[0x20], &good[1..]].concat()),
        (
            Reason::Version,
            &there,
            [&[0x10, 0x80], &good[2..]].concat(),
        ),
        (
            Reason::Malformed,
            &there,
            Header::data(NETWORK, 1, false)
                .to_bytes()
                .into_iter()
                .chain([0xff])
                .collect(),
        ),
        (
            Reason::UnknownNetwork,
            &there,
            datagram(NetworkId(6), "10.244.2.2", "10.244.1.2"),
        ),
        (
            Reason::Spoofed,
            &there,
            datagram(NETWORK, "10.244.3.2", "10.244.1.2"),
        ),
        (
            Reason::Spoofed,
            &there,
            datagram(NETWORK, "10.244.1.9", "10.244.1.2"),
        ),
        (
            Reason::Spoofed,
            &there,
            datagram(NETWORK, "192.0.2.2", "10.244.1.2"),
        ),
        (
            Reason::Looping,
            &there,
            datagram(NETWORK, "10.244.2.2", "10.244.2.9"),
        ),
    ];
    let mut expected = std::collections::BTreeMap::new();
    for (reason, socket, bytes) in cases {
        send(socket, &bytes);
        *expected.entry(reason).or_insert(0) += 1;
    }
    // What was sent before was judged before this one arrives.
    send(&there, &good);
    let mut buffer = [0; 100];
    let (length, from) = inside.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"hello");
    assert_eq!(from, SocketAddr::from(([10, 244, 2, 2], 9)));
    until("all are counted", || a.dropped(Reason::Stranger) == 1);
    let counters = a.datapath().counters();
    assert_eq!(counters.dropped, expected);
    let sums = counters.peers[&tombolo_tunnel::NodeId("2".to_owned())];
    assert_eq!((sums.received_packets, sums.received_bytes), (1, 33));
}

/// A datagram of the tunnel that holds "hello" from port 9 to port 7, without a checksum of UDP.
fn datagram(network: NetworkId, from: &str, to: &str) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 33, 0, 0, 0x40, 0, 64, 17, 0, 0];
    for address in [from, to] {
        packet.extend(address.parse::<std::net::Ipv4Addr>().unwrap().octets());
    }
    let checksum = !tombolo_tunnel::packet::sum(&packet, 0);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend([0, 9, 0, 7, 0, 13, 0, 0]);
    packet.extend(b"hello");
    let mut datagram = Header::data(network, 33, false).to_bytes().to_vec();
    datagram.extend(packet);
    datagram
}

#[test]
fn a_packet_to_nobody_is_counted() {
    let [mut a, _b] = Host::pair();
    a.begin(false, 1);
    a.set_table(&[peer(3, false, MTU)]);
    a.container
        .udp("10.244.1.2:0")
        .send_to(b"hello", "10.244.2.2:7")
        .unwrap();
    until("it is counted", || a.dropped(Reason::NoRoute) == 1);
}

#[test]
fn who_sends_too_much_is_told_how_much_passes() {
    let [a, b] = Host::joined(false);
    a.set_table(&[peer(2, false, 1300)]);
    let ping = |how: &str, to: &str| {
        a.container
            .try_run(&format!("ping -n -c1 -W5 {how} {to}"))
            .1
    };
    let told = ping("-M do -s 1372", "10.244.2.2");
    assert!(
        told.contains("mtu = 1300") || told.contains("mtu=1300"),
        "{told}"
    );
    let told = ping("-6 -M do -s 1352", "fd44:2::2");
    assert!(
        told.contains("mtu=1300") || told.contains("mtu = 1300"),
        "{told}"
    );
    assert_eq!(a.dropped(Reason::TooBig), 2);
    // From now on its own kernel knows.
    let (_, route) = a
        .container
        .try_run("ip route get 10.244.2.2; ip route get fd44:2::2");
    assert_eq!(route.matches("mtu 1300").count(), 2, "{route}");
    // A stream is cut into what passes.
    stream(&a.container, &b.container, "10.244.2.2");
}

#[test]
fn a_packet_that_lets_itself_be_cut_is_cut() {
    let [a, _b] = Host::joined(false);
    a.set_table(&[peer(2, false, 1300)]);
    a.container
        .run("ping -n -c2 -i0.2 -W5 -M dont -s 1400 10.244.2.2");
    assert_eq!(a.dropped(Reason::TooBig), 0);
}

#[test]
fn every_host_on_the_way_counts_down_a_packets_time() {
    let [a, _b] = Host::joined(false);
    for (ping, hops, end) in [
        ("ping -n", ["10.244.1.1", "10.249.0.2"], "10.244.2.2"),
        ("ping -6 -n", ["fd44:1::1", "fd49::2"], "fd44:2::2"),
    ] {
        for (ttl, hop) in (1..).zip(hops) {
            let line = format!("{ping} -c1 -W5 -t {ttl} {end}");
            let (_, told) = a.container.try_run(&line);
            assert!(told.contains(&format!("From {hop}")), "{line}: {told}");
            assert!(told.contains("exceeded"), "{line}: {told}");
        }
        a.container.run(&format!("{ping} -c1 -W5 -t 3 {end}"));
    }
}

#[test]
fn control_messages_go_their_own_way_and_too_large_ones_are_refused() {
    let [mut a, mut b] = Host::pair();
    a.begin(false, 2);
    b.begin(false, 2);
    // No table: those who do not know each other yet must be able to speak.
    a.datapath()
        .send_control(PORT, outer(2, false), b"hello")
        .unwrap();
    let message = b.tunnel.as_ref().unwrap().1.recv_timeout(DEADLINE).unwrap();
    assert_eq!((message.port, message.from), (PORT, outer(1, false)));
    assert_eq!(message.body, b"hello");
    let fits = vec![1; 1500 - 36];
    a.datapath()
        .send_control(PORT, outer(2, false), &fits)
        .unwrap();
    let (datapath, control) = b.tunnel.as_ref().unwrap();
    assert_eq!(control.recv_timeout(DEADLINE).unwrap().body, fits);
    let refused = a
        .datapath()
        .send_control(PORT, outer(2, false), &[1; 1500 - 35]);
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("1473 bytes to 192.0.2.2:4799"), "{text}");
    assert!(text.contains("EMSGSIZE"), "{text}");
    let error = a
        .datapath()
        .send_control(PORT, outer(2, true), b"hello")
        .unwrap_err();
    assert!(matches!(error, TunnelError::NoSocket { .. }), "{error}");
    assert_eq!(control.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(datapath.counters().dropped.len(), 0);
}

/// What waits in sockets and devices while no thread reads them is not lost.
#[test]
fn a_datapath_that_is_stopped_and_started_again_loses_nothing() {
    let [mut a, b] = Host::joined(false);
    let (near, far) = (
        a.container.udp("10.244.1.2:0"),
        b.container.udp("10.244.2.2:0"),
    );
    let (here, there) = (near.local_addr().unwrap(), far.local_addr().unwrap());
    near.send_to(b"first", there).unwrap();
    let mut buffer = [0; 100];
    far.recv_from(&mut buffer).unwrap();
    let (datapath, _) = a.tunnel.take().unwrap();
    let table = datapath.table();
    let ports = datapath.stop();
    for number in 0u8..100 {
        near.send_to(&[number], there).unwrap();
        far.send_to(&[number], here).unwrap();
    }
    a.tunnel = Some(Datapath::start_with(ports, table).unwrap());
    for socket in [&near, &far] {
        for number in 0u8..100 {
            let (length, _) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..length], [number]);
        }
    }
}

#[test]
fn a_device_that_is_deleted_is_told_of() {
    let [mut a, _b] = Host::pair();
    a.begin(false, 2);
    assert_eq!(a.datapath().lost(), []);
    a.place.run("ip link del tbu0");
    until("it is told", || a.datapath().lost() == [NETWORK]);
}

#[test]
fn errors_say_what_to_do() {
    let place = Place::new();
    let taken = place.udp("127.0.0.1:4799");
    let open = |address: &str| {
        let address = address.parse().unwrap();
        let opened = place.netns.run(|| tombolo_tunnel::Socket::open(address, 1));
        opened.unwrap().unwrap_err().to_string()
    };
    let text = open("127.0.0.1:4799");
    assert!(
        text.contains("127.0.0.1:4799") && text.contains("choose another"),
        "{text}"
    );
    assert!(open("192.0.2.9:1").contains("none of this host's"));
    drop(taken);
    place.run("ip tuntap add mode tun name single");
    let opened = place
        .netns
        .run(|| tombolo_tunnel::Device::open("single", NETWORK, 2));
    let text = opened.unwrap().unwrap_err().to_string();
    assert!(
        text.contains("single") && text.contains("ip link del"),
        "{text}"
    );
}
