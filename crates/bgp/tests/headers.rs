//! Headers, OPENs, NOTIFICATIONs and ROUTE-REFRESHes: what they are on the wire, and which faults of
//! theirs are told how (RFC 4271 sections 4 and 6; `spec/rfc4271.toml`).
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "support/raw.rs"]
#[allow(dead_code, reason = "the tests of UPDATEs use more of it")]
mod raw;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "the tests of values at random use more of it")]
mod support;

use raw::{assert_notifies, message, update};
use support::context;
use tombolo_bgp::message::{
    Capability, Cease, Fault, Message, Notification, Open, RefreshKind, decode, encode, frame,
};
use tombolo_bgp::{Asn, Family, RouterId};

/// AS 65010, hold time 90 s, identifier 192.0.2.2, no optional parameters.
const OPEN: [u8; 10] = [4, 0xFD, 0xF2, 0, 90, 192, 0, 2, 2, 0];

fn framed(bytes: &[u8]) -> Fault {
    frame(bytes).unwrap_err()
}

fn open(body: &[u8]) -> Result<Open, Fault> {
    match decode(&message(1, body), None)? {
        Message::Open(open) => Ok(open),
        other => panic!("no OPEN: {other:?}"),
    }
}

/// The OPEN with other bytes from a place on.
fn open_with(at: usize, bytes: &[u8]) -> Result<Open, Fault> {
    let mut body = OPEN.to_vec();
    body.truncate(at);
    body.extend_from_slice(bytes);
    body.extend_from_slice(OPEN.get(body.len()..).unwrap_or_default());
    open(&body)
}

fn written(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, Some(&context()), &mut bytes);
    bytes
}

#[test]
fn rfc4271_4_1_1_a_message_begins_with_ones_and_its_length() {
    let bytes = written(&Message::Keepalive);
    assert_eq!(bytes[..16], [0xFF; 16]);
    assert_eq!(bytes[16..], [0, 19, 4]);
    let bytes = written(&Message::Notification(Notification::HOLD_TIMER_EXPIRED));
    assert_eq!(bytes[16..], [0, 21, 3, 4, 0]);
}

#[test]
fn rfc4271_4_1_2_no_message_is_longer_than_4096_bytes() {
    let longest = message(2, &[0; 4096 - 19]);
    assert_eq!(frame(&longest), Ok(Some(4096)));
    assert_notifies(&framed(&message(2, &[0; 4097 - 19])), (1, 2, &[0x10, 1]));
    let much = Notification {
        code: 6,
        subcode: 2,
        data: vec![0; 5000],
    };
    assert_eq!(written(&Message::Notification(much)).len(), 4096);
}

#[test]
fn a_frame_is_awaited_until_it_is_whole() {
    let two = [update(&[], &[], &[]), written(&Message::Keepalive)].concat();
    for length in 0..23 {
        assert_eq!(frame(&two[..length]), Ok(None), "{length}");
    }
    for length in 23..=two.len() {
        assert_eq!(frame(&two[..length]), Ok(Some(23)), "{length}");
    }
    assert_eq!(frame(&two[23..]), Ok(Some(19)));
}

#[test]
fn rfc4271_6_1_1_without_the_marker_nothing_is_synchronized() {
    let mut bytes = written(&Message::Keepalive);
    bytes[15] = 0xFE;
    assert_notifies(&framed(&bytes), (1, 1, &[]));
    // Who speaks something else is not waited for.
    assert_notifies(&framed(b"GET / "), (1, 1, &[]));
}

#[test]
fn rfc4271_6_1_2_a_length_that_a_message_cannot_have_is_told() {
    for (code, length) in [
        (1, 28),
        (2, 22),
        (3, 20),
        (4, 18),
        (4, 20),
        (5, 18),
        (1, 4097),
        (2, 4097),
        (3, 0),
        (9, 65535),
    ] {
        let mut bytes = written(&Message::Keepalive);
        let length = u16::to_be_bytes(length);
        bytes[16..18].copy_from_slice(&length);
        bytes[18] = code;
        assert_notifies(&framed(&bytes), (1, 2, &length));
    }
}

#[test]
fn rfc4271_6_1_3_a_type_that_is_not_known_is_told() {
    for code in [0, 6, 255] {
        assert_notifies(&framed(&message(code, &[])), (1, 3, &[code]));
    }
}

#[test]
fn what_is_not_one_whole_message_is_refused() {
    let bytes = update(&[], &[], &[]);
    for odd in [&bytes[..22], &[&bytes[..], &[0]].concat(), &[]] {
        assert_eq!(
            decode(odd, Some(&context())).unwrap_err().notification.code,
            1
        );
    }
}

#[test]
fn rfc4271_4_2_1_an_open_says_who_speaks() {
    let read = open(&OPEN).unwrap();
    assert_eq!(
        read,
        Open {
            asn: Asn(65010),
            hold_time: 90,
            router_id: RouterId([192, 0, 2, 2].into()),
            capabilities: Vec::new(),
        }
    );
    assert_eq!(written(&Message::Open(read))[19..], OPEN);
}

