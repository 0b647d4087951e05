//! Another's codec beside ours: NetGauze reads what we write, and what it writes of it we read as the same.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[allow(dead_code, reason = "the tests of our own codec use more of it")]
mod support;

use netgauze_bgp_pkt::BgpMessage;
use netgauze_bgp_pkt::path_attribute::PathAttributeValue;
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use netgauze_parse_utils::WritablePdu;
use netgauze_parse_utils::reader::SliceReader;
use netgauze_parse_utils::traits::ParseFromWithOneInput;
use proptest::collection::vec;
use proptest::prelude::*;
use support::{attributes, context, contexts, families, nlri, opens};
use tombolo_bgp::message::{
    Capability, Message, Negotiated, Notification, Open, Refresh, RefreshKind, Update, decode,
    encode, encode_announced, encode_withdrawn, frame,
};
use tombolo_bgp::{Attributes, Family, Nlri, RouterId};

/// What NetGauze must know to read what one with our context writes. It learns of paths from an OPEN.
fn theirs(context: &Negotiated) -> BgpParsingContext {
    let mut theirs = BgpParsingContext::asn2_default();
    theirs.set_asn4(context.four_octet);
    if context.add_path_send.ipv4 {
        let capability =
            Capability::AddPath(Family::ALL.map(|family| (family, true, true)).to_vec());
        let open = Open {
            asn: support::PEER,
            hold_time: 90,
            router_id: context.peer_id,
            capabilities: vec![capability],
        };
        let mut bytes = Vec::new();
        encode(&Message::Open(open), None, &mut bytes);
        let read = BgpMessage::parse(&mut SliceReader::new(&bytes), &mut theirs).unwrap();
        let BgpMessage::Open(open) = read else {
            panic!("no OPEN: {read:?}");
        };
        for capability in open.capabilities() {
            theirs.update_capabilities(capability, true);
        }
    }
    theirs
}

/// Reads messages with NetGauze, and with our codec what NetGauze writes of each.
fn through(bytes: &[u8], context: &Negotiated) -> Vec<(BgpMessage, Message)> {
    let mut rest = bytes;
    let mut read = Vec::new();
    let mut theirs = theirs(context);
    while let Some(length) = frame(rest).unwrap() {
        let (first, others) = rest.split_at(length);
        let message = BgpMessage::parse(&mut SliceReader::new(first), &mut theirs)
            .unwrap_or_else(|error| panic!("NetGauze does not read {first:?}: {error:?}"));
        let mut written = Vec::new();
        message.write(&mut written).unwrap();
        let again = decode(&written, Some(context))
            .unwrap_or_else(|fault| panic!("we do not read {written:?}: {fault}"));
        read.push((message, again));
        rest = others;
    }
    read
}

fn assert_same(message: &Message) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    encode(message, Some(&context()), &mut bytes);
    let read = through(&bytes, &context());
    let ours: Vec<&Message> = read.iter().map(|(_, ours)| ours).collect();
    prop_assert_eq!(ours, [message]);
    Ok(())
}

/// The attributes that NetGauze does not know: one that was made up, and AS4_AGGREGATOR.
fn unknown(message: &BgpMessage) -> Vec<u8> {
    let BgpMessage::Update(update) = message else {
        panic!("no UPDATE: {message:?}");
    };
    let attributes = update.path_attributes().iter();
    let codes = attributes.filter_map(|attribute| match attribute.value() {
        PathAttributeValue::UnknownAttribute(unknown) => Some(unknown.code()),
        _ => None,
    });
    codes.filter(|code| ![18, 200].contains(code)).collect()
}

/// An announcement by way of NetGauze: the attributes, which are the same in all messages, and the prefixes.
fn announced(
    read: Vec<(BgpMessage, Message)>,
    expected: &Attributes,
) -> Result<Vec<Nlri>, TestCaseError> {
    let mut prefixes = Vec::new();
    for (theirs, ours) in read {
        prop_assert_eq!(unknown(&theirs), Vec::<u8>::new());
        let Message::Update(update) = ours else {
            panic!("no UPDATE: {ours:?}");
        };
        prop_assert_eq!(update.faults, Vec::<String>::new());
        for (attributes, some) in update.announced {
            prop_assert_eq!(&attributes, expected);
            prefixes.extend(some);
        }
    }
    Ok(prefixes)
}

proptest! {
    #[test]
    fn opens_are_the_same_to_netgauze(mut open in opens()) {
        // It knows neither RFC 9072, for more than 255 bytes of parameters, nor RFC 6286, for identifiers
        // that are no host's address.
        let [_, a, b, c] = open.router_id.0.octets();
        open.router_id = RouterId([10, a, b, c].into());
        open.capabilities.retain(|capability| !matches!(capability, Capability::Unknown { .. }));
        assert_same(&Message::Open(open))?;
    }

    #[test]
    fn announcements_are_the_same_to_netgauze(
        (attributes, prefixes, context) in (families(), contexts()).prop_flat_map(|(family, context)| {
            let add_path = context.add_path_send.ipv4;
            (attributes(family), vec(nlri(family, add_path), 1..1500), Just(context))
        }),
    ) {
        let mut attributes = attributes;
        // Of communities of EVPN (type 6, RFC 7153) it does not keep what is reserved in them.
        for unknown in attributes.unknown.iter_mut().filter(|unknown| unknown.code == 16) {
            unknown.value.chunks_mut(8).for_each(|each| each[0] |= u8::from(each[0] == 6) << 7);
        }
        let family = Family::of(prefixes[0].prefix);
        let mut bytes = Vec::new();
        encode_announced(&attributes, family, &prefixes, &context, &mut bytes).unwrap();
        prop_assert_eq!(announced(through(&bytes, &context), &attributes)?, prefixes);
    }

    #[test]
    fn withdrawals_are_the_same_to_netgauze(
        (prefixes, context) in (families(), contexts()).prop_flat_map(|(family, context)| {
            (vec(nlri(family, context.add_path_send.ipv4), 1..1500), Just(context))
        }),
    ) {
        let mut bytes = Vec::new();
        encode_withdrawn(Family::of(prefixes[0].prefix), &prefixes, &context, &mut bytes);
        let read = through(&bytes, &context).into_iter().flat_map(|(_, ours)| match ours {
            Message::Update(update) => update.withdrawn,
            other => panic!("no UPDATE: {other:?}"),
        });
        prop_assert_eq!(read.collect::<Vec<Nlri>>(), prefixes);
    }
}

#[test]
fn small_messages_are_the_same_to_netgauze() {
    assert_same(&Message::Keepalive).unwrap();
    assert_same(&Message::Notification(Notification::HOLD_TIMER_EXPIRED)).unwrap();
    for family in Family::ALL {
        for kind in [RefreshKind::Request, RefreshKind::Begin, RefreshKind::End] {
            assert_same(&Message::Refresh(Refresh { family, kind })).unwrap();
        }
        let end_of_rib = Some(family);
        assert_same(&Message::Update(Update {
            end_of_rib,
            ..Update::default()
        }))
        .unwrap();
    }
}
