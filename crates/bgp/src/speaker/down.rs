//! How connections end: what is said, what becomes of the peer's routes, and when to try again.

use crate::config::PeerKey;
use crate::message::{Cease, Negotiated, Notification};
use crate::rib::{Down, PeerId};
use crate::session::{Cause, Ending};
use crate::types::Moment;

use super::peering::{Connection, Stage, Trouble};
use super::{Action, ConnId, Owner, Speaker, Stop};

impl Speaker {
    /// Ends a peer's session and lets it begin anew: `hard` so that nothing is kept meanwhile.
    pub fn reset(&mut self, peer: &PeerKey, hard: bool, now: Moment) {
        let words = "the session was reset by an operator";
        let ending = Ending::ceased(Cause::Wanted { hard }, Cease::Reset, words);
        if let Some(id) = self.ids.get(peer).copied() {
            self.pardon(id);
            self.end_all(id, &ending, now);
            self.begin(id, now);
        }
    }

    /// BFD has lost a peer that it last heard at a moment (RFC 5882). A session that stands ends at once,
    /// and nothing of it is kept, unless it came to stand since: then the peer was restarted, most likely,
    /// and its BFD with it. One that is restarting still is waited for as before (section 4.3.1). Whether
    /// such a session is left, to be asked about again when BFD has had its time to come up.
    pub fn bfd_failed(&mut self, peer: &PeerKey, heard: Moment, now: Moment) -> bool {
        let Some(id) = self.ids.get(peer).copied() else {
            return false;
        };
        let connections = (self.peers.get(&id)).map(|peering| &peering.connections);
        let mut connections = connections.into_iter().flatten();
        let standing = connections.find_map(|c| Some((c.id, c.stands_since()?)));
        let Some((conn, since)) = standing else {
            return false;
        };
        if since <= heard {
            let words = "BFD says that it cannot be reached";
            let ending = Ending::ceased(Cause::Unreachable, Cease::BfdDown, words);
            self.end(id, conn, ending, now);
        }
        since > heard
    }

    /// Ends all sessions for good.
    pub fn stop(&mut self, how: Stop, now: Moment) {
        self.stopped = Some(how);
        let ending = match how {
            Stop::Graceful => Ending::lost("we are being restarted"),
            Stop::Cease => Ending::ceased(
                Cause::Wanted { hard: true },
                Cease::Shutdown,
                "we are shut down",
            ),
        };
        let ids: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in ids {
            self.end_all(id, &ending, now);
        }
    }

    /// Forgets what a peer is being punished for.
    pub(super) fn pardon(&mut self, id: PeerId) {
        if let Some(peering) = self.peers.get_mut(&id) {
            peering.idle_until = None;
            peering.history.failures = 0;
        }
    }

    /// Ends all connections of a peer.
    pub(super) fn end_all(&mut self, id: PeerId, ending: &Ending, now: Moment) {
        let connections = self.peers.get(&id).map(|peering| &peering.connections);
        let connections: Vec<ConnId> = connections.into_iter().flatten().map(|c| c.id).collect();
        for conn in connections {
            self.end(id, conn, ending.clone(), now);
        }
    }

    /// Ends a connection.
    pub(super) fn end(&mut self, id: PeerId, conn: ConnId, ending: Ending, now: Moment) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(at) = peering.connections.iter().position(|c| c.id == conn) else {
            return;
        };
        let mut connection = peering.connections.remove(at);
        if ending.cause != Cause::Collision {
            peering.history.trouble = Some(Trouble {
                words: ending.words.clone(),
                at: now,
            });
        }
        if let Some(stood_since) = connection.stands_since() {
            peering.forgive(stood_since, now);
            peering.history.flaps += 1;
            peering.history.since = now;
        }
        self.say_farewell(&mut connection, &ending);
        self.remember(id, &connection);
        if let Some(agreed) = connection
            .session()
            .and_then(|session| session.established())
        {
            let agreed = agreed.clone();
            self.take_down(id, &agreed, &ending, now);
        }
        self.try_again(id, ending.cause, now);
        self.set_alarm(id, now);
    }

    /// Leaves what is still to be said, and has the connection closed, if it is still there.
    fn say_farewell(&mut self, connection: &mut Connection, ending: &Ending) {
        let mut last = Vec::new();
        if let Stage::Talking(session, _) = &mut connection.stage {
            let graceful = session
                .negotiated()
                .and_then(|agreed| agreed.graceful.as_ref());
            let notification = ending.last_word(graceful);
            last = session.finish(notification);
        }
        if let Some(owner) = self.connections.get_mut(&connection.id) {
            // Who goes without a word does not end in the middle of one either.
            let silent = ending.notification.is_none() && ending.cause == Cause::Lost;
            *owner = Owner::Closing(if silent { Vec::new() } else { last });
            self.actions.push_back(Action::Close {
                conn: connection.id,
            });
        }
    }

    fn remember(&mut self, id: PeerId, connection: &Connection) {
        if let (Some(peering), Some(session)) = (self.peers.get_mut(&id), connection.session()) {
            peering.history.traffic += session.traffic;
        }
    }

    fn take_down(&mut self, id: PeerId, agreed: &Negotiated, ending: &Ending, now: Moment) {
        // We are to find everything as it was when we are back.
        if self.stopped == Some(Stop::Graceful) {
            return;
        }
        self.lost_again(id);
        if ending.keeps(agreed.graceful.as_ref()) && self.stopped.is_none() {
            self.keep_stale(id, agreed, ending.cause, now);
        } else {
            self.rib.peer_down(id, Down::Forget);
            if let Some(peering) = self.peers.get_mut(&id) {
                peering.stale.clear();
            }
        }
    }

    fn try_again(&mut self, id: PeerId, cause: Cause, now: Moment) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        if peering.connections.is_empty() && self.stopped.is_none() {
            peering.schedule(cause, &mut self.random, now);
        }
    }

    /// A peer is not configured any more.
    pub(super) fn dismiss(&mut self, key: &PeerKey, now: Moment) {
        let Some(id) = self.ids.remove(key) else {
            return;
        };
        let words = "it is not configured any more";
        let ending = Ending::ceased(Cause::Wanted { hard: true }, Cease::Deconfigured, words);
        self.end_all(id, &ending, now);
        self.rib.forget(id);
        self.do_not_wait_for(id, now);
        if let Some(alarm) = self.peers.remove(&id).and_then(|peering| peering.alarm) {
            self.alarms.remove(&(alarm, id));
        }
    }
}

impl Ending {
    /// A connection is one too many.
    pub(super) fn collision(words: &str) -> Ending {
        Ending {
            cause: Cause::Collision,
            notification: Some(Notification::cease(Cease::Collision, words)),
            words: words.to_owned(),
        }
    }
}
