//! Filters: which routes come in from a peer, and which go out to it.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::types::Family;

/// Rules that are asked in order; the first that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// The rules.
    pub rules: Vec<FilterRule>,
    /// What is done where none matches.
    pub otherwise: Outcome,
}

/// A rule of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterRule {
    /// The range that a route's prefix is held against, and with it prefixes of its family only;
    /// every prefix if none is given.
    pub net: Option<IpNet>,
    /// How.
    pub matching: Matching,
    /// The least and the greatest prefix length.
    pub length: Option<(u8, u8)>,
    /// Only routes that peers told, not those that begin here.
    pub from_peers: bool,
    /// What is done with a route that matches.
    pub outcome: Outcome,
    /// Whose rule it is and why, in words: what is shown where it refused something.
    pub reason: String,
}

/// How a prefix is held against a range (the words are Calico's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matching {
    /// It is the range or a part of it.
    In,
    /// It is not.
    NotIn,
    /// It is the range itself.
    Equal,
    /// It is another.
    NotEqual,
    /// It is the range, or the range is a part of it.
    Covers,
}

/// What is done with a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is let through.
    Accept,
    /// It is not.
    Reject,
}

impl Filter {
    /// Lets everything through.
    #[must_use]
    pub fn open() -> Filter {
        Filter {
            rules: Vec::new(),
            otherwise: Outcome::Accept,
        }
    }

    /// What is done with a prefix, with the rule that says so; `from_peer` if a peer told it.
    #[must_use]
    pub fn decide(&self, prefix: IpNet, from_peer: bool) -> (Outcome, Option<&FilterRule>) {
        let rule = (self.rules.iter()).find(|rule| rule.matches(prefix, from_peer));
        (rule.map_or(self.otherwise, |rule| rule.outcome), rule)
    }
}

impl Default for Filter {
    fn default() -> Filter {
        Filter::open()
    }
}

impl FilterRule {
    fn matches(&self, prefix: IpNet, from_peer: bool) -> bool {
        let is_family = |net: IpNet| Family::of(net) == Family::of(prefix);
        let in_range = self.net.is_none_or(|net| match self.matching {
            _ if !is_family(net) => false,
            Matching::In => net.contains(&prefix),
            Matching::NotIn => !net.contains(&prefix),
            Matching::Equal => net == prefix,
            Matching::NotEqual => net != prefix,
            Matching::Covers => prefix.contains(&net),
        });
        let length = prefix.prefix_len();
        let has_length = (self.length).is_none_or(|(least, most)| (least..=most).contains(&length));
        in_range && has_length && (from_peer || !self.from_peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(net: &str, matching: Matching, length: Option<(u8, u8)>) -> Filter {
        Filter {
            rules: vec![FilterRule {
                net: Some(net.parse().unwrap()),
                matching,
                length,
                from_peers: false,
                outcome: Outcome::Reject,
                reason: "a test".to_owned(),
            }],
            otherwise: Outcome::Accept,
        }
    }

    #[test]
    fn prefixes_are_held_against_ranges() {
        for (net, matching, length, prefix, rejects) in [
            ("10.0.0.0/8", Matching::In, None, "10.1.0.0/16", true),
            ("10.0.0.0/8", Matching::In, None, "10.0.0.0/8", true),
            ("10.0.0.0/8", Matching::In, None, "0.0.0.0/0", false),
            (
                "10.0.0.0/8",
                Matching::In,
                Some((24, 32)),
                "10.1.0.0/16",
                false,
            ),
            (
                "10.0.0.0/8",
                Matching::In,
                Some((16, 32)),
                "10.1.0.0/16",
                true,
            ),
            ("10.0.0.0/8", Matching::NotIn, None, "11.0.0.0/16", true),
            ("10.0.0.0/8", Matching::NotIn, None, "fd00::/16", false),
            ("10.0.0.0/8", Matching::NotIn, None, "10.0.0.0/16", false),
            ("10.0.0.0/8", Matching::Equal, None, "10.0.0.0/8", true),
            ("10.0.0.0/8", Matching::Equal, None, "10.0.0.0/9", false),
            ("10.0.0.0/8", Matching::NotEqual, None, "10.0.0.0/9", true),
            ("10.0.0.0/8", Matching::Covers, None, "0.0.0.0/0", true),
            ("10.0.0.0/8", Matching::Covers, None, "10.0.0.0/8", true),
            ("10.0.0.0/8", Matching::Covers, None, "10.0.0.0/9", false),
            ("fd00::/8", Matching::In, None, "10.0.0.0/9", false),
        ] {
            let filter = rule(net, matching, length);
            let (outcome, by) = filter.decide(prefix.parse().unwrap(), true);
            let what = format!("{prefix} {matching:?} {net} {length:?}");
            assert_eq!(outcome == Outcome::Reject, rejects, "{what}");
            assert_eq!(by.is_some(), rejects, "{what}");
        }
    }
}