#[test]
fn rfc4271_6_2_1_another_version_is_told_ours() {
    for version in [0, 3, 5] {
        assert_notifies(&open_with(0, &[version]).unwrap_err(), (2, 1, &[0, 4]));
    }
}

#[test]
fn rfc4271_6_2_2_nobodys_system_is_refused() {
    assert_notifies(&open_with(1, &[0, 0]).unwrap_err(), (2, 2, &[]));
    // RFC 7607: nor in four octets.
    let parameters = [8, 2, 6, 65, 4, 0, 0, 0, 0];
    assert_notifies(&open_with(9, &parameters).unwrap_err(), (2, 2, &[]));
}

#[test]
fn rfc4271_6_2_3_a_hold_time_of_one_or_two_seconds_is_refused() {
    for seconds in [1, 2] {
        assert_notifies(&open_with(3, &[0, seconds]).unwrap_err(), (2, 6, &[]));
    }
    for seconds in [0, 3, 255] {
        assert_eq!(
            open_with(3, &[0, seconds]).unwrap().hold_time,
            seconds.into()
        );
    }
}

#[test]
fn rfc4271_6_2_4_an_identifier_of_zero_is_refused() {
    assert_notifies(&open_with(5, &[0, 0, 0, 0]).unwrap_err(), (2, 3, &[]));
    // RFC 6286: any other is an identifier, though it be no host's address.
    assert!(open_with(5, &[224, 0, 0, 1]).is_ok());
}

#[test]
fn rfc4271_6_2_5_an_optional_parameter_that_is_not_known_is_refused() {
    assert_notifies(&open_with(9, &[3, 1, 1, 0]).unwrap_err(), (2, 4, &[]));
    assert_notifies(&open_with(9, &[2, 77, 0]).unwrap_err(), (2, 4, &[]));
}

#[test]
fn rfc4271_6_2_6_malformed_parameters_are_refused_without_a_subcode() {
    let malformed: [&[u8]; 9] = [
        &[1, 2],
        &[3, 2, 2, 65],
        &[0, 2],
        &[9, 2, 6, 65, 4, 0, 0, 0, 1],
        &[7, 2, 5, 65, 3, 0, 0, 1],
        &[4, 2, 3, 2, 1, 0],
        &[3, 2, 1, 64],
        &[5, 2, 3, 64, 1, 0],
        &[255, 255, 0, 9, 2, 0, 0],
    ];
    for parameters in malformed {
        assert_notifies(&open_with(9, parameters).unwrap_err(), (2, 0, &[]));
    }
}

#[test]
fn capabilities_are_read_from_however_many_parameters() {
    let together = open_with(9, &[10, 2, 8, 1, 4, 0, 1, 0, 1, 2, 0]).unwrap();
    let apart = open_with(9, &[12, 2, 6, 1, 4, 0, 1, 0, 1, 2, 2, 2, 0]).unwrap();
    let long = open_with(
        9,
        &[
            255, 255, 0, 15, 2, 0, 6, 1, 4, 0, 1, 0, 1, 2, 0, 3, 77, 1, 9,
        ],
    )
    .unwrap();
    let common = [
        Capability::Multiprotocol(Family::Ipv4),
        Capability::RouteRefresh,
    ];
    assert_eq!(together.capabilities, common);
    assert_eq!(apart.capabilities, common);
    // RFC 9072, with lengths of two bytes.
    let unknown = Capability::Unknown {
        code: 77,
        value: vec![9],
    };
    assert_eq!(long.capabilities, [common[0].clone(), unknown]);
}

#[test]
fn what_capabilities_say_of_other_families_is_passed_over() {
    // VPNv4: multiprotocol, graceful restart, ADD-PATH, extended next hop; ADD-PATH of a mode 4.
    let parameters = [
        &[0, 2, 0][..],
        &[1, 4, 0, 1, 0, 128],
        &[64, 6, 0x80, 120, 0, 1, 128, 0x80],
        &[69, 8, 0, 1, 128, 3, 0, 1, 1, 4],
        &[5, 6, 0, 1, 0, 128, 0, 2],
    ];
    let mut parameters = parameters.concat();
    parameters[2] = u8::try_from(parameters.len() - 3).unwrap();
    parameters[0] = parameters[2] + 2;
    let read = open_with(9, &parameters).unwrap().capabilities;
    assert_eq!(
        read[0],
        Capability::Unknown {
            code: 1,
            value: vec![0, 1, 0, 128]
        }
    );
    let Capability::GracefulRestart(restart) = &read[1] else {
        panic!("{read:?}");
    };
    assert!(restart.restarting && restart.families.is_empty());
    assert_eq!(restart.time, 120);
    assert_eq!(
        read[2..],
        [
            Capability::AddPath(vec![]),
            Capability::ExtendedNextHop(vec![])
        ]
    );
}

