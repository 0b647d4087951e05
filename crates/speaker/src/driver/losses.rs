//! Peers that BFD has lost.
//!
//! A session that stood when the peer was last heard ends at once. One that came to stand since is most
//! likely that of a peer which was restarted, and its BFD with it: it is given the time that BFD takes
//! to come up again, and ends if BFD has not.

use std::time::Duration;

use tombolo_bfd::State;
use tombolo_bgp::Moment;

use super::Driver;

/// BFD begins with a packet a second (RFC 5880 section 6.8.3), and is up after three of them.
const DOUBT: Duration = Duration::from_secs(5);

impl Driver {
    /// Takes the losses that there are.
    pub(super) fn take_losses(&mut self, now: Moment) {
        for loss in self.detection.losses() {
            if self.speaker.bfd_failed(&loss.peer, loss.heard, now) {
                self.doubts.insert(loss.peer, now + DOUBT);
            }
        }
    }

    /// Ends the sessions of peers whose BFD has not come back.
    pub(super) fn settle_doubts(&mut self, now: Moment) {
        if self.doubts.values().all(|until| *until > now) {
            return;
        }
        let statuses = self.detection.statuses();
        let (speaker, doubts) = (&mut self.speaker, &mut self.doubts);
        doubts.retain(|peer, until| {
            let status = statuses.get(peer).filter(|_| *until <= now);
            // Who switched it off has not failed.
            if status.is_some_and(|s| s.state == State::Down && s.remote_state != State::AdminDown)
            {
                speaker.bfd_failed(peer, now, now);
            }
            *until > now
        });
    }
}
