//! Sessions over wires that lose, delay and break, at random but repeatably.
#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::{Wire, millis, timers};
use tombolo_bfd::{Event, Session, State, Timers};

fn any_timers() -> impl Strategy<Value = Timers> {
    (10_u64..2000, 10_u64..2000, 2_u8..6)
        .prop_map(|(transmit, receive, multiplier)| timers(transmit, receive, multiplier))
}

fn both_up(wire: &Wire) -> bool {
    wire.sides.iter().all(|side| side.state() == State::Up)
}

/// The longest that one side may need to notice that the other is gone.
fn detection(side: &Session) -> Duration {
    side.status().detection_time.unwrap()
}

proptest! {
    #[test]
    fn any_two_sides_come_up_and_stay_up(left in any_timers(), right in any_timers()) {
        let mut wire = Wire::new(left, right);
        wire.run(millis(10_000));
        prop_assert!(both_up(&wire));
        wire.run(millis(60_000));
        for log in &wire.logs {
            prop_assert_eq!(log.events.len(), 1, "{:?}", log.events);
        }
    }

    #[test]
    fn a_cut_is_noticed_within_the_detection_time_and_a_mended_wire_is_used_again(
        left in any_timers(), right in any_timers(), when in 10_000_u64..12_000,
    ) {
        let mut wire = Wire::new(left, right);
        wire.run(millis(when));
        prop_assert!(both_up(&wire));
        let limits = [detection(&wire.sides[0]), detection(&wire.sides[1])];
        wire.forget();
        wire.cut();
        let cut = wire.now;
        wire.run(millis(20_000));
        for (log, limit) in wire.logs.iter().zip(limits) {
            let [(at, Event::Failed(_))] = log.events[..] else {
                return Err(TestCaseError::fail(format!("{:?}", log.events)));
            };
            prop_assert!(at - cut <= limit);
        }
        wire.mend();
        wire.run(millis(10_000));
        prop_assert!(both_up(&wire));
    }

    #[test]
    fn losing_fewer_packets_in_a_row_than_the_multiplier_takes_nothing_down(
        left in any_timers(), right in any_timers(), seed in any::<u64>(),
    ) {
        let mut wire = Wire::new(left, right);
        wire.run(millis(10_000));
        wire.forget();
        let most = [left.multiplier.get() - 1, right.multiplier.get() - 1];
        let (mut random, mut lost) = (seed | 1, [0_u8; 2]);
        // Jitter sends early, never late, so that `multiplier` intervals hold as many packets; the
        // wire's delay is why one fewer may be lost than that.
        wire.delay = Duration::ZERO;
        wire.loses = Box::new(move |side| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let loses = random % 3 == 0 && lost[side] < most[side];
            lost[side] = if loses { lost[side] + 1 } else { 0 };
            loses
        });
        wire.run(millis(120_000));
        for log in &wire.logs {
            prop_assert!(log.events.is_empty(), "{:?}", log.events);
        }
    }

    #[test]
    fn nobody_sends_more_often_than_was_agreed(left in any_timers(), right in any_timers()) {
        let mut wire = Wire::new(left, right);
        wire.run(millis(10_000));
        wire.forget();
        wire.run(millis(60_000));
        for side in 0..2 {
            let agreed = wire.sides[side].status().transmit_interval;
            let times: Vec<_> = wire.logs[side].sent.iter().map(|(at, _)| *at).collect();
            prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= agreed * 3 / 4));
        }
    }

    #[test]
    fn timers_may_change_at_any_time(
        left in any_timers(), right in any_timers(), changes in prop::collection::vec((0_usize..2, any_timers(), 0_u64..3000), 1..8),
    ) {
        let mut wire = Wire::new(left, right);
        wire.run(millis(10_000));
        wire.forget();
        for (side, timers, pause) in changes {
            let now = wire.now;
            wire.sides[side].set_timers(timers, now);
            wire.run(millis(pause));
        }
        wire.run(millis(30_000));
        for log in &wire.logs {
            prop_assert!(log.events.is_empty(), "{:?}", log.events);
        }
    }
}
