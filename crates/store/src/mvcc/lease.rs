//! Leases: how long each still has, and which keys go with it.
//!
//! A lease ends at a moment that was computed when it was granted or last kept alive;
//! nothing counts down. The caller asks [`Leases::next_end`] when to come back. After a
//! restart every lease has its full time again, as in etcd: nobody loses a lease because
//! the store was away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Now;
use crate::error::{InvalidRequest, StoreError};
use crate::told::{LeaseGrant, LeaseInfo};
use crate::types::{LeaseId, MAX_LEASE_TTL_SECONDS};

#[derive(Debug, Clone)]
struct Lease {
    ttl: Duration,
    ends: Now,
    keys: BTreeSet<Bytes>,
}

/// All leases.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    /// The same, sorted by end.
    ends: BTreeSet<(Now, LeaseId)>,
}

impl Leases {
    /// When the next lease ends, if there is one.
    pub fn next_end(&self) -> Option<Now> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// Every lease, in order.
    pub fn list(&self) -> Vec<LeaseId> {
        self.leases.keys().copied().collect()
    }

    /// What is left of a lease at `now`.
    pub fn info(&self, id: LeaseId, now: Now, keys: bool) -> Result<LeaseInfo, StoreError> {
        let lease = self
            .leases
            .get(&id)
            .ok_or(StoreError::LeaseNotFound { lease: id })?;
        let keys = if keys {
            lease.keys.iter().cloned().collect()
        } else {
            Vec::new()
        };
        Ok(LeaseInfo {
            id,
            granted: lease.ttl,
            remaining: now.until(lease.ends),
            keys,
        })
    }

    pub(super) fn exists(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    pub(super) fn expired(&self, now: Now) -> Vec<LeaseId> {
        self.ends
            .iter()
            .take_while(|(ends, _)| *ends <= now)
            .map(|(_, id)| *id)
            .collect()
    }

    pub(super) fn grant(
        &mut self,
        id: LeaseId,
        ttl: Duration,
        now: Now,
    ) -> Result<LeaseGrant, StoreError> {
        if ttl.as_secs() > MAX_LEASE_TTL_SECONDS {
            let max_seconds = MAX_LEASE_TTL_SECONDS;
            return Err(InvalidRequest::LeaseTtlTooLarge { max_seconds }.into());
        }
        if id.0 <= 0 {
            let why = format!(
                "lease id {} is not positive; ask for none to be given one",
                id.0
            );
            return Err(InvalidRequest::Malformed(why).into());
        }
        if self.exists(id) {
            return Err(StoreError::LeaseExists { lease: id });
        }
        // The wire counts in seconds, and nothing is gained by a lease that ends at once.
        let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let ttl = Duration::from_secs(whole.max(1));
        self.restore(id, ttl, BTreeSet::new(), now);
        Ok(LeaseGrant { id, ttl })
    }

    pub(super) fn restore(&mut self, id: LeaseId, ttl: Duration, keys: BTreeSet<Bytes>, now: Now) {
        let ends = now.after(ttl);
        self.leases.insert(id, Lease { ttl, ends, keys });
        self.ends.insert((ends, id));
    }

    pub(super) fn keep_alive(&mut self, id: LeaseId, now: Now) -> Result<Duration, StoreError> {
        let missing = StoreError::LeaseNotFound { lease: id };
        // A lease whose time is over is as good as ended, even if nobody has ended it yet.
        let lease = self
            .leases
            .get_mut(&id)
            .filter(|lease| lease.ends > now)
            .ok_or(missing)?;
        self.ends.remove(&(lease.ends, id));
        lease.ends = now.after(lease.ttl);
        self.ends.insert((lease.ends, id));
        Ok(lease.ttl)
    }

    /// Takes the lease away and answers its keys.
    pub(super) fn revoke(&mut self, id: LeaseId) -> Result<BTreeSet<Bytes>, StoreError> {
        let lease = self
            .leases
            .remove(&id)
            .ok_or(StoreError::LeaseNotFound { lease: id })?;
        self.ends.remove(&(lease.ends, id));
        Ok(lease.keys)
    }

    /// A key has moved from one lease to another; either may be none.
    pub(super) fn rebind(&mut self, key: &Bytes, from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if let Some(lease) = self.leases.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.leases.get_mut(&to) {
            lease.keys.insert(key.clone());
        }
    }
}
