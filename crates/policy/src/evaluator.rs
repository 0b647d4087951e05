//! The evaluator: a flow's verdict, by asking what the kernel is made to ask.
//!
//! ```text
//!  Flow ─► Packet   who has the addresses            (addresses.rs)
//!       ─► Course   who judges it: nobody, the source, the destination   (course.rs)
//!       ─► Ruling   tiers, then profiles, then isolation; the first that decides
//! ```
//!
//! It is made once for a World and then asked for many flows. What applies to endpoints that are
//! alike is found when the first of them is asked about.

use std::sync::OnceLock;

use tombolo_model::kinds::policy::{DefaultAction, Direction, RuleAction};
use tombolo_model::{Name, ResourceKey, World};

use crate::addresses::Addresses;
use crate::course::{Course, Judge, Whose};
use crate::directory::Directory;
use crate::failsafe::{self, Failsafe};
use crate::flow::Flow;
use crate::matching::Packet;
use crate::rulebook::{Rule, Rulebook, Tier};
use crate::stack;
use crate::trace::{Notes, Origin, Silent, Trace, rule_name};
use crate::verdict::{Decision, Stage, Verdict, Way};

/// Answers for the flows of a World.
#[derive(Debug)]
pub struct Evaluator<'a> {
    pub(crate) world: &'a World,
    pub(crate) rulebook: Rulebook<'a>,
    pub(crate) directory: Directory<'a>,
    pub(crate) addresses: Addresses<'a>,
    /// For each class what is asked: to it, and from it.
    asked: Vec<[OnceLock<Asked>; 2]>,
}

/// Tiers and their policies that apply, by their places in the rulebook.
pub(crate) type Asked = Vec<(usize, Vec<usize>)>;

