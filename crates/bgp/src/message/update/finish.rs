//! What an UPDATE says, once all of it is read: the attributes as a whole, and which routes they are of.

use std::net::Ipv4Addr;

use super::super::{Fault, Negotiated, Update};
use super::attribute::Collected;
use super::class::code;
use super::{path, prefixes, reach};
use crate::attributes::{Attributes, NextHop};
use crate::types::{Family, Nlri};

/// What the fields outside the attributes say.
pub(super) struct Told {
    pub withdrawn: Vec<Nlri>,
    pub announced: Vec<Nlri>,
    /// Nothing at all, in as few bytes as there can be.
    pub is_empty: bool,
}

impl Collected {
    /// Puts everything together.
    ///
    /// # Errors
    /// Something was wrong, and which prefixes it was about cannot be known (RFC 7606 section 5.2).
    pub fn finish(mut self, mut told: Told, context: &Negotiated) -> Result<Update, Fault> {
        self.refuse_classic(&mut told, context);
        let is_announced = self.reaches() || self.foreign || !told.announced.is_empty();
        if is_announced {
            self.check_presence(&told);
            self.restore_four_octets();
            self.check_next_hops(&told);
        }
        if self.has_others()
            && !is_announced
            && let Some(fault) = self.worst.take()
        {
            return Err(fault);
        }
        let end_of_rib = self.end_of_rib(&told, context);
        let mut update = Update {
            withdrawn: told.withdrawn,
            end_of_rib,
            ..Update::default()
        };
        if let Some(unreach) = self.unreach.take() {
            put(&mut update.withdrawn, unreach.prefixes);
        }
        self.announce(told.announced, &mut update);
        update.faults = self.faults;
        Ok(update)
    }

    /// Leaves out IPv4 where it was not agreed on.
    fn refuse_classic(&mut self, told: &mut Told, context: &Negotiated) {
        let is_told = !told.withdrawn.is_empty() || !told.announced.is_empty();
        if is_told && !context.families.ipv4 {
            self.foreign |= !told.announced.is_empty();
            told.withdrawn.clear();
            told.announced.clear();
            self.faults
                .push("prefixes of IPv4, which was not agreed on".to_owned());
        }
    }

    fn reaches(&self) -> bool {
        (self.reach.as_ref()).is_some_and(|reach| !reach.prefixes.is_empty())
    }

    /// What must be there is (RFC 4271 section 5, RFC 7606 section 3 d).
    fn check_presence(&mut self, told: &Told) {
        for (code, name, is_needed) in [
            (code::ORIGIN, "ORIGIN", true),
            (code::AS_PATH, "AS_PATH", true),
            (code::NEXT_HOP, "NEXT_HOP", !told.announced.is_empty()),
        ] {
            if is_needed && !self.has(code) {
                let fault = Fault::update(3, &[code], format!("no {name}, which must be told"));
                self.withdraw(fault);
            }
        }
    }

    /// Puts AS4_PATH and AS4_AGGREGATOR where they belong (RFC 6793 section 4.2.3).
    fn restore_four_octets(&mut self) {
        if let (Some((asn, _)), Some(long)) = (self.attributes.aggregator, self.as4_aggregator) {
            if !path::is_placeholder(asn) {
                // Somebody who has but two octets aggregated since: what others kept is of another route.
                return;
            }
            self.attributes.aggregator = Some(long);
        }
        if let Some(long) = self.as4_path.take() {
            let short = std::mem::take(&mut self.attributes.as_path);
            self.attributes.as_path = path::merge(short, &long);
        }
    }

    /// Packets can be sent to the next hops (RFC 4271 section 6.3).
    fn check_next_hops(&mut self, told: &Told) {
        let is_told =
            !told.announced.is_empty() && self.has(code::NEXT_HOP) && self.worst.is_none();
        let classic = is_told.then_some((8, "NEXT_HOP", self.attributes.next_hop));
        let other = (self.reach.as_ref())
            .map(|reach| (9, "MP_REACH_NLRI with the next hop", reach.next_hop));
        for (subcode, name, next_hop) in classic.into_iter().chain(other) {
            if !reach::is_host(next_hop) {
                let message = format!("{name} {}, which is no host", next_hop.address());
                self.withdraw(Fault::update(subcode, &[], message));
            }
        }
    }

    /// The family of which everything has been said (RFC 4724 section 2).
    fn end_of_rib(&self, told: &Told, context: &Negotiated) -> Option<Family> {
        if told.is_empty {
            return Some(Family::Ipv4).filter(|family| context.families.contains(*family));
        }
        let is_bare = told.withdrawn.is_empty() && told.announced.is_empty() && !self.has_others();
        let unreach = self
            .unreach
            .as_ref()
            .filter(|unreach| unreach.prefixes.is_empty());
        unreach.filter(|_| is_bare).map(|unreach| unreach.family)
    }

    /// Tells of the prefixes: as announced, or as withdrawn if something was malformed.
    fn announce(&mut self, classic: Vec<Nlri>, update: &mut Update) {
        let reach = self.reach.take();
        if self.worst.is_some() {
            put(&mut update.withdrawn, classic);
            put(
                &mut update.withdrawn,
                reach.map(|reach| reach.prefixes).unwrap_or_default(),
            );
            return;
        }
        let mut attributes = std::mem::replace(&mut self.attributes, none());
        attributes
            .unknown
            .sort_unstable_by_key(|unknown| unknown.code);
        let classic = self.routable(classic);
        let other = reach.map(|reach| (reach.next_hop, self.routable(reach.prefixes)));
        let other = other.filter(|(_, prefixes)| !prefixes.is_empty());
        if !classic.is_empty() {
            // Both at once are rare, and need two values.
            let mine = match other {
                Some(_) => attributes.clone(),
                None => std::mem::replace(&mut attributes, none()),
            };
            update.announced.push((mine, classic));
        }
        if let Some((next_hop, prefixes)) = other {
            attributes.next_hop = next_hop;
            update.announced.push((attributes, prefixes));
        }
    }

    /// A prefix that means nothing is left out, the others stand (RFC 4271 section 6.3).
    fn routable(&mut self, mut nlri: Vec<Nlri>) -> Vec<Nlri> {
        let odd = nlri.iter().find(|nlri| !prefixes::is_routable(nlri.prefix));
        if let Some(odd) = odd {
            let message = format!("{}, and maybe more, to which there is no route", odd.prefix);
            self.faults.push(message);
            nlri.retain(|nlri| prefixes::is_routable(nlri.prefix));
        }
        nlri
    }
}

/// What attributes are before one is read.
pub(super) fn none() -> Attributes {
    Attributes::local(NextHop::V4(Ipv4Addr::UNSPECIFIED))
}

/// Appends; without a copy where there was nothing.
fn put(to: &mut Vec<Nlri>, mut more: Vec<Nlri>) {
    match to.is_empty() {
        true => *to = more,
        false => to.append(&mut more),
    }
}
