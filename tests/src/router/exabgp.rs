//! ExaBGP: says to its peers whatever it is told, and tells what they say.
//!
//! ```text
//!  ask ──► pipe `commands` ──► api ──► ExaBGP ◄── BGP ──► peers
//!  heard ◄── file `heard` ◄────┘ lines of JSON
//! ```
//! The program between, `api`, is what ExaBGP calls a process: it starts it, reads commands from its
//! output, and writes what happened to its input.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Kind, Seat};

pub(super) struct ExaBgp;

/// Copies both ways. The pipe is opened for writing, too, so that it never ends; a background job's
/// input is not the shell's unless it is said.
const API: &str = "exec 3<&0 4<>/run/routers/exabgp/commands
cat <&3 >> /run/routers/exabgp/heard &
exec cat <&4";

/// What each neighbour's section gets: everything that happens, parsed.
const TOLD: &str = "api { processes [ api ]; neighbor-changes; receive { parsed; update; notification; refresh; } }";

impl Kind for ExaBgp {
    fn name(&self) -> &'static str {
        "exabgp"
    }

    fn prepare(&self, seat: &Seat<'_>, config: &str) {
        seat.write("api.sh", API);
        seat.sh("cd /run/routers/exabgp && : > heard && rm -f commands && mkfifo commands");
        // Every neighbour's section, which ends where its outermost brace does, gets the API.
        let process = "process api { run /bin/sh /run/routers/exabgp/api.sh; encoder json; }";
        seat.write("exabgp.conf", &format!("{process}\n{}", with_api(config)));
    }

    fn programs(&self, _config: &str) -> Vec<(&'static str, String)> {
        // Where it is root it would become nobody, who may not write here.
        let settings = "exabgp.daemon.user=root exabgp.daemon.drop=false exabgp.log.all=false \
                        exabgp.log.routes=false exabgp.api.ack=false exabgp.api.cli=false";
        vec![("exabgp", format!("env {settings} exabgp exabgp.conf"))]
    }

    fn question(&self, words: &str) -> String {
        format!("echo '{words}' > /run/routers/exabgp/commands")
    }

    fn settle(&self, seat: &Seat<'_>) {
        seat.sh("test -p /run/routers/exabgp/commands");
    }

    fn hello(&self) -> &'static str {
        "version"
    }

    fn sessions(&self, seat: &Seat<'_>) -> BTreeSet<String> {
        let mut stand = BTreeSet::new();
        for told in heard(seat) {
            let Some(peer) = told["neighbor"]["address"]["peer"].as_str() else {
                continue;
            };
            match told["neighbor"]["state"].as_str() {
                Some("up") => stand.insert(peer.to_owned()),
                Some("down") => stand.remove(peer),
                _ => continue,
            };
        }
        stand
    }

    fn prefixes(&self, seat: &Seat<'_>) -> BTreeSet<String> {
        let mut known = BTreeSet::new();
        for told in heard(seat) {
            if told["neighbor"]["state"] == "down" {
                known.clear();
            }
            let update = &told["neighbor"]["message"]["update"];
            for (_, routes) in update["withdraw"].as_object().into_iter().flatten() {
                for prefix in nlris(routes) {
                    known.remove(prefix);
                }
            }
            for (_, hops) in update["announce"].as_object().into_iter().flatten() {
                let hops = hops.as_object().into_iter().flatten();
                hops.for_each(|(_, routes)| known.extend(nlris(routes).map(str::to_owned)));
            }
        }
        known
    }
}

/// The lines that ExaBGP wrote to its process; one that is being written is not there yet.
pub(super) fn heard(seat: &Seat<'_>) -> Vec<Value> {
    let text = seat
        .try_sh("cat /run/routers/exabgp/heard")
        .unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines.collect()
}

fn nlris(routes: &Value) -> impl Iterator<Item = &str> {
    let routes = routes.as_array().into_iter().flatten();
    routes.filter_map(|route| route["nlri"].as_str())
}

/// The configuration with the API in each section at the outermost level.
fn with_api(config: &str) -> String {
    let (mut depth, mut text) = (0, String::new());
    for letter in config.chars() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    text.push_str(TOLD);
                    text.push('\n');
                }
            }
            _ => {}
        }
        text.push(letter);
    }
    text
}
