//! The best routes, handed out.
//!
//! Whoever looks at them gets them as they are at that moment, and keeps nobody waiting. Changes are made
//! in place where nobody keeps the routes, and in a copy where somebody does; since a copy of a large
//! table takes its time, the more a publication costs the longer the next one waits and takes more
//! with it. What has changed meanwhile stays with the speaker, which knows it anyway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ipnet::IpNet;
use tokio::sync::watch;
use tombolo_bgp::rib::Path;
use tombolo_bgp::{Moment, Speaker};

use crate::error::SpeakerError;

/// Between two publications, so many times what the last one took.
const REST: u32 = 4;

/// What all peers together lead to.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// By prefix, the best path, and those that are used beside it. Without our own routes. Prefixes
    /// with the same paths may share them.
    pub best: BTreeMap<IpNet, Arc<[Path]>>,
    /// After a restart: whether all peers have said what they know, or enough time has passed. Until
    /// then what the kernel still holds should stay (RFC 4724 section 4.1).
    pub settled: bool,
}

/// Sees the routes of a speaker, and when they change.
#[derive(Debug, Clone)]
pub struct RoutesWatch {
    routes: Arc<Mutex<Arc<Routes>>>,
    news: watch::Receiver<()>,
}

impl RoutesWatch {
    /// The routes as they are now. They do not change in the hands of who holds them.
    #[must_use]
    pub fn now(&self) -> Arc<Routes> {
        Arc::clone(&held(&self.routes))
    }

    /// The routes as they are now; from here on counts what is [`changed`](Self::changed).
    pub fn take(&mut self) -> Arc<Routes> {
        self.news.mark_unchanged();
        self.now()
    }

    /// Waits until the routes are others than when they were last taken, or waited for.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub async fn changed(&mut self) -> Result<(), SpeakerError> {
        let changed = self.news.changed().await;
        changed.map_err(|_| SpeakerError::Stopped)
    }

    /// Waits until the routes are as wanted.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub async fn wait_for(
        &mut self,
        wanted: impl Fn(&Routes) -> bool,
    ) -> Result<Arc<Routes>, SpeakerError> {
        loop {
            let routes = self.take();
            if wanted(&routes) {
                return Ok(routes);
            }
            drop(routes);
            self.changed().await?;
        }
    }

    /// Whether the speaker has stopped: there will be no others.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.news.has_changed().is_err()
    }
}

/// Hands routes out.
#[derive(Debug)]
pub(crate) struct Publisher {
    routes: Arc<Mutex<Arc<Routes>>>,
    news: watch::Sender<()>,
    settled: bool,
    not_before: Moment,
}

impl Publisher {
    pub(crate) fn new() -> (Publisher, RoutesWatch) {
        let (sender, receiver) = watch::channel(());
        let routes = Arc::default();
        let watch = RoutesWatch {
            routes: Arc::clone(&routes),
            news: receiver,
        };
        let publisher = Publisher {
            routes,
            news: sender,
            settled: false,
            not_before: Moment::ZERO,
        };
        (publisher, watch)
    }

    /// When there is something to publish.
    pub(crate) fn due(&self, speaker: &Speaker) -> Option<Moment> {
        let news = speaker.has_changes() || self.settled != speaker.settled();
        news.then_some(self.not_before)
    }

    /// Publishes what has changed, if it is time.
    pub(crate) fn publish(&mut self, speaker: &mut Speaker, now: Moment) {
        if self.due(speaker).is_none_or(|due| due > now) {
            return;
        }
        let begun = Instant::now();
        self.settled = speaker.settled();
        {
            let mut held = held(&self.routes);
            let routes = Arc::make_mut(&mut held);
            routes.settled = self.settled;
            speaker.take_changes(|prefix, paths| {
                if paths.is_empty() {
                    routes.best.remove(&prefix);
                } else {
                    routes.best.insert(prefix, paths);
                }
            });
        }
        self.news.send_replace(());
        self.not_before = now + begun.elapsed() * (REST + 1);
    }
}

/// Nobody panics while it is held: it is whole at any time.
fn held(routes: &Mutex<Arc<Routes>>) -> MutexGuard<'_, Arc<Routes>> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_bgp::{Asn, Config, RouterId};

    #[test]
    fn who_keeps_the_routes_keeps_nobody_waiting_and_sees_no_change() {
        let config = Config {
            asn: Asn(65001),
            router_id: RouterId([192, 0, 2, 1].into()),
            port: 179,
            cluster_id: None,
            multipath: 1,
            graceful: None,
            peers: BTreeMap::new(),
        };
        let mut speaker = Speaker::new(config, 1, false, Moment::ZERO);
        let (mut publisher, mut watch) = Publisher::new();
        let kept = watch.take();
        publisher.publish(&mut speaker, Moment::ZERO);
        assert!(!kept.settled && watch.now().settled);
        assert!(publisher.due(&speaker).is_none() && !watch.has_ended());
        drop(publisher);
        assert!(watch.has_ended());
    }
}
