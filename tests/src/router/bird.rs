//! BIRD 2: one program, asked through its socket by `birdc`.

use std::collections::BTreeSet;

use super::{Kind, Seat};

pub(super) struct Bird;

impl Kind for Bird {
    fn name(&self) -> &'static str {
        "bird"
    }

    fn prepare(&self, seat: &Seat<'_>, config: &str) {
        seat.write("bird.conf", config);
    }

    fn programs(&self, _config: &str) -> Vec<(&'static str, String)> {
        // `-R` takes over the routes of the one before, and begins a graceful restart where there was
        // one that did not end by itself.
        vec![("bird", "bird -f -R -c bird.conf -s control".to_owned())]
    }

    fn question(&self, words: &str) -> String {
        format!("birdc -s /run/routers/bird/control '{words}'")
    }

    fn hello(&self) -> &'static str {
        "show status"
    }

    fn sessions(&self, seat: &Seat<'_>) -> BTreeSet<String> {
        let text = seat.try_sh(&self.question("show protocols all"));
        let text = text.unwrap_or_default();
        let mut stand = BTreeSet::new();
        let mut up = false;
        // Of each protocol its state comes first, then who the neighbour is.
        for line in text.lines().map(str::trim) {
            if let Some(state) = line.strip_prefix("BGP state:") {
                up = state.trim() == "Established";
            } else if let Some(peer) = line.strip_prefix("Neighbor address:")
                && up
            {
                stand.insert(peer.trim().to_owned());
            }
        }
        stand
    }

    fn prefixes(&self, seat: &Seat<'_>) -> BTreeSet<String> {
        let text = seat
            .try_sh(&self.question("show route"))
            .unwrap_or_default();
        let firsts = text.lines().filter_map(|line| line.split(' ').next());
        let prefixes = firsts.filter(|word| word.contains('/'));
        prefixes.map(str::to_owned).collect()
    }
}
