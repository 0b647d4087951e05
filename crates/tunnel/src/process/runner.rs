//! The thread that carries a tunnel: it lets the control think, and makes the datapath follow.
//!
//! Whatever comes is an event in one queue: wishes of the owner, and messages of other tunnels, which a
//! thread beside it takes from the datapath. The packets themselves are never here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::board::{Board, Status};
use super::handle::{Handed, Options, spawn};
use super::opened;
use crate::control::{Control, Moment, Output};
use crate::{
    Config, ControlMessage, Datapath, NetworkEntry, PeerEntry, PeerId, Ports, Table, Traffic,
    TunnelError,
};

/// So often it is looked at who is sent to, and whether all devices are there.
const LOOK: Duration = Duration::from_secs(1);

/// Something that a tunnel is to do or to know.
#[derive(Debug)]
pub(super) enum Event {
    Configure(Box<Config>, SyncSender<()>),
    Status(SyncSender<Status>),
    Message(ControlMessage),
    HandOver(SyncSender<Handed>),
    TakeBack(Box<Handed>, SyncSender<()>),
    Stop(SyncSender<()>),
}

/// A tunnel and all that it touches.
#[derive(Debug)]
pub(super) struct Runner {
    queues: usize,
    began: Instant,
    board: Arc<Board>,
    events: Sender<Event>,
    control: Control,
    datapath: Option<Datapath>,
    /// What went to each peer, and how much of it was seen at the last look.
    traffic: BTreeMap<PeerId, (Arc<Traffic>, u64)>,
    looked: Moment,
    problems: Vec<String>,
    out: Vec<Output>,
}

