//! BGP messages from any bytes, under whatever was agreed on: no input makes the reader panic, and what
//! is read is written as itself.
//!
//! The first byte says what was agreed on, the others are what arrives on a connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tombolo_bgp::message::{Message, Negotiated, Update, decode, encode, encode_announced, frame};
use tombolo_bgp::{Asn, Families, Family, RouterId};

fuzz_target!(|bytes: &[u8]| {
    let Some((agreed, mut stream)) = bytes.split_first() else {
        return;
    };
    let context = context(*agreed);
    let context = (agreed & 1 == 0).then_some(&context);
    while let Ok(Some(length)) = frame(stream) {
        let (first, rest) = stream.split_at(length);
        match (decode(first, context), context) {
            (Ok(Message::Update(update)), Some(context)) => again(&update, context),
            (Ok(Message::Notification(notification)), _) => assert!(!notification.describe().is_empty()),
            (Ok(message @ Message::Open(_)), _) => {
                let mut written = Vec::new();
                encode(&message, None, &mut written);
                // Capabilities without an entry for a family of ours are shorter when written.
                let read = decode(&written, None).expect("what was written is read");
                let mut twice = Vec::new();
                encode(&read, None, &mut twice);
                assert_eq!(written, twice);
            }
            _ => (),
        }
        stream = rest;
    }
});

fn context(agreed: u8) -> Negotiated {
    let bit = |bit: u8| agreed & 1 << bit != 0;
    let paths = Families { ipv4: bit(1), ipv6: bit(1) };
    Negotiated {
        peer_asn: Asn(65010),
        peer_id: RouterId([192, 0, 2, 2].into()),
        local_address: [192, 0, 2, 1].into(),
        peer_address: [192, 0, 2, 2].into(),
        internal: bit(2),
        families: Families { ipv4: !bit(3), ipv6: !bit(4) },
        four_octet: !bit(5),
        extended_next_hop: !bit(6),
        add_path_send: paths,
        add_path_receive: paths,
        refresh: true,
        enhanced_refresh: !bit(7),
        hold_time: 90,
        graceful: None,
        long_lived: Vec::new(),
    }
}

/// Writes what was announced and reads it again. Two octets are left out: what stands there for more than
/// one system reads as it was merged.
fn again(update: &Update, context: &Negotiated) {
    if !context.four_octet || !context.internal {
        return;
    }
    for (attributes, prefixes) in &update.announced {
        let Some(first) = prefixes.first() else {
            continue;
        };
        let mut written = Vec::new();
        let family = Family::of(first.prefix);
        // What fits as it came may be a byte longer as we write it.
        if encode_announced(attributes, family, prefixes, context, &mut written).is_err() {
            continue;
        }
        let mut stream = written.as_slice();
        let mut read = Vec::new();
        while let Some(length) = frame(stream).expect("what was written has frames") {
            let (one, rest) = stream.split_at(length);
            let Ok(Message::Update(update)) = decode(one, Some(context)) else {
                panic!("what was written is no UPDATE: {one:?}");
            };
            assert_eq!(update.faults, Vec::<String>::new());
            for (same, prefixes) in update.announced {
                assert_eq!(&same, attributes);
                read.extend(prefixes);
            }
            stream = rest;
        }
        assert_eq!(&read, prefixes);
    }
}
