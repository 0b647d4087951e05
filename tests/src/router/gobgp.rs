//! GoBGP: one program, asked through its API by `gobgp`. It writes no routes to the kernel.

use std::collections::BTreeSet;

use super::{Kind, Seat};

pub(super) struct GoBgp;

/// What its API says of a session that stands.
const ESTABLISHED: i64 = 6;

impl Kind for GoBgp {
    fn name(&self) -> &'static str {
        "gobgp"
    }

    fn prepare(&self, seat: &Seat<'_>, config: &str) {
        seat.write("gobgpd.toml", config);
    }

    fn programs(&self, _config: &str) -> Vec<(&'static str, String)> {
        let command = "gobgpd -t toml -f gobgpd.toml --api-hosts 127.0.0.1:50051 --pprof-disable";
        vec![("gobgpd", command.to_owned())]
    }

    fn question(&self, words: &str) -> String {
        format!("gobgp -u 127.0.0.1 -p 50051 {words}")
    }

    fn hello(&self) -> &'static str {
        "global"
    }

    fn sessions(&self, seat: &Seat<'_>) -> BTreeSet<String> {
        let peers = seat.json(&self.question("neighbor -j"));
        let peers = peers.as_array().into_iter().flatten();
        let stand = peers.filter(|peer| peer["state"]["session_state"] == ESTABLISHED);
        let addresses = stand.filter_map(|peer| peer["state"]["neighbor_address"].as_str());
        addresses.map(str::to_owned).collect()
    }

    fn prefixes(&self, seat: &Seat<'_>) -> BTreeSet<String> {
        let mut prefixes = BTreeSet::new();
        for family in ["ipv4", "ipv6"] {
            let table = seat.json(&self.question(&format!("global rib -a {family} -j")));
            prefixes.extend(
                table
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(prefix, _)| prefix.clone()),
            );
        }
        prefixes
    }
}
