//! Settings, links, routes and filters of this host.

use std::collections::BTreeMap;

use tombolo_check::{HostFacts, LinkFact, NodeFacts, RouteFact, SETTINGS};
use tombolo_kernel::survey::{Entry, setting, survey};
use tombolo_kernel::{NetnsHandle, Ownership, filters, underlay};
use tombolo_plan::Key;
use tombolo_plan::explain::{Mark, whose};
use tombolo_plan::objects::MAIN_TABLE;

/// What the host is like, without what has to be tried.
pub(super) fn read(here: &NetnsHandle, node: Option<&NodeFacts>) -> HostFacts {
    let interfaces = underlay::interfaces(here).unwrap_or_default();
    let entries = survey(here).unwrap_or_default();
    HostFacts {
        refused: Err("it was not tried".to_owned()),
        features: Err("it was not tried".to_owned()),
        without_macvlan: None,
        without_vlans: None,
        settings: settings(here, node),
        filter: filters::foreign(here, &Ownership::default()).map_err(|error| error.to_string()),
        links: interfaces
            .into_iter()
            .map(|interface| LinkFact {
                name: interface.name,
                up: interface.up,
                carrier: interface.carrier,
            })
            .collect(),
        routes: entries.iter().filter_map(route).collect(),
        peers: Vec::new(),
        tunnels: Vec::new(),
    }
}

fn settings(here: &NetnsHandle, node: Option<&NodeFacts>) -> BTreeMap<String, String> {
    let underlay = node.into_iter().flat_map(|node| &node.underlay);
    let of_links = underlay.map(|u| format!("net/ipv4/conf/{}/rp_filter", u.interface));
    let names = SETTINGS
        .iter()
        .map(|name| (*name).to_owned())
        .chain(of_links);
    names
        .filter_map(|name| {
            let value = setting(here, &name).ok()??;
            Some((name, value))
        })
        .collect()
}

/// A route of the main table that is not ours.
fn route(entry: &Entry) -> Option<RouteFact> {
    let (Key::Route { table, dst, metric }, Mark::Protocol(protocol)) = (&entry.key, &entry.mark)
    else {
        return None;
    };
    let is_ours = *protocol == Ownership::default().route_protocol;
    (*table == MAIN_TABLE && !is_ours).then(|| RouteFact {
        dst: *dst,
        metric: *metric,
        text: entry.text.clone(),
        whose: whose(&entry.mark),
    })
}
