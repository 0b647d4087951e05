//! Rules that choose a routing table. Ours carry our protocol number (`FRA_PROTOCOL`).
//!
//! The kernel lets many rules have one priority, and removes the first that fits what it is told;
//! so a removal tells all of a rule. A change makes the new rule first and then removes the old
//! one. The rules that the kernel starts with, and everybody else's, are never touched.

use ipnet::IpNet;
use nix::errno::Errno;
use tombolo_model::Family;
use tombolo_plan::objects::RoutingRule;
use tombolo_plan::{Key, Object};

use crate::error::KernelError;
use crate::netlink::{Message, attributes};
use crate::read::Scope;
use crate::route::family_number;
use crate::session::Session;

/// `FRA_*` of linux/fib_rules.h.
const DST: u16 = 1;
const SRC: u16 = 2;
const PRIORITY: u16 = 6;
const MARK: u16 = 10;
const TABLE: u16 = 15;
const MARK_MASK: u16 = 16;
const PROTOCOL: u16 = 21;
/// `FR_ACT_TO_TBL`.
const TO_TABLE: u8 = 1;

/// The rules of our protocol; in a sandbox, those of them that the plan names.
pub(crate) fn read(
    session: &mut Session,
    scope: &Scope<'_>,
) -> Result<Vec<(Key, Object)>, KernelError> {
    let ours = scope.ownership.route_protocol;
    let (as_planned, others): (Vec<_>, Vec<_>) = read_all(session)?
        .into_iter()
        .filter(|(key, _, protocol)| *protocol == ours && (scope.is_host() || scope.planned(key)))
        .partition(|(key, rule, _)| is_planned(scope, key, rule));
    // Of several rules of one priority the last is seen: one that has to go, if there is any.
    let all = as_planned.into_iter().chain(others);
    Ok(all
        .map(|(key, rule, _)| (key, Object::RoutingRule(rule)))
        .collect())
}

fn is_planned(scope: &Scope<'_>, key: &Key, rule: &RoutingRule) -> bool {
    matches!(scope.object(key), Some(Object::RoutingRule(planned)) if planned == rule)
}

/// Every rule of a namespace, with its protocol.
pub(crate) fn read_all(session: &mut Session) -> Result<Vec<(Key, RoutingRule, u8)>, KernelError> {
    let mut found = Vec::new();
    for family in Family::ALL {
        let mut header = [0; 12];
        header[0] = family_number(family);
        let message = Message::new(libc::RTM_GETRULE, 0, &header);
        let rules = match session.dump("rules", &message, |reply| decode(reply.body)) {
            // A kernel without policy routing has none.
            Err(error)
                if matches!(error.errno(), Some(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT)) =>
            {
                Vec::new()
            }
            other => other?,
        };
        found.extend(rules);
    }
    Ok(found)
}

pub(crate) fn decode(body: &[u8]) -> Option<(Key, RoutingRule, u8)> {
    let header: [u8; 12] = body.get(..12)?.try_into().ok()?;
    let family = if header[0] == libc::AF_INET6 as u8 {
        Family::V6
    } else {
        Family::V4
    };
    let mut rule = RoutingRule {
        from: None,
        to: None,
        mark: None,
        table: u32::from(header[4]),
    };
    let (mut priority, mut protocol, mut mark, mut mask) = (0, 0, 0, 0);
    for attribute in attributes(body.get(12..)?) {
        match attribute.kind {
            DST => rule.to = IpNet::new(attribute.ip()?, header[1]).ok(),
            SRC => rule.from = IpNet::new(attribute.ip()?, header[2]).ok(),
            PRIORITY => priority = attribute.u32()?,
            MARK => mark = attribute.u32()?,
            MARK_MASK => mask = attribute.u32()?,
            TABLE => rule.table = attribute.u32()?,
            PROTOCOL => protocol = attribute.u8()?,
            _ => {}
        }
    }
    if mask != 0 {
        rule.mark = Some((mark, mask));
    }
    Some((Key::RoutingRule { family, priority }, rule, protocol))
}

/// The message that makes a rule.
pub(crate) fn create(family: Family, priority: u32, rule: &RoutingRule, protocol: u8) -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    encode((libc::RTM_NEWRULE, flags), family, priority, rule, protocol)
}

/// The message that removes a rule, and no other of the same priority.
pub(crate) fn remove(family: Family, priority: u32, rule: &RoutingRule, protocol: u8) -> Message {
    encode((libc::RTM_DELRULE, 0), family, priority, rule, protocol)
}

fn encode(
    (kind, flags): (u16, libc::c_int),
    family: Family,
    priority: u32,
    rule: &RoutingRule,
    protocol: u8,
) -> Message {
    let length = |net: Option<IpNet>| net.map_or(0, |net| net.prefix_len());
    let table = u8::try_from(rule.table).unwrap_or(libc::RT_TABLE_UNSPEC);
    let (to, from) = (length(rule.to), length(rule.from));
    let header = [
        family_number(family),
        to,
        from,
        0,
        table,
        0,
        0,
        TO_TABLE,
        0,
        0,
        0,
        0,
    ];
    let mut message = Message::new(kind, flags, &header);
    message
        .put_u32(PRIORITY, priority)
        .put_u32(TABLE, rule.table)
        .put_u8(PROTOCOL, protocol);
    if let Some(net) = rule.from.filter(|net| net.prefix_len() > 0) {
        message.put_ip(SRC, net.network());
    }
    if let Some(net) = rule.to.filter(|net| net.prefix_len() > 0) {
        message.put_ip(DST, net.network());
    }
    if let Some((mark, mask)) = rule.mark {
        message.put_u32(MARK, mark).put_u32(MARK_MASK, mask);
    }
    message
}
