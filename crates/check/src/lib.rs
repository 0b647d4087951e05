//! What could be wrong around a node, and what to do about it: facts in, findings out.
//!
//! Facts are gathered elsewhere: those of the cluster by the agent, those of the host by whoever
//! asks. Here they are judged, one small pure function for each check, in one table ([`CHECKS`]).
//! Nothing here looks at anything, and nothing is mended: a finding says what to do.
//!
//! ```text
//!  agent ─► NodeFacts ─┐
//!                      ├─► Facts ─► CHECKS ─► Vec<Finding>
//!  host  ─► HostFacts ─┘
//! ```

mod facts;
mod judges;

use serde::{Deserialize, Serialize};

pub use facts::{
    CertificateFacts, DiskFacts, Facts, HostFacts, LinkFact, NodeFacts, ParentFact, PeerFact,
    RouteFact, SETTINGS, Size, StoreFacts, TunnelFact, UnderlayFact,
};

/// How it stands with something that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Nothing is wrong.
    Ok,
    /// It works, but not for long, or not for all.
    Warning,
    /// Something does not work because of it.
    Failed,
}

/// What a check found about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The check, by its name in [`CHECKS`].
    pub check: String,
    /// How it stands.
    pub status: Status,
    /// What it is about, as a node or a setting.
    pub subject: String,
    /// What was found.
    pub finding: String,
    /// What to do about it; nothing where nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A check: its name, what it looks at, and the function that judges.
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What it looks at.
    pub about: &'static str,
    judge: fn(&Facts) -> Vec<Verdict>,
}

/// What a judge says: a finding, but for the name of its check.
pub(crate) struct Verdict {
    status: Status,
    subject: String,
    finding: String,
    remedy: Option<String>,
}

impl Verdict {
    fn ok(subject: impl ToString, finding: impl Into<String>) -> Verdict {
        Verdict {
            status: Status::Ok,
            subject: subject.to_string(),
            finding: finding.into(),
            remedy: None,
        }
    }

    fn warning(
        subject: impl ToString,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Verdict {
        Verdict {
            status: Status::Warning,
            remedy: Some(remedy.into()),
            ..Verdict::ok(subject, finding)
        }
    }

    fn failed(
        subject: impl ToString,
        finding: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Verdict {
        Verdict {
            status: Status::Failed,
            ..Verdict::warning(subject, finding, remedy)
        }
    }
}

/// Every check, in the order in which they are told: what others rest on comes first.
pub const CHECKS: &[Check] = &[
    Check {
        name: "agent",
        about: "the agent answers and has no problems",
        judge: judges::node::agent,
    },
    Check {
        name: "kernel",
        about: "the kernel can hold all that Tombolo makes, tried in a namespace of its own",
        judge: judges::host::kernel,
    },
    Check {
        name: "features",
        about: "which tunnels and interfaces the kernel has that not every one has",
        judge: judges::features::features,
    },
    Check {
        name: "settings",
        about: "the host forwards, and has the families that its networks use",
        judge: judges::host::settings,
    },
    Check {
        name: "rp_filter",
        about: "strict reverse-path filtering where answers go another way",
        judge: judges::host::reverse_path,
    },
    Check {
        name: "filters",
        about: "other programs' packet filters that drop forwarded packets",
        judge: judges::filters::filters,
    },
    Check {
        name: "bridges",
        about: "bridged packets that are sent through others' filters",
        judge: judges::filters::bridges,
    },
    Check {
        name: "conntrack",
        about: "room in the table of connections",
        judge: judges::host::conntrack,
    },
    Check {
        name: "neighbours",
        about: "room in the table of neighbours",
        judge: judges::host::neighbours,
    },
    Check {
        name: "links",
        about: "the underlay's interface, links that others named like ours, default routes",
        judge: judges::host::links,
    },
    Check {
        name: "segments",
        about: "physical networks: macvlan and VLANs in the kernel, and the parents",
        judge: judges::segments::segments,
    },
    Check {
        name: "ranges",
        about: "pools that overlap the host's other routes",
        judge: judges::host::ranges,
    },
    Check {
        name: "peers",
        about: "each node answers, packets of full size included",
        judge: judges::peers::peers,
    },
    Check {
        name: "tunnels",
        about: "packets pass inside the tunnel to each node",
        judge: judges::peers::tunnels,
    },
    Check {
        name: "store",
        about: "the store answers, and the kernel holds what it says",
        judge: judges::node::store,
    },
    Check {
        name: "clock",
        about: "the nodes' clocks agree, and with the certificate",
        judge: judges::node::clock,
    },
    Check {
        name: "disk",
        about: "room for the state folder",
        judge: judges::node::disk,
    },
];

/// Judges facts by every check.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let judged = CHECKS.iter().flat_map(|check| {
        let verdicts = (check.judge)(facts).into_iter();
        verdicts.map(|verdict| Finding {
            check: check.name.to_owned(),
            status: verdict.status,
            subject: verdict.subject,
            finding: verdict.finding,
            remedy: verdict.remedy,
        })
    });
    judged.collect()
}

#[cfg(test)]
mod tests;