/// What decided, without words.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ruling<'e, 'a> {
    Rule(Origin<'e>, &'e Rule<'a>),
    TierEnd(&'e Tier<'a>),
    ProfilesEnd(&'e [Name]),
    Isolation(&'e Name, &'e Name),
    Open,
    OwnHost(&'e Name),
    Failsafe(&'static Failsafe),
}

impl<'a> Evaluator<'a> {
    /// Makes it ready to be asked.
    #[must_use]
    pub fn new(world: &'a World) -> Evaluator<'a> {
        let directory = Directory::of(world);
        let classes = directory.classes.iter();
        Evaluator {
            world,
            rulebook: Rulebook::of(world),
            addresses: Addresses::of(world, &directory),
            asked: classes.map(|_| Default::default()).collect(),
            directory,
        }
    }

    /// Whether a flow is let through.
    #[must_use]
    pub fn allows(&self, flow: &Flow) -> bool {
        let Ok(packet) = self.packet(flow) else {
            return false;
        };
        match self.course(&packet) {
            Course::Itself | Course::Neighbours => true,
            Course::NoWay(_) => false,
            Course::Judged { egress, ingress } => {
                let allows = |judge: &Judge, direction| {
                    let packet = judge.sees.as_deref().unwrap_or(&packet);
                    let ruling = self.ruling(judge, direction, packet, &mut Silent);
                    ruling.allows()
                };
                egress.is_none_or(|judge| allows(&judge, Direction::Egress))
                    && ingress.is_none_or(|judge| allows(&judge, Direction::Ingress))
            }
        }
    }

    /// Whether a flow is let through, with everything that was looked at.
    #[must_use]
    pub fn verdict(&self, flow: &Flow) -> Verdict {
        let aside = |allowed, way| Verdict {
            allowed,
            way,
            egress: None,
            ingress: None,
        };
        let packet = match self.packet(flow) {
            Ok(packet) => packet,
            Err(why) => return aside(false, Way::None(why)),
        };
        match self.course(&packet) {
            Course::Itself => aside(true, Way::Itself),
            Course::Neighbours => aside(true, Way::Neighbours),
            Course::NoWay(why) => aside(false, Way::None(why)),
            Course::Judged { egress, ingress } => {
                let egress = egress.map(|judge| self.stage(&judge, Direction::Egress, &packet));
                let ingress = ingress.map(|judge| self.stage(&judge, Direction::Ingress, &packet));
                let allows = |stage: &Option<Stage>| stage.as_ref().is_none_or(|s| s.allowed);
                Verdict {
                    allowed: allows(&egress) && allows(&ingress),
                    way: Way::Judged,
                    egress,
                    ingress,
                }
            }
        }
    }

    fn stage(&self, judge: &Judge<'a>, direction: Direction, packet: &Packet<'a>) -> Stage {
        let packet = judge.sees.as_deref().unwrap_or(packet);
        let mut notes = Notes {
            packet,
            steps: Vec::new(),
        };
        let ruling = self.ruling(judge, direction, packet, &mut notes);
        let steps = notes.steps;
        Stage {
            direction,
            subject: judge.key(),
            allowed: ruling.allows(),
            steps,
            decision: ruling.decision(),
        }
    }

    /// What decides at one end.
    pub(crate) fn ruling<'e>(
        &'e self,
        judge: &Judge<'a>,
        direction: Direction,
        packet: &Packet<'a>,
        trace: &mut impl Trace,
    ) -> Ruling<'e, 'a> {
        let (class, profiles) = match judge.whose {
            Whose::OwnHost(_, node) => return Ruling::OwnHost(node),
            Whose::Endpoint(station) => (station.class, &station.endpoint.spec.profiles),
            Whose::Host(class, host) => {
                let port = packet.destination_port.unwrap_or_default();
                if let Some(open) = failsafe::find(direction, packet.protocol, port) {
                    return Ruling::Failsafe(open);
                }
                (class, &host.spec.profiles)
            }
        };
        for asked in self.asked(class, direction) {
            if let Some(ruling) = self.tier(asked, direction, packet, trace) {
                return ruling;
            }
        }
        match judge.whose {
            Whose::Endpoint(_) if profiles.is_empty() => self.open(direction, packet),
            _ => self.profiles(profiles, direction, packet, trace),
        }
    }

    /// What applies to a class, found when it is asked for the first time.
    pub(crate) fn asked(&self, class: usize, direction: Direction) -> &Asked {
        let place = usize::from(direction == Direction::Egress);
        self.asked[class][place].get_or_init(|| {
            let entry = &self.directory.classes[class];
            let who = (entry.namespace, &*entry.labels);
            stack::places(&self.rulebook, &self.directory, who, direction)
        })
    }

    /// What a tier decides; nothing if it passes the packet on.
    fn tier<'e>(
        &'e self,
        (tier, policies): &'e (usize, Vec<usize>),
        direction: Direction,
        packet: &Packet<'a>,
        trace: &mut impl Trace,
    ) -> Option<Ruling<'e, 'a>> {
        let tier = &self.rulebook.tiers[*tier];
        trace.tier(tier);
        for policy in policies.iter().map(|place| &tier.policies[*place]) {
            let rules = policy.rules(direction).unwrap_or_default();
            trace.policy(policy, rules.len());
            let origin = Origin {
                key: &policy.key,
                metadata: policy.metadata,
            };
            let decisive = self.first(origin, rules, packet, trace);
            match decisive.map(|rule| (rule, rule.action)) {
                Some((_, RuleAction::Pass)) => return None,
                Some((rule, _)) => return Some(Ruling::Rule(origin, rule)),
                None => {}
            }
        }
        trace.tier_end(tier);
        (tier.default_action == DefaultAction::Deny).then_some(Ruling::TierEnd(tier))
    }

    /// The first rule that decides.
    fn first<'e>(
        &self,
        origin: Origin,
        rules: &'e [Rule<'a>],
        packet: &Packet<'a>,
        trace: &mut impl Trace,
    ) -> Option<&'e Rule<'a>> {
        rules.iter().find(|rule| {
            let failed = rule.mismatch(packet, &self.directory);
            trace.rule(origin, rule, failed);
            failed.is_none() && rule.action != RuleAction::Log
        })
    }

    fn profiles<'e>(
        &'e self,
        profiles: &'a [Name],
        direction: Direction,
        packet: &Packet<'a>,
        trace: &mut impl Trace,
    ) -> Ruling<'e, 'a> {
        for name in profiles {
            let profile = self.rulebook.profiles.get(name);
            trace.profile(name, profile.is_some());
            let Some(profile) = profile else { continue };
            let origin = Origin {
                key: &profile.key,
                metadata: profile.metadata,
            };
            if let Some(rule) = self.first(origin, profile.rules(direction), packet, trace) {
                return Ruling::Rule(origin, rule);
            }
        }
        Ruling::ProfilesEnd(profiles)
    }

    /// Nothing was asked, or nothing decided: what comes from another network is kept out.
    fn open<'e>(&'e self, direction: Direction, packet: &Packet<'a>) -> Ruling<'e, 'a> {
        let isolated = (direction == Direction::Ingress)
            .then(|| self.isolation(packet))
            .flatten();
        match isolated {
            Some((from, to)) => Ruling::Isolation(from, to),
            None => Ruling::Open,
        }
    }
}

impl Ruling<'_, '_> {
    pub(crate) fn allows(&self) -> bool {
        match self {
            Ruling::Rule(_, rule) => rule.action == RuleAction::Allow,
            Ruling::Open | Ruling::OwnHost(_) | Ruling::Failsafe(_) => true,
            Ruling::TierEnd(_) | Ruling::ProfilesEnd(_) | Ruling::Isolation(..) => false,
        }
    }

    /// The same in words.
    pub(crate) fn decision(&self) -> Decision {
        match self {
            Ruling::Rule(origin, rule) => Decision::Rule {
                rule: rule_name(*origin, rule),
                action: rule.action,
            },
            Ruling::TierEnd(tier) => Decision::TierEnd(tier.name.clone()),
            Ruling::ProfilesEnd(profiles) => Decision::ProfilesEnd(profiles.to_vec()),
            Ruling::Isolation(from, to) => Decision::Isolation {
                from: (*from).clone(),
                to: (*to).clone(),
            },
            Ruling::Open => Decision::Open,
            Ruling::OwnHost(node) => Decision::OwnHost((*node).clone()),
            Ruling::Failsafe(open) => Decision::Failsafe {
                protocol: open.protocol,
                port: open.port,
                what: open.what.to_owned(),
            },
        }
    }
}

impl Judge<'_> {
    pub(crate) fn key(&self) -> ResourceKey {
        match self.whose {
            Whose::OwnHost(station, _) | Whose::Endpoint(station) => station.endpoint.key(),
            Whose::Host(_, host) => host.key(),
        }
    }
}
