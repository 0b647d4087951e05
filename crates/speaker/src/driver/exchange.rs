//! Connections: made, read, written, ended.
//!
//! The speaker says what is to be done; here it is done, and the speaker is told how it went.

use tombolo_bgp::{Action, ConnId, Moment, Peer, PeerKey};

use super::connection::{Connection, Found, Phase};
use super::{Driver, LAST_WORDS};
use crate::poller::{Ready, Token};
use crate::socket::dial;

/// As much is asked of the speaker at once.
const WRITE_BYTES: usize = 64 * 1024;
/// So often it is asked for one connection, before others have their turn.
const WRITES_AT_ONCE: usize = 16;
/// So many connections of a peer may wait for its end. Older ones are cut off.
const LINGERING: usize = 4;

impl Driver {
    /// Does what the speaker wants done, until it wants nothing more.
    pub(super) fn exchange(&mut self, now: Moment) {
        loop {
            for conn in self.speaker.pending() {
                self.send(conn, now);
            }
            let actions = self.speaker.actions();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                match action {
                    Action::Connect { conn, peer, config } => self.dial(conn, peer, &config, now),
                    Action::Close { conn } => self.begin_close(conn, now),
                }
            }
        }
        self.end_overdue(now);
    }

    fn dial(&mut self, conn: ConnId, peer: PeerKey, config: &Peer, now: Moment) {
        let dialled = dial::dial(&peer, config, self.is_internal(config)).and_then(|socket| {
            let connection = Connection::new(socket, peer, Phase::Dialling);
            self.keep(conn, connection)
        });
        if let Err(why) = dialled {
            self.speaker.closed(conn, &why, now);
        }
    }

    pub(super) fn is_internal(&self, peer: &Peer) -> bool {
        peer.asn == peer.local_asn.unwrap_or(self.config.asn)
    }

    pub(super) fn keep(&mut self, conn: ConnId, connection: Connection) -> Result<(), String> {
        let token = Token::Connection(conn);
        self.poller
            .add(&connection.socket, token)
            .map_err(|error| error.to_string())?;
        self.connections.insert(conn, connection);
        self.mind(conn);
        Ok(())
    }

    /// A connection is ready.
    pub(super) fn serve(&mut self, conn: ConnId, ready: Ready, now: Moment) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        match connection.phase {
            Phase::Dialling if ready.writable => match connection.finish_dialling() {
                Ok(local) => {
                    connection.phase = Phase::Open;
                    self.speaker.connected(conn, local, now);
                }
                Err(why) => return self.lose(conn, &why, now),
            },
            Phase::Dialling => {}
            Phase::Open | Phase::Closing(_) => {
                if ready.readable {
                    self.read(conn, now);
                }
                if ready.writable {
                    self.send(conn, now);
                }
            }
            Phase::Lingering(_) => match connection.read(&mut self.buffer) {
                Found::End(_) => drop(self.connections.remove(&conn)),
                Found::Bytes(_) | Found::Nothing => {}
            },
        }
        self.mind(conn);
    }

    /// Reads once; what is left makes the connection ready again, after the others had their turn.
    fn read(&mut self, conn: ConnId, now: Moment) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        match connection.read(&mut self.buffer) {
            // Whose end is decided is not listened to any more.
            Found::Bytes(_) if connection.phase != Phase::Open => {}
            Found::Bytes(count) => {
                let bytes = self.buffer.get(..count).unwrap_or_default();
                self.speaker.received(conn, bytes, now);
            }
            Found::Nothing => {}
            Found::End(why) => self.lose(conn, &why, now),
        }
    }

    /// Lets the speaker fill the connection until it has nothing more, or the peer must read first.
    fn send(&mut self, conn: ConnId, now: Moment) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        if !matches!(connection.phase, Phase::Open | Phase::Closing(_)) {
            return;
        }
        connection.has_more = true;
        for _ in 0..WRITES_AT_ONCE {
            if let Err(why) = connection.write() {
                return self.lose(conn, &why, now);
            }
            let Some(out) = connection.out() else {
                break;
            };
            self.speaker.transmit(conn, out, WRITE_BYTES, now);
            if out.is_empty() {
                connection.rest();
                break;
            }
        }
        if matches!(connection.phase, Phase::Closing(_)) && !connection.has_more {
            self.shut(conn, now);
        }
        self.mind(conn);
    }

    /// Everything is said: our end is shut, and the peer's waited for.
    fn shut(&mut self, conn: ConnId, now: Moment) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        connection.shut(now + LAST_WORDS);
        let peer = connection.peer.clone();
        self.speaker.closed(conn, "closed", now);
        let lingers = |c: &Connection| c.peer == peer && matches!(c.phase, Phase::Lingering(_));
        let waiting: Vec<ConnId> = (self.connections.iter())
            .filter(|(_, connection)| lingers(connection))
            .map(|(conn, _)| *conn)
            .collect();
        // The numbers of connections grow: the first is the oldest.
        for oldest in waiting.iter().rev().skip(LINGERING) {
            self.connections.remove(oldest);
        }
    }

    fn begin_close(&mut self, conn: ConnId, now: Moment) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        match connection.phase {
            Phase::Dialling => self.lose(conn, "closed", now),
            Phase::Open => {
                connection.phase = Phase::Closing(now + LAST_WORDS);
                self.send(conn, now);
            }
            Phase::Closing(_) | Phase::Lingering(_) => {}
        }
    }

    /// A connection is gone.
    fn lose(&mut self, conn: ConnId, why: &str, now: Moment) {
        let Some(connection) = self.connections.remove(&conn) else {
            return;
        };
        tracing::debug!(peer = %connection.peer, why, "a connection has ended");
        if !matches!(connection.phase, Phase::Lingering(_)) {
            self.speaker.closed(conn, why, now);
        }
    }

    /// Ends what had its time to end by itself.
    fn end_overdue(&mut self, now: Moment) {
        let overdue: Vec<ConnId> = (self.connections.iter())
            .filter(|(_, connection)| deadline(connection).is_some_and(|due| due <= now))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in overdue {
            self.lose(conn, "closed", now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.connections.values().filter_map(deadline).min()
    }

    /// Waits for what the connection needs next.
    fn mind(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn)
            && connection.wants() != connection.interest
        {
            connection.interest = connection.wants();
            let interest = connection.interest;
            // The descriptor is open and known to epoll, so that this fails only without memory.
            let _ = self
                .poller
                .interest(&connection.socket, Token::Connection(conn), interest);
        }
    }
}

fn deadline(connection: &Connection) -> Option<Moment> {
    match connection.phase {
        Phase::Closing(due) | Phase::Lingering(due) => Some(due),
        Phase::Dialling | Phase::Open => None,
    }
}
