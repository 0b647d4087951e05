//! The best routes, handed out.
//!
//! Whoever looks at them borrows them, or takes a reference and keeps it. Changes are made in place
//! where nobody keeps the routes, and in a copy where somebody does; since a copy of a large table takes
//! its time, the more a publication costs the longer the next one waits and takes more with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::watch;
use tombolo_bgp::Moment;
use tombolo_bgp::rib::Path;

/// Between two publications, so many times what the last one took.
const REST: u32 = 4;

/// What all peers together lead to.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// By prefix, the best path, and those that are used beside it. Without our own routes.
    pub best: BTreeMap<IpNet, Vec<Path>>,
    /// After a restart: whether all peers have said what they know, or enough time has passed. Until
    /// then what the kernel still holds should stay (RFC 4724 section 4.1).
    pub settled: bool,
}

/// Hands routes out.
#[derive(Debug)]
pub(crate) struct Publisher {
    sender: watch::Sender<Arc<Routes>>,
    waiting: BTreeMap<IpNet, Vec<Path>>,
    settled: bool,
    not_before: Moment,
}

impl Publisher {
    pub(crate) fn new() -> (Publisher, watch::Receiver<Arc<Routes>>) {
        let (sender, receiver) = watch::channel(Arc::new(Routes::default()));
        let publisher = Publisher {
            sender,
            waiting: BTreeMap::new(),
            settled: false,
            not_before: Moment::ZERO,
        };
        (publisher, receiver)
    }

    /// Takes what has changed; a prefix without a path is gone.
    pub(crate) fn take(&mut self, changes: Vec<(IpNet, Vec<Path>)>, settled: bool) {
        self.settled = settled;
        self.waiting.extend(changes);
    }

    /// When there is something to publish.
    pub(crate) fn due(&self) -> Option<Moment> {
        let news = !self.waiting.is_empty() || self.settled != self.sender.borrow().settled;
        news.then_some(self.not_before)
    }

    /// Publishes, if it is time.
    pub(crate) fn publish(&mut self, now: Moment) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        let begun = Instant::now();
        let (waiting, settled) = (std::mem::take(&mut self.waiting), self.settled);
        self.sender.send_modify(|routes| {
            let routes = Arc::make_mut(routes);
            routes.settled = settled;
            for (prefix, paths) in waiting {
                if paths.is_empty() {
                    routes.best.remove(&prefix);
                } else {
                    routes.best.insert(prefix, paths);
                }
            }
        });
        let took: Duration = begun.elapsed();
        self.not_before = now + took * (REST + 1);
    }
}
