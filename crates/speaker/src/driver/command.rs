//! What others want of a running speaker.

use std::collections::BTreeMap;
use std::sync::mpsc::TryRecvError;

use ipnet::IpNet;
use tokio::sync::oneshot;
use tombolo_bgp::rib::NextHops;
use tombolo_bgp::{Config, Moment, Origination, PeerKey, Stop};

use super::{Driver, ENDING, listeners};
use crate::error::SpeakerError;
use crate::socket::listener::Listener;
use crate::status::{Status, status_of};

/// One wish, and where the answer goes.
#[derive(Debug)]
pub(crate) enum Command {
    Configure(Box<Config>, oneshot::Sender<Result<(), SpeakerError>>),
    Originate(BTreeMap<IpNet, Origination>),
    NextHops(NextHops),
    Reset(PeerKey, bool),
    Refresh(PeerKey),
    Status(oneshot::Sender<Status>),
    Stop(Stop, oneshot::Sender<()>),
}

impl Driver {
    /// Does all that is wanted. That nobody is left who could want anything means to stop.
    pub(super) fn obey(&mut self, now: Moment) {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.carry_out(command, now),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.end(Stop::Graceful, None, now),
            }
        }
    }

    fn carry_out(&mut self, command: Command, now: Moment) {
        match command {
            Command::Configure(config, reply) => {
                // Who asked may have gone away.
                let _ = reply.send(self.configure(*config, now));
            }
            Command::Originate(routes) => self.speaker.originate(routes, now),
            Command::NextHops(hops) => self.speaker.set_next_hops(hops, now),
            Command::Reset(peer, hard) => self.speaker.reset(&peer, hard, now),
            Command::Refresh(peer) => self.speaker.refresh(&peer, now),
            Command::Status(reply) => {
                let bfd = self.detection.statuses();
                let _ = reply.send(status_of(&self.speaker, self.problems(), &bfd, now));
            }
            Command::Stop(how, reply) => self.end(how, Some(reply), now),
        }
    }

    /// Follows another configuration. Where another port cannot be had, everything stays as it is.
    fn configure(&mut self, config: Config, now: Moment) -> Result<(), SpeakerError> {
        if config.port != self.config.port {
            self.listeners = listeners(&self.listen, &config, &self.poller)?;
        }
        self.speaker.configure(config.clone(), now);
        self.config = config;
        self.follow();
        Ok(())
    }

    /// What the kernel does not let us do, in words.
    fn problems(&self) -> Vec<String> {
        let resting = self.listeners.iter().filter_map(Listener::trouble);
        self.problems.iter().cloned().chain(resting).collect()
    }

    fn end(&mut self, how: Stop, reply: Option<oneshot::Sender<()>>, now: Moment) {
        if self.ending.is_some() {
            return;
        }
        self.listeners.clear();
        self.detection.switch_off();
        self.speaker.stop(how, now);
        self.ending = Some((now + ENDING, reply));
    }
}
