//! The agent, the store, the clock, the disk.

use crate::facts::Facts;
use crate::{Status, Verdict};

/// How many repairs of one kind are more than an accident.
const MANY_REPAIRS: u64 = 20;
/// Milliseconds in which a store should answer.
const SLOW: u64 = 250;
/// Revisions that the kernel may be behind while things change.
const LAG: i64 = 20;
/// Milliseconds by which clocks may differ, and by which certificates and leases are in danger.
const CLOCK_WARNING: i64 = 2_000;
const CLOCK_FAILED: i64 = 60_000;
const DAY: u64 = 24 * 3600;
/// Days before its end at which a certificate should long have been renewed.
const CERTIFICATE_DAYS: u64 = 30;
/// Free bytes below which the store may stop, and free share below which it is worth a look.
const DISK_FAILED: u64 = 64 << 20;
const DISK_SHARE: u64 = 10;

pub(crate) fn agent(facts: &Facts) -> Vec<Verdict> {
    let node = match &facts.node {
        Ok(node) => node,
        Err(why) => {
            return vec![Verdict::failed(
                "agent",
                why.clone(),
                "start it: `systemctl start tombolo`, and look at `journalctl -u tombolo`; until then only the host is checked",
            )];
        }
    };
    let mut found: Vec<Verdict> = node
        .problems
        .iter()
        .map(|problem| {
            Verdict::warning(
                &node.node,
                problem.clone(),
                "see `tombolo status` and `tombolo plan`",
            )
        })
        .collect();
    for (kind, count) in node
        .repaired
        .iter()
        .filter(|(_, count)| **count > MANY_REPAIRS)
    {
        found.push(Verdict::warning(
            kind,
            format!("{count} were repaired since the agent started: another program changes what is ours"),
            "find it by the times of `repaired:` in `journalctl -u tombolo`; NetworkManager, systemd-networkd and firewall reloads are the usual ones (docs/guide/troubleshooting.md)",
        ));
    }
    if found.is_empty() {
        found.push(Verdict::ok(&node.node, "answers, and has no problems"));
    }
    found
}

pub(crate) fn store(facts: &Facts) -> Vec<Verdict> {
    let Ok(node) = &facts.node else {
        return Vec::new();
    };
    let store = &node.store;
    match &store.answered {
        Err(why) => vec![Verdict::failed(
            &store.place,
            format!("does not answer: {why}"),
            "look whether the node that holds it runs and is reached (check `peers`); what is in place goes on meanwhile",
        )],
        Ok(time) if *time > SLOW => vec![Verdict::warning(
            &store.place,
            format!("took {time} ms to answer"),
            "look at the load and the disk of the node that holds it, and at the way there",
        )],
        Ok(_) if store.lag > LAG => vec![Verdict::warning(
            &store.place,
            format!("the kernel is {} revisions behind", store.lag),
            "see `tombolo status`: an object that the kernel refuses, or a node that changes too much",
        )],
        Ok(time) => vec![Verdict::ok(
            &store.place,
            format!(
                "answered in {time} ms, the kernel is {} revisions behind",
                store.lag
            ),
        )],
    }
}

pub(crate) fn clock(facts: &Facts) -> Vec<Verdict> {
    let mut found = Vec::new();
    let remedy = "set the clocks by NTP on both nodes: `timedatectl set-ntp true`, or chrony";
    let mut seen = std::collections::BTreeSet::new();
    for peer in &facts.host.peers {
        if !peer.address.is_ipv4() || !seen.insert(peer.address) {
            continue;
        }
        let Some(ahead) = peer.clock_ahead else {
            found.push(Verdict::ok(
                &peer.node,
                "its clock was not compared: no ICMP timestamp came back",
            ));
            continue;
        };
        let way = if ahead < 0 { "behind" } else { "ahead of" };
        let words = format!(
            "its clock is {:.1} s {way} this node's",
            ahead.abs() as f64 / 1000.0
        );
        let status = match ahead.abs() {
            far if far > CLOCK_FAILED => Status::Failed,
            far if far > CLOCK_WARNING => Status::Warning,
            _ => Status::Ok,
        };
        found.push(Verdict {
            status,
            remedy: (status != Status::Ok).then(|| remedy.to_owned()),
            ..Verdict::ok(&peer.node, words)
        });
    }
    found.extend(certificate(facts));
    found
}

fn certificate(facts: &Facts) -> Option<Verdict> {
    let certificate = facts.node.as_ref().ok()?.certificate.as_ref()?;
    let subject = "certificate";
    let anew =
        "remove the node from the cluster (`tombolo delete node`), and join it anew with a token";
    let left = certificate.not_after.checked_sub(certificate.now);
    Some(if certificate.now < certificate.not_before {
        let early = certificate.not_before - certificate.now;
        Verdict::failed(
            subject,
            format!("begins to be good only in {early} s: this node's clock is behind"),
            "set the clock by NTP: `timedatectl set-ntp true`, or chrony",
        )
    } else {
        match left.map(|left| left / DAY) {
            None => Verdict::failed(subject, "has ended: other nodes refuse this one", anew),
            Some(days) if days < CERTIFICATE_DAYS => Verdict::warning(
                subject,
                format!("ends in {days} days, and was not renewed"),
                "see why in `journalctl -u tombolo`, restart the agent once it is; else join anew before it ends",
            ),
            Some(days) => Verdict::ok(subject, format!("good for {days} more days")),
        }
    })
}

pub(crate) fn disk(facts: &Facts) -> Vec<Verdict> {
    let Ok(node) = &facts.node else {
        return Vec::new();
    };
    let remedy = "make room on this disk: the store writes nothing more when it is full";
    vec![match &node.disk {
        Err(why) => Verdict::warning("state folder", why.clone(), "look at it: `df`, `ls -ld`"),
        Ok(disk) => {
            let words = format!(
                "{} MiB of {} MiB are free",
                disk.free >> 20,
                disk.total >> 20
            );
            if disk.free < DISK_FAILED {
                Verdict::failed(&disk.folder, words, remedy)
            } else if disk.free < disk.total / DISK_SHARE && disk.free < 1 << 30 {
                Verdict::warning(&disk.folder, words, remedy)
            } else {
                Verdict::ok(&disk.folder, words)
            }
        }
    }]
}
