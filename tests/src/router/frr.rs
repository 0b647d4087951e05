//! FRR: zebra, which has the kernel's routes, bgpd, and bfdd where it is asked for, told what to do
//! by `vtysh` as at their start by the distribution's own script.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Kind, Seat};

pub(super) struct Frr;

impl Kind for Frr {
    fn name(&self) -> &'static str {
        "frr"
    }

    fn prepare(&self, seat: &Seat<'_>, config: &str) {
        // The sockets are looked for where Debian's build has them: in the host's own /run.
        // Its daemons ask of their user to be in a group; /etc, too, is the host's own.
        seat.sh("mkdir -p /run/frr && sed -i 's/^frrvty:.*/&,root/' /etc/group");
        seat.write("frr.conf", config);
        seat.write("vtysh.conf", "service integrated-vtysh-config");
    }

    fn programs(&self, config: &str) -> Vec<(&'static str, String)> {
        let command = |program: &str, more: &str| {
            format!("/usr/lib/frr/{program} -u root -g root -A 127.0.0.1 -P 0 --log stdout {more}")
        };
        let mut programs = vec![("zebra", command("zebra", ""))];
        if config.contains("bfd") {
            programs.push(("bfdd", command("bfdd", "")));
        }
        programs.push(("bgpd", command("bgpd", "")));
        programs
    }

    fn question(&self, words: &str) -> String {
        let commands: Vec<String> = words.lines().map(|line| format!("-c '{line}'")).collect();
        format!("vtysh --config_dir /run/routers/frr {}", commands.join(" "))
    }

    fn hello(&self) -> &'static str {
        "show bgp summary json"
    }

    fn settle(&self, seat: &Seat<'_>) {
        // Its status is success whatever it refuses.
        let told = seat.sh("vtysh --config_dir /run/routers/frr -b 2>&1");
        assert!(
            !told.contains("% "),
            "FRR refuses its configuration: {told}"
        );
    }

    fn sessions(&self, seat: &Seat<'_>) -> BTreeSet<String> {
        let summary = seat.json(&self.question("show bgp summary json"));
        let families = summary.as_object().into_iter().flatten();
        let peers = families.filter_map(|(_, family)| family["peers"].as_object());
        let stand = peers
            .flatten()
            .filter(|(_, peer)| peer["state"] == "Established");
        stand.map(|(peer, _)| peer.clone()).collect()
    }

    fn prefixes(&self, seat: &Seat<'_>) -> BTreeSet<String> {
        let mut prefixes = BTreeSet::new();
        for family in ["ipv4", "ipv6"] {
            let table = seat.json(&self.question(&format!("show bgp {family} unicast json")));
            if let Value::Object(routes) = &table["routes"] {
                prefixes.extend(routes.keys().cloned());
            }
        }
        prefixes
    }
}