#[test]
fn a_system_of_four_octets_stands_as_23456_in_two() {
    let asn = Asn(4_200_000_000);
    let told = Open {
        asn,
        hold_time: 9,
        router_id: RouterId([1, 2, 3, 4].into()),
        capabilities: vec![Capability::FourOctetAs(asn)],
    };
    let bytes = written(&Message::Open(told.clone()));
    assert_eq!(bytes[20..22], 23456_u16.to_be_bytes());
    assert_eq!(decode(&bytes, None), Ok(Message::Open(told)));
}

#[test]
fn rfc4271_4_5_1_notifications_are_read_whatever_they_say() {
    for (body, code, subcode, data) in [
        (&[6, 2][..], 6, 2, &[][..]),
        (&[0, 0, 1], 0, 0, &[1]),
        (&[255, 255, 9, 9], 255, 255, &[9, 9]),
    ] {
        let expected = Notification {
            code,
            subcode,
            data: data.to_vec(),
        };
        assert_eq!(
            decode(&message(3, body), None),
            Ok(Message::Notification(expected))
        );
    }
}

#[test]
fn notifications_have_words() {
    let cease = |why| Notification::cease(why, "");
    let plain = |code, subcode, data: &[u8]| Notification {
        code,
        subcode,
        data: data.to_vec(),
    };
    for (notification, words) in [
        (Notification::HOLD_TIMER_EXPIRED, "hold timer expired"),
        (
            Notification::SEND_HOLD_TIMER_EXPIRED,
            "send hold timer expired",
        ),
        (cease(Cease::Deconfigured), "cease: peer de-configured"),
        (cease(Cease::BfdDown), "cease: BFD down"),
        (
            Notification::cease(Cease::Shutdown, "back at ten\n"),
            "cease: administrative shutdown: back at ten ",
        ),
        (
            cease(Cease::Collision).hard_reset(),
            "cease: hard reset: cease: connection collision resolution",
        ),
        (
            cease(Cease::Reset).hard_reset().hard_reset(),
            "cease: hard reset",
        ),
        (
            plain(6, 1, &[0, 1, 1, 0, 0, 1, 0]),
            "cease: maximum number of prefixes reached: it takes 256",
        ),
        // The text is cut short, or none: it is not shown.
        (plain(6, 2, &[5, b'a']), "cease: administrative shutdown"),
        (plain(6, 4, &[1, 0xFF]), "cease: administrative reset"),
        (plain(6, 99, &[]), "cease: subcode 99"),
        (
            plain(2, 1, &[0, 3]),
            "OPEN message error: unsupported version number: it speaks 3",
        ),
        (
            plain(3, 11, &[1]),
            "UPDATE message error: malformed AS_PATH",
        ),
        (plain(5, 0, &[]), "finite state machine error"),
        (
            plain(7, 1, &[]),
            "ROUTE-REFRESH message error: invalid message length",
        ),
        (plain(77, 7, &[]), "error 77 of subcode 7"),
    ] {
        assert_eq!(notification.describe(), words);
    }
}

#[test]
fn an_operators_words_are_cut_at_a_character() {
    let long = Notification::cease(Cease::Reset, &"ü".repeat(200));
    assert_eq!(long.data.len(), 255);
    assert_eq!(long.data[0], 254);
    assert!(long.describe().ends_with('ü'));
    // Others carry none (RFC 9003 section 2).
    assert_eq!(Notification::cease(Cease::Collision, "text").data, []);
}

#[test]
fn refreshes_are_read_by_what_was_agreed_on() {
    let refresh = |subtype, enhanced| {
        let context = tombolo_bgp::message::Negotiated {
            enhanced_refresh: enhanced,
            ..context()
        };
        match decode(&message(5, &[0, 2, subtype, 1]), Some(&context)).unwrap() {
            Message::Refresh(refresh) => Some((refresh.family, refresh.kind)),
            Message::Ignored(_) => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refresh(0, true), Some((Family::Ipv6, RefreshKind::Request)));
    assert_eq!(refresh(1, true), Some((Family::Ipv6, RefreshKind::Begin)));
    assert_eq!(refresh(2, true), Some((Family::Ipv6, RefreshKind::End)));
    assert_eq!(refresh(3, true), None);
    // Reserved, and not looked at (RFC 2918 section 3).
    assert_eq!(
        refresh(1, false),
        Some((Family::Ipv6, RefreshKind::Request))
    );
    let foreign = decode(&message(5, &[0, 1, 0, 128]), Some(&context()));
    assert!(matches!(foreign, Ok(Message::Ignored(_))), "{foreign:?}");
}

#[test]
fn refreshes_of_another_length_are_refused() {
    let bytes = message(5, &[0, 1, 0, 1, 9]);
    // RFC 7313 section 5: the whole message is told.
    assert_notifies(
        &decode(&bytes, Some(&context())).unwrap_err(),
        (7, 1, &bytes),
    );
    assert_notifies(&decode(&bytes, None).unwrap_err(), (1, 2, &[0, 24]));
}

#[test]
fn an_update_before_an_open_is_unexpected() {
    assert_notifies(
        &decode(&update(&[], &[], &[]), None).unwrap_err(),
        (5, 1, &[]),
    );
}