impl Runner {
    pub fn new(options: &Options, board: Arc<Board>, events: Sender<Event>) -> Runner {
        Runner {
            queues: options.queues,
            began: Instant::now(),
            board,
            events,
            control: Control::new(Config::default(), options.seed, Moment::ZERO),
            datapath: None,
            traffic: BTreeMap::new(),
            looked: Moment::ZERO,
            problems: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self, events: &Receiver<Event>) {
        loop {
            let now = self.now();
            self.turn(now);
            let due = self.control.timeout().unwrap_or(Moment::MAX);
            let wait = due.min(self.looked + LOOK).saturating_sub(now);
            match events.recv_timeout(wait) {
                Ok(Event::Stop(reply)) => {
                    drop(self.datapath.take());
                    let _ = reply.send(());
                    return;
                }
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, event: Event) {
        // Who asked may have gone.
        match event {
            Event::Configure(config, reply) => {
                self.configure(*config);
                let _ = reply.send(());
            }
            Event::Status(reply) => {
                let _ = reply.send(self.status());
            }
            Event::Message(message) => self.hear(&message),
            Event::HandOver(reply) => {
                let handed = Handed {
                    config: self.control.config().clone(),
                    ways: self.control.ways(),
                    ports: self.rest(),
                };
                let _ = reply.send(handed);
            }
            Event::TakeBack(handed, reply) => {
                self.take_over(*handed);
                let _ = reply.send(());
            }
            Event::Stop(_) => {}
        }
    }

    /// Goes on with what another tunnel was.
    pub fn take_over(&mut self, handed: Handed) {
        let now = self.now();
        if self.control.config() != &handed.config {
            self.control.configure(handed.config, now);
            self.control.resume(&handed.ways, now);
        }
        self.begin(handed.ports);
        self.fit();
        self.publish();
    }

    fn configure(&mut self, config: Config) {
        let now = self.now();
        if self.control.config() != &config {
            self.control.configure(config, now);
        }
        self.fit();
        self.publish();
    }

    /// Makes devices and sockets as they should be, if they are not. Meanwhile packets wait in them.
    fn fit(&mut self) {
        let config = self.control.config().clone();
        let ports = self.datapath.as_ref().and_then(Datapath::ports);
        if ports.is_some_and(|ports| opened::fits(ports, &config)) {
            self.problems.clear();
            return;
        }
        let (ports, problems) = opened::fit(self.rest(), &config, self.queues);
        self.problems = problems;
        self.begin(ports);
    }

    /// Stops the datapath.
    fn rest(&mut self) -> Ports {
        self.datapath.take().map(Datapath::stop).unwrap_or_default()
    }

    fn begin(&mut self, ports: Ports) {
        match self.start(ports) {
            Ok(datapath) => self.datapath = Some(datapath),
            Err(error) => self.problems.push(error.to_string()),
        }
    }

    fn start(&mut self, ports: Ports) -> Result<Datapath, TunnelError> {
        let (datapath, messages) = Datapath::start_with(ports, Arc::new(self.table()))?;
        let events = self.events.clone();
        spawn("tunnel-control", move || {
            // Ends with the datapath, or with this tunnel.
            for message in messages {
                if events.send(Event::Message(message)).is_err() {
                    return;
                }
            }
        })?;
        Ok(datapath)
    }

    fn hear(&mut self, message: &ControlMessage) {
        let now = self.now();
        let came = (message.from, message.port);
        // What is not listened to is counted.
        let _ = (self.control).receive(came, &message.body, now, &mut self.out);
    }

    fn turn(&mut self, now: Moment) {
        if now >= self.looked + LOOK {
            self.looked = now;
            self.look(now);
        }
        self.control.tick(now, &mut self.out);
        while !self.out.is_empty() {
            for output in std::mem::take(&mut self.out) {
                self.send(&output, now);
            }
            self.control.tick(now, &mut self.out);
        }
        if self.control.take_changed() {
            self.publish();
        }
    }

    fn send(&mut self, output: &Output, now: Moment) {
        let Some(datapath) = &self.datapath else {
            return;
        };
        let port = output.peer.address.port();
        let sent = datapath.send_control(port, output.to, &output.body);
        // What is lost otherwise is asked again.
        if let Err(TunnelError::Send {
            errno: Errno::EMSGSIZE,
            ..
        }) = sent
        {
            self.control.refused(&output.peer, &output.body, now);
        }
    }

    fn look(&mut self, now: Moment) {
        for (peer, (traffic, seen)) in &mut self.traffic {
            let sent = traffic.sums().sent_packets;
            if sent != *seen {
                *seen = sent;
                self.control.active(peer, now);
            }
        }
        let is_whole = self.problems.is_empty();
        let lost = self.datapath.as_ref().map(Datapath::lost);
        if !is_whole || lost.is_some_and(|lost| !lost.is_empty()) {
            let before = self.problems.clone();
            self.fit();
            if before != self.problems {
                self.board.change();
            }
        }
    }

    /// Makes the datapath go by what is known.
    fn publish(&mut self) {
        self.control.take_changed();
        let table = Arc::new(self.table());
        if let Some(datapath) = &self.datapath {
            datapath.set_table(table);
        }
        self.board.change();
    }

    fn table(&mut self) -> Table {
        let ways = self.control.ways();
        self.traffic.retain(|id, _| ways.contains_key(id));
        let mut places = BTreeMap::new();
        let mut peers = Vec::with_capacity(ways.len());
        for (id, way) in ways {
            let (traffic, _) = self.traffic.entry(id.clone()).or_default();
            peers.push(PeerEntry {
                id: id.node.clone(),
                port: id.address.port(),
                endpoint: way.endpoint,
                mtu: way.mtu,
                traffic: Arc::clone(traffic),
            });
            places.insert(id, peers.len() - 1);
        }
        let networks = self.control.config().networks.iter();
        let networks = networks.map(|(id, network)| {
            let routes = network.routes.iter();
            let routes = routes.filter_map(|(net, peer)| Some((*net, *places.get(peer)?)));
            let routes = routes.collect();
            (*id, NetworkEntry { routes })
        });
        Table::new(peers, &networks.collect())
    }

    fn status(&self) -> Status {
        let counters = self.datapath.as_ref().map(Datapath::counters);
        let counters = counters.unwrap_or_default();
        Status {
            edition: self.board.edition(),
            process: std::process::id(),
            peers: self.control.status(self.now()),
            traffic: counters.peers,
            dropped: counters.dropped,
            discards: self.control.discards().clone(),
            problems: self.problems.clone(),
        }
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }
}
