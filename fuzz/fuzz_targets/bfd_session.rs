//! A BFD session that hears any datagrams at any times: it never panics, never sends what it would
//! not understand itself, and always says when it wants to be looked at.
#![no_main]

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tombolo_bfd::{Config, Hops, Moment, Packet, Session, Timers};

fuzz_target!(|input: &[u8]| {
    let config = Config {
        discriminator: NonZeroU32::MIN,
        timers: Timers {
            desired_min_tx: Duration::from_millis(100),
            required_min_rx: Duration::from_millis(100),
            multiplier: NonZeroU8::MAX,
        },
        hops: Hops::Single,
        seed: 1,
    };
    let mut now = Moment::ZERO;
    let mut session = Session::new(config, now);
    // Each datagram is a byte of pause, the time to live, and 24 bytes.
    for chunk in input.chunks(26) {
        let [pause, ttl, datagram @ ..] = chunk else {
            break;
        };
        now += Duration::from_millis(u64::from(*pause) * 16);
        let _ = session.receive(datagram, *ttl, now);
        let mut packets = Vec::new();
        let _ = session.tick(now, &mut packets);
        for packet in packets {
            assert!(Packet::decode(&packet).is_ok());
        }
        assert!(session.timeout().is_none_or(|due| due > now));
        let _ = session.status();
    }
});
