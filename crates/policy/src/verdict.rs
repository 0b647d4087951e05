//! Verdict: whether a flow is let through, and everything that was looked at on the way to it.

use std::fmt;

use serde::{Deserialize, Serialize};
use tombolo_model::kinds::policy::{DefaultAction, Direction, ProtocolMatch, RuleAction};
use tombolo_model::{Name, ResourceKey};

/// Whether a flow is let through, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Whether it is let through: by both ends, and there is a way.
    pub allowed: bool,
    /// Whether it is a matter of policy at all.
    pub way: Way,
    /// What was asked where it comes from; none if nobody is asked there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Stage>,
    /// What was asked where it goes to; none if nobody is asked there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Stage>,
}

/// Whether a flow is a matter of policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Way {
    /// It is.
    Judged,
    /// It goes to where it comes from.
    Itself,
    /// Neighbours find each other by it; see [`crate::failsafe::NEIGHBOUR_TYPES`].
    Neighbours,
    /// It does not get there whatever policies say: why, in words.
    None(String),
}

/// What was asked at one end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// To the end, or from it.
    pub direction: Direction,
    /// Whose policies were asked.
    pub subject: ResourceKey,
    /// Whether it lets the flow through.
    pub allowed: bool,
    /// What was looked at, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// What decided.
    pub decision: Decision,
}

/// Something that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// A tier with policies that apply.
    Tier(Name),
    /// A policy of the tier, and where it was written.
    #[serde(rename_all = "camelCase")]
    Policy {
        /// Which one.
        policy: ResourceKey,
        /// As `web.yaml:3`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<String>,
        /// How many rules it has in this direction.
        rules: usize,
    },
    /// A profile; one that is not there has no rules.
    #[serde(rename_all = "camelCase")]
    Profile {
        /// Which one.
        name: Name,
        /// Whether there is one of this name.
        exists: bool,
    },
    /// A rule of the policy or profile.
    #[serde(rename_all = "camelCase")]
    Rule {
        /// Which one.
        rule: RuleName,
        /// What it does.
        action: RuleAction,
        /// Why it is not about this flow; none if it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    /// No rule of the tier decided.
    #[serde(rename_all = "camelCase")]
    TierEnd {
        /// The tier.
        tier: Name,
        /// What happens then.
        action: DefaultAction,
    },
}

/// A rule, by the policy that it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleName {
    /// The policy or profile.
    pub resource: ResourceKey,
    /// Of which of its lists.
    pub direction: Direction,
    /// Its place in the list, from 0.
    pub index: usize,
    /// Where it was written, as `web.yaml:14`, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// A rule.
    #[serde(rename_all = "camelCase")]
    Rule {
        /// Which one.
        rule: RuleName,
        /// Allow or Deny.
        action: RuleAction,
    },
    /// A policy of the tier applies, and no rule of it decided.
    TierEnd(Name),
    /// None of the profiles allows it.
    ProfilesEnd(Vec<Name>),
    /// A network of an end does not let in what comes from another one.
    #[serde(rename_all = "camelCase")]
    Isolation {
        /// The network that it comes from.
        from: Name,
        /// The network that it goes to.
        to: Name,
    },
    /// Nothing forbids it.
    Open,
    /// It is between a host and an endpoint on it.
    OwnHost(Name),
    /// It goes to a port that hosts keep open.
    #[serde(rename_all = "camelCase")]
    Failsafe {
        /// The protocol.
        protocol: ProtocolMatch,
        /// The port.
        port: u16,
        /// Who needs it.
        what: String,
    },
}

impl Decision {
    /// Whether it lets the flow through.
    #[must_use]
    pub fn allows(&self) -> bool {
        match self {
            Decision::Rule { action, .. } => *action == RuleAction::Allow,
            Decision::Open | Decision::OwnHost(_) | Decision::Failsafe { .. } => true,
            Decision::TierEnd(_) | Decision::ProfilesEnd(_) | Decision::Isolation { .. } => false,
        }
    }
}

impl Verdict {
    /// The stages, egress first.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.egress.iter().chain(&self.ingress)
    }

    /// What forbids it, in a few words; none if it is allowed.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        if let Way::None(why) = &self.way {
            return Some(why.clone());
        }
        let stage = self.stages().find(|stage| !stage.allowed)?;
        Some(stage.decision.to_string())
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.index + 1;
        write!(f, "{} {} rule {number}", self.resource, self.direction)?;
        match &self.line {
            Some(line) => write!(f, " ({line})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Rule { rule, action } => write!(f, "{rule}: {action:?}"),
            Decision::TierEnd(tier) => {
                write!(f, "end of tier {tier}: no rule of its policies allows it")
            }
            Decision::ProfilesEnd(profiles) if profiles.is_empty() => {
                f.write_str("no policy allows it, and a host has nothing open without one")
            }
            Decision::ProfilesEnd(profiles) => {
                let names: Vec<_> = profiles.iter().map(ToString::to_string).collect();
                write!(f, "no rule of profile {} allows it", names.join(", "))
            }
            Decision::Isolation { from, to } => {
                write!(f, "isolation between networks {from} and {to}")
            }
            Decision::Open => f.write_str("nothing forbids it"),
            Decision::OwnHost(node) => {
                write!(f, "a host reaches its own endpoints, here those of {node}")
            }
            Decision::Failsafe {
                protocol,
                port,
                what,
            } => write!(
                f,
                "{protocol} {port} is a failsafe port of hosts, for {what}"
            ),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Tier(tier) => write!(f, "  tier {tier}"),
            Step::Policy {
                policy,
                line,
                rules,
            } => {
                write!(f, "    {policy}")?;
                if let Some(line) = line {
                    write!(f, " ({line})")?;
                }
                match rules {
                    0 => write!(f, ", which has no rules"),
                    _ => Ok(()),
                }
            }
            Step::Profile { name, exists } => match exists {
                true => write!(f, "    Profile {name}"),
                false => write!(f, "    Profile {name}, which does not exist"),
            },
            Step::Rule {
                rule,
                action,
                failed,
            } => {
                write!(f, "      rule {} {action:?}", rule.index + 1)?;
                if let Some(line) = &rule.line {
                    write!(f, " ({line})")?;
                }
                match failed {
                    Some(why) => write!(f, ": no, {why}"),
                    None => write!(f, ": yes"),
                }
            }
            Step::TierEnd { tier, action } => write!(f, "    end of tier {tier}: {action:?}"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stage {
            direction, subject, ..
        } = self;
        let outcome = outcome(self.allowed);
        write!(f, "{direction} of {subject}: {outcome}, {}", self.decision)?;
        for step in &self.steps {
            write!(f, "\n{step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(outcome(self.allowed))?;
        match &self.way {
            Way::Judged => {}
            Way::Itself => f.write_str(": what somebody sends to himself is not judged")?,
            Way::Neighbours => f.write_str(": neighbours find each other by it")?,
            Way::None(why) => write!(f, ": {why}")?,
        }
        for stage in self.stages() {
            write!(f, "\n{stage}")?;
        }
        Ok(())
    }
}

fn outcome(allowed: bool) -> &'static str {
    if allowed { "allowed" } else { "denied" }
}
