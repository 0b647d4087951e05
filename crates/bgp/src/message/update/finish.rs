//! What an UPDATE says, once all of it is read: the attributes as a whole, and which routes they are of.

use super::super::{Fault, Negotiated, Update};
use super::attribute::Collected;
use super::class::code;
use super::{path, prefixes, reach};
use crate::attributes::{AsSegment, NextHop};
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
            self.check_path(context);
            self.check_next_hops(&told, context);
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

    /// The peer's own system stands first (RFC 4271 section 6.3).
    fn check_path(&mut self, context: &Negotiated) {
        let first = match self.attributes.as_path.0.first() {
            Some(AsSegment::Sequence(systems)) => systems.first().copied(),
            _ => None,
        };
        if context.internal || self.worst.is_some() || first == Some(context.peer_asn) {
            return;
        }
        let message = match first {
            Some(first) => format!(
                "AS_PATH begins with {first}, not with the peer's {}",
                context.peer_asn
            ),
            None => format!(
                "AS_PATH does not begin with the peer's {}",
                context.peer_asn
            ),
        };
        self.withdraw(Fault::update(11, &[], message));
    }

    fn check_next_hops(&mut self, told: &Told, context: &Negotiated) {
        let classic =
            (!told.announced.is_empty() && self.has(code::NEXT_HOP) && self.worst.is_none())
                .then_some((8, "NEXT_HOP", self.attributes.next_hop));
        let other = self
            .reach
            .as_ref()
            .map(|reach| (9, "the next hop of MP_REACH_NLRI", reach.next_hop));
        for (subcode, name, next_hop) in classic.into_iter().chain(other) {
            if let Err(why) = reach::check_next_hop(next_hop, context) {
                self.withdraw(Fault::update(subcode, &[], format!("{name} {why}")));
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
        self.attributes
            .unknown
            .sort_unstable_by_key(|unknown| unknown.code);
        let classic = (self.attributes.next_hop, classic);
        let other = reach.map(|reach| (reach.next_hop, reach.prefixes));
        for (next_hop, mut prefixes) in [Some(classic), other].into_iter().flatten() {
            self.leave_out_unroutable(&mut prefixes);
            if !prefixes.is_empty() {
                update
                    .announced
                    .push((self.attributes_with(next_hop), prefixes));
            }
        }
    }

    fn attributes_with(&self, next_hop: NextHop) -> crate::Attributes {
        crate::Attributes {
            next_hop,
            ..self.attributes.clone()
        }
    }

    /// A prefix that means nothing is left out, the others stand (RFC 4271 section 6.3).
    fn leave_out_unroutable(&mut self, nlri: &mut Vec<Nlri>) {
        nlri.retain(|nlri| {
            let is_routable = prefixes::is_routable(nlri.prefix);
            if !is_routable {
                self.faults
                    .push(format!("{}, to which there can be no route", nlri.prefix));
            }
            is_routable
        });
    }
}

/// Appends; without a copy where there was nothing.
fn put(to: &mut Vec<Nlri>, mut more: Vec<Nlri>) {
    match to.is_empty() {
        true => *to = more,
        false => to.append(&mut more),
    }
}
