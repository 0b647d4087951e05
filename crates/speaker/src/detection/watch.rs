//! The thread of BFD: it waits, hears, and only then looks at the clock.
//!
//! However late this thread is, who was heard in time is not taken for gone: what has come meanwhile
//! waits in the sockets, and is heard first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Instant;

use nix::sys::eventfd::EventFd;
use tombolo_bfd::Status;
use tombolo_bgp::{Moment, PeerKey};

use super::Loss;
use super::links::{Links, Wanted};
use crate::error::SpeakerError;
use crate::poller::{Poller, Token};

/// One wish of the driver, and where the answer goes.
#[derive(Debug)]
pub(super) enum Wish {
    /// To have these sessions; what could not be done.
    Follow(Wanted, Sender<Vec<SpeakerError>>),
    Statuses(Sender<BTreeMap<PeerKey, Status>>),
    SwitchOff(Sender<()>),
}

/// The thread and all that it touches.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    poller: Poller,
    wishes: Receiver<Wish>,
    losses: Sender<Loss>,
    driver: Arc<EventFd>,
    links: Links,
}

impl Watch {
    pub(super) fn open(
        seed: u64,
        began: Instant,
        wishes: Receiver<Wish>,
        losses: Sender<Loss>,
        driver: Arc<EventFd>,
    ) -> Result<(Watch, Arc<EventFd>), SpeakerError> {
        let (poller, waker) = Poller::new()?;
        let watch = Watch {
            began,
            poller,
            wishes,
            losses,
            driver,
            links: Links::new(seed),
        };
        Ok((watch, waker))
    }

    /// Runs until nobody is left who could wish for anything.
    pub(super) fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            let due = self.links.timeout();
            let limit = due.map(|due| due.saturating_sub(self.now()));
            self.poller.wait(limit, &mut ready);
            let mut lost = Vec::new();
            for ready in &ready {
                if let Token::Ear(place) = ready.token {
                    self.links.hear(place, self.began.elapsed(), &mut lost);
                }
            }
            self.links.tick(self.now(), &mut lost);
            self.tell(lost);
            if !self.obey() {
                return;
            }
        }
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn tell(&self, lost: Vec<PeerKey>) {
        for peer in lost {
            let heard = self.links.heard_up(&peer).unwrap_or_else(|| self.now());
            // Where the driver is gone, so is this thread soon.
            let _ = self.losses.send(Loss { peer, heard });
            let _ = self.driver.write(1);
        }
    }

    /// Does all that is wished for; whether there is somebody who could wish for more.
    fn obey(&mut self) -> bool {
        loop {
            let now = self.now();
            match self.wishes.try_recv() {
                Ok(Wish::Follow(wanted, reply)) => {
                    let _ = reply.send(self.links.follow(wanted, &self.poller, now));
                }
                Ok(Wish::Statuses(reply)) => {
                    let _ = reply.send(self.links.statuses());
                }
                Ok(Wish::SwitchOff(reply)) => {
                    self.links.switch_off(now);
                    let _ = reply.send(());
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}
