//! What is written is read as itself, whatever it is.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use support::{attributes, context, contexts, families, nlri, opens};
use tombolo_bgp::Family;
use tombolo_bgp::message::{
    Message, Negotiated, Notification, Refresh, RefreshKind, Update, decode, encode,
    encode_announced, encode_withdrawn, frame,
};

/// All messages of a buffer, by way of their frames.
fn read_all(mut buffer: &[u8], context: &Negotiated) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(length) = frame(buffer).unwrap() {
        let (first, rest) = buffer.split_at(length);
        assert!(length <= 4096, "{length}");
        messages.push(decode(first, Some(context)).unwrap());
        buffer = rest;
    }
    assert!(buffer.is_empty(), "{} bytes are left", buffer.len());
    messages
}

fn updates(messages: Vec<Message>) -> Vec<Update> {
    let updates = messages.into_iter().map(|message| match message {
        Message::Update(update) => update,
        other => panic!("no UPDATE: {other:?}"),
    });
    updates.collect()
}

fn assert_read_as_itself(message: &Message) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    encode(message, Some(&context()), &mut bytes);
    let read = read_all(&bytes, &context());
    prop_assert_eq!(read, std::slice::from_ref(message));
    Ok(())
}

proptest! {
    #[test]
    fn opens_are_read_as_written(open in opens()) {
        assert_read_as_itself(&Message::Open(open))?;
    }

    #[test]
    fn notifications_are_read_as_written(code: u8, subcode: u8, data in vec(any::<u8>(), 0..500)) {
        let notification = Notification { code, subcode, data };
        prop_assert!(!notification.describe().is_empty());
        assert_read_as_itself(&Message::Notification(notification))?;
    }

    #[test]
    fn announcements_are_read_as_written(
        (attributes, prefixes, context) in (families(), contexts()).prop_flat_map(|(family, context)| {
            let add_path = context.add_path_send.ipv4;
            (attributes(family), vec(nlri(family, add_path), 1..2000), Just(context))
        }),
    ) {
        let family = Family::of(prefixes[0].prefix);
        let mut bytes = Vec::new();
        encode_announced(&attributes, family, &prefixes, &context, &mut bytes).unwrap();
        let mut read = Vec::new();
        for update in updates(read_all(&bytes, &context)) {
            prop_assert_eq!(&update.faults, &Vec::<String>::new());
            prop_assert_eq!(update.withdrawn, []);
            prop_assert_eq!(update.announced.len(), 1);
            for (each, prefixes) in update.announced {
                prop_assert_eq!(&each, &attributes);
                read.extend(prefixes);
            }
        }
        prop_assert_eq!(read, prefixes);
    }

    #[test]
    fn withdrawals_are_read_as_written(
        (prefixes, context) in (families(), contexts()).prop_flat_map(|(family, context)| {
            (vec(nlri(family, context.add_path_send.ipv4), 1..2000), Just(context))
        }),
    ) {
        let mut bytes = Vec::new();
        encode_withdrawn(Family::of(prefixes[0].prefix), &prefixes, &context, &mut bytes);
        let updates = updates(read_all(&bytes, &context));
        prop_assert!(updates.iter().all(|update| update.announced.is_empty() && update.faults.is_empty()));
        let read: Vec<_> = updates.into_iter().flat_map(|update| update.withdrawn).collect();
        prop_assert_eq!(read, prefixes);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        code in 1_u8..6, body in vec(any::<u8>(), 0..200), context in proptest::option::of(contexts()),
    ) {
        let mut bytes = vec![0xFF; 16];
        bytes.extend_from_slice(&u16::try_from(19 + body.len()).unwrap().to_be_bytes());
        bytes.push(code);
        bytes.extend(body);
        let _ = decode(&bytes, context.as_ref());
    }
}

#[test]
fn small_messages_are_read_as_written() {
    assert_read_as_itself(&Message::Keepalive).unwrap();
    for family in [Family::Ipv4, Family::Ipv6] {
        for kind in [RefreshKind::Request, RefreshKind::Begin, RefreshKind::End] {
            assert_read_as_itself(&Message::Refresh(Refresh { family, kind })).unwrap();
        }
        assert_read_as_itself(&Message::Update(Update {
            end_of_rib: Some(family),
            ..Update::default()
        }))
        .unwrap();
    }
}
