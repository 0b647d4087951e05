//! When a pass is made, and where it looks.
//!
//! A change of the World asks for one at once. Somebody else's change of the kernel asks for one a
//! moment later, so that what comes in a row is looked at once; and not before some time has passed
//! since the last look, so that what we do ourselves in a row is not followed by a reading each
//! time. Settings change without an event, and are looked at twice a second; everything is, now and
//! then.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tombolo_kernel::Look;

/// How long after the first event the kernel is looked at.
const GATHER: Duration = Duration::from_millis(3);
/// How long after the last look.
const PAUSE: Duration = Duration::from_millis(100);
/// How often settings are looked at.
const SETTINGS: Duration = Duration::from_millis(500);

/// What asks for passes.
#[derive(Default)]
pub(crate) struct Requests {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    world: bool,
    look: Look,
    /// When to look there.
    look_at: Option<Instant>,
    looked: Option<Instant>,
    settings_at: Option<Instant>,
    count: bool,
}

/// What one pass is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// The World may have changed.
    pub world: bool,
    /// Where the kernel is read anew.
    pub look: Look,
    /// What rules have counted is asked for.
    pub count: bool,
}

impl Requests {
    /// The World has changed.
    pub fn world_changed(&self) {
        self.lock().world = true;
        self.changed.notify_one();
    }

    /// Somebody wants to know what rules have counted.
    pub fn count(&self) {
        self.lock().count = true;
        self.changed.notify_one();
    }

    /// Somebody else has changed the kernel there.
    pub fn kernel_changed(&self, look: Look) {
        let mut pending = self.lock();
        pending.look.add(look);
        if pending.look_at.is_none() {
            let soon = Instant::now() + GATHER;
            let rested = pending.looked.map(|at| at + PAUSE);
            pending.look_at = Some(rested.map_or(soon, |at| at.max(soon)));
            self.changed.notify_one();
        }
    }

    /// Waits until there is something to do. At `everything_at` that is to look everywhere.
    pub fn next(&self, everything_at: Instant) -> Request {
        let mut pending = self.lock();
        loop {
            let now = Instant::now();
            let settings_at = *pending.settings_at.get_or_insert(now + SETTINGS);
            let mut look = Look::nowhere();
            if pending.look_at.is_some_and(|at| at <= now) {
                pending.look_at = None;
                pending.looked = Some(now);
                look.add(std::mem::take(&mut pending.look));
            }
            if settings_at <= now {
                pending.settings_at = Some(now + SETTINGS);
                look.add(Look::settings());
            }
            if everything_at <= now {
                look.add(Look::everywhere());
            }
            let world = std::mem::take(&mut pending.world);
            let count = std::mem::take(&mut pending.count);
            if world || count || look != Look::nowhere() {
                return Request { world, look, count };
            }
            let next = [Some(settings_at), pending.look_at, Some(everything_at)];
            let next = next.into_iter().flatten().min().unwrap_or(everything_at);
            let (guard, _) = self
                .changed
                .wait_timeout(pending, next.saturating_duration_since(now))
                .unwrap_or_else(PoisonError::into_inner);
            pending = guard;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Every change of it is a single step: after a panic it is still whole.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn the_world_goes_first_and_events_are_gathered() {
        let requests = Requests::default();
        requests.kernel_changed(Look::host());
        requests.world_changed();
        let first = requests.next(late());
        assert!(first.world);
        assert_eq!(first.look, Look::nowhere());
        requests.kernel_changed(Look::namespace(7));
        let second = requests.next(late());
        assert!(!second.world);
        let mut both = Look::host();
        both.add(Look::namespace(7));
        assert_eq!(second.look, both);
        // The next look is some time after this one.
        let begun = Instant::now();
        requests.kernel_changed(Look::host());
        let third = requests.next(late());
        assert_eq!(third.look, Look::host());
        assert!(begun.elapsed() > PAUSE / 2);
    }

    #[test]
    fn settings_and_everything_come_by_time() {
        let requests = Requests::default();
        assert_eq!(requests.next(late()).look, Look::settings());
        assert_eq!(requests.next(Instant::now()).look, Look::everywhere());
    }
}
