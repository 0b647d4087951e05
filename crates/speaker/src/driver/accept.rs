//! Connections that peers make.
//!
//! Who is not configured is closed without a word, and so is who does not sign as it must. Where the kernel
//! has run out of what a connection takes, those that wait are left waiting for a while.

use std::time::Duration;

use tombolo_bgp::Moment;

use super::Driver;
use super::connection::{Connection, Phase};
use crate::poller::Token;
use crate::socket::dial;
use crate::socket::listener::{self, Accepted};

/// So many connections are taken at once, before others have their turn.
const ACCEPTED_AT_ONCE: usize = 64;
/// So long nobody is taken in when the kernel has nothing more to take connections with.
const REST: Duration = Duration::from_millis(500);

impl Driver {
    /// Takes the connections that wait at a listener.
    pub(super) fn accept(&mut self, place: usize, now: Moment) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let Some(listener) = self.listeners.get(place) else {
                return;
            };
            match listener.accept() {
                Ok(Some(accepted)) => {
                    let password = self.config.peers.get(&accepted.peer);
                    let password = password.and_then(|peer| peer.password.as_ref());
                    if listener.guards(&accepted.peer, password) {
                        self.admit(accepted, now);
                    } else {
                        tracing::warn!(peer = %accepted.peer, "a connection is not signed as it must be");
                    }
                }
                Ok(None) => return,
                Err(error) => return self.rest(place, &error, now),
            }
        }
    }

    /// A connection could not be taken. It still waits, and epoll would say so again and again: where
    /// the kernel has run out of something, the listener is not looked at for a while.
    fn rest(&mut self, place: usize, error: &std::io::Error, now: Moment) {
        let Some(listener) = self.listeners.get_mut(place) else {
            return;
        };
        if !listener::has_run_out(error) {
            // The peer was gone before we looked.
            tracing::debug!(%error, "a connection could not be taken");
            return;
        }
        listener.rest(error, now + REST);
        if let Some(trouble) = listener.trouble() {
            tracing::warn!("{trouble}");
        }
        let token = Token::Listener(place as u8);
        let _ = self
            .poller
            .interest(&listener.socket, token, (false, false));
    }

    /// Looks at the listeners again that have rested.
    pub(super) fn listen_again(&mut self, now: Moment) {
        for (place, listener) in self.listeners.iter_mut().enumerate() {
            if listener.rests_until.is_some_and(|until| until <= now) {
                listener.rests_until = None;
                let token = Token::Listener(place as u8);
                let _ = self.poller.interest(&listener.socket, token, (true, false));
            }
        }
    }

    fn admit(&mut self, accepted: Accepted, now: Moment) {
        let Accepted {
            peer,
            local,
            socket,
        } = accepted;
        let conn = match self.speaker.accepted(&peer, local, now) {
            Ok(conn) => conn,
            Err(why) => {
                tracing::debug!(%peer, why, "a connection is refused");
                return;
            }
        };
        let dressed = match self.config.peers.get(&peer) {
            Some(config) => dial::dress(&socket, peer.address, config, self.is_internal(config)),
            None => Ok(()),
        };
        let connection = Connection::new(socket, peer, Phase::Open);
        let kept = dressed
            .map_err(|error| error.to_string())
            .and_then(|()| self.keep(conn, connection));
        if let Err(why) = kept {
            self.speaker.closed(conn, &why, now);
        }
    }
}
