//! How often one address may show a wrong token: ten times a minute, then nothing from it is
//! looked at until the minute is over.
//!
//! A secret has 128 random bits, so that nobody finds one by trying; this keeps a host with an old
//! token in a loop from filling the log and the store with questions. A token itself is never
//! revoked for wrong guesses: that would let anybody who has seen its id take it from its owner.
//!
//! It lives in memory and forgets with the process. IPv6 hosts count by their /64, which is what
//! one host is given. The table has a limit; what does not fit shares one row.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a row counts, in seconds.
const WINDOW: u64 = 60;
/// How many wrong tokens one address may show in a window.
pub(crate) const ALLOWED: u32 = 10;
/// How many rows there are at most.
const ROWS: usize = 4_096;

/// The table of who was wrong how often.
#[derive(Default)]
pub(crate) struct Attempts {
    rows: Mutex<HashMap<IpAddr, Row>>,
}

struct Row {
    since: u64,
    wrong: u32,
}

impl Attempts {
    /// How many seconds an address has still to wait; nothing if it may try.
    pub(crate) fn wait(&self, peer: IpAddr, now: u64) -> Option<u64> {
        let rows = self.rows();
        let row = rows.get(&source(peer)).or_else(|| overflow(&rows))?;
        let over = row.since.saturating_add(WINDOW);
        (row.wrong >= ALLOWED && now < over).then(|| over - now)
    }

    /// Counts a wrong token.
    pub(crate) fn wrong(&self, peer: IpAddr, now: u64) {
        let mut rows = self.rows();
        let mut key = source(peer);
        if rows.len() >= ROWS && !rows.contains_key(&key) {
            rows.retain(|_, row| now < row.since.saturating_add(WINDOW));
            if rows.len() >= ROWS {
                key = SHARED;
            }
        }
        let row = rows.entry(key).or_insert(Row {
            since: now,
            wrong: 0,
        });
        if now >= row.since.saturating_add(WINDOW) {
            *row = Row {
                since: now,
                wrong: 0,
            };
        }
        row.wrong = row.wrong.saturating_add(1);
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<IpAddr, Row>> {
        // Every change is complete at every point where a thread could panic.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row of all that do not fit; no host sends from this address.
const SHARED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn overflow(rows: &HashMap<IpAddr, Row>) -> Option<&Row> {
    if rows.len() >= ROWS {
        rows.get(&SHARED)
    } else {
        None
    }
}

fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_heard_again_after_a_minute() {
        let attempts = Attempts::default();
        let (bad, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for _ in 0..ALLOWED {
            assert_eq!(attempts.wait(bad, 100), None);
            attempts.wrong(bad, 100);
        }
        assert_eq!(attempts.wait(bad, 110), Some(50));
        assert_eq!(attempts.wait(other, 110), None);
        assert_eq!(attempts.wait(bad, 160), None);
        attempts.wrong(bad, 160);
        assert_eq!(attempts.wait(bad, 160), None);
    }

    #[test]
    fn one_ipv6_host_cannot_hide_in_its_own_prefix() {
        let attempts = Attempts::default();
        for last in 0..ALLOWED {
            attempts.wrong(format!("2001:db8::{last:x}").parse().unwrap(), 0);
        }
        assert!(
            attempts
                .wait("2001:db8::ffff".parse().unwrap(), 1)
                .is_some()
        );
        assert_eq!(attempts.wait("2001:db8:0:1::1".parse().unwrap(), 1), None);
    }

    #[test]
    fn the_table_has_a_limit() {
        let attempts = Attempts::default();
        for number in 0..2 * ROWS as u32 {
            attempts.wrong(IpAddr::V4(number.into()), 0);
        }
        assert!(attempts.rows().len() <= ROWS + 1);
        assert!(attempts.wait([250, 0, 0, 1].into(), 1).is_some());
    }
}
