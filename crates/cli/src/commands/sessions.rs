//! Sessions of BGP as a table: of `get bgppeers -o wide` and of `status`.

use tombolo_api::{BgpSession, BgpState};

use crate::output::table;

const HEADER: [&str; 9] = [
    "peer",
    "asked by",
    "as",
    "state",
    "for",
    "in",
    "out",
    "bfd",
    "last error",
];

/// One line: who we are, how many sessions stand, what is announced.
pub(super) fn summary(bgp: &BgpState) -> String {
    let (standing, all) = bgp.standing();
    let waiting = match bgp.settled {
        true => "",
        false => "; waiting for peers, with the routes of before",
    };
    format!(
        "as {}, id {}: {standing} of {all} sessions stand, {} prefixes announced{waiting}",
        bgp.asn, bgp.router_id, bgp.announced
    )
}

/// A row for each session, and below them what a row has no room for.
pub(super) fn sessions(bgp: &BgpState) -> String {
    let mut text = table(&HEADER, bgp.sessions.iter().map(row));
    for note in bgp.sessions.iter().flat_map(notes) {
        text.push('\n');
        text.push_str(&note);
    }
    text
}

/// What of a peer is refused, not usable, malformed or kept, a line each.
fn notes(session: &BgpSession) -> Vec<String> {
    let status = &session.status;
    let peer = &status.peer;
    let mut notes = Vec::new();
    for (reason, count) in &status.prefixes.refused {
        notes.push(format!("{peer}: {count} refused: {reason}"));
    }
    for (hop, count) in &status.unreachable {
        notes.push(format!(
            "{peer}: {count} not used: nothing leads to next hop {hop}"
        ));
    }
    if let Some(last) = &status.last_borne {
        let borne = status.borne;
        notes.push(format!(
            "{peer}: {borne} malformed and borne, the last: {last}"
        ));
    }
    notes.extend(status.kept.iter().map(|kept| format!("{peer}: {kept}")));
    notes
}

fn row(session: &BgpSession) -> Vec<String> {
    let status = &session.status;
    let (ipv4, ipv6) = (status.prefixes.ipv4, status.prefixes.ipv6);
    let (received, accepted) = (ipv4.received + ipv6.received, ipv4.accepted + ipv6.accepted);
    let incoming = with_notes(
        received,
        &[
            (received - accepted, "refused"),
            (status.prefixes.left_out, "left out"),
        ],
    );
    let advertised = ipv4.advertised + ipv6.advertised;
    let outgoing = with_notes(advertised, &[(status.prefixes.too_long, "too long")]);
    let trouble = status.trouble.as_ref().map(|trouble| {
        let ago = duration(trouble.seconds_ago);
        format!("{} ({ago} ago)", trouble.words)
    });
    vec![
        status.peer.to_string(),
        session.asked_by.clone(),
        status.asn.to_string(),
        status.state.to_string(),
        duration(status.seconds),
        incoming,
        outgoing,
        session.bfd.clone().unwrap_or_else(|| "-".to_owned()),
        trouble.unwrap_or_else(|| "-".to_owned()),
    ]
}

/// A number, and what is to be said of it, as `3 (1 refused)`.
fn with_notes(number: u64, notes: &[(u64, &str)]) -> String {
    let notes = notes.iter().filter(|(count, _)| *count > 0);
    let notes: Vec<String> = notes
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    match notes.is_empty() {
        true => number.to_string(),
        false => format!("{number} ({})", notes.join(", ")),
    }
}

/// The two largest units of a time, as `3d4h`, `5m10s`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_have_their_two_largest_units() {
        for (seconds, text) in [
            (0.4, "0s"),
            (59.9, "59s"),
            (310.0, "5m10s"),
            (7260.0, "2h1m"),
            (273_600.0, "3d4h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn sessions_say_what_came_in_and_what_went_wrong() {
        let kinds =
            json!({"open": 1, "update": 2, "notification": 0, "keepalive": 9, "refresh": 0});
        let messages = json!({"received": kinds, "sent": kinds});
        let none = json!({"received": 0, "accepted": 0, "best": 0, "advertised": 0});
        let bgp: BgpState = serde_json::from_value(json!({
            "asn": 64512, "routerID": "10.0.0.1", "announced": 2, "settled": true,
            "sessions": [
                {"peer": "10.0.0.2", "name": "b", "asn": 64512, "localAsn": 64512,
                 "state": "Established", "seconds": 75.2, "flaps": 0, "messages": messages, "borne": 2,
                 "prefixes": {"ipv4": {"received": 3, "accepted": 2, "best": 2, "advertised": 2},
                              "ipv6": none, "refused": {"a default route": 1}},
                 "unreachable": {"192.0.2.9": 1}, "lastBorne": "COMMUNITIES with 3 bytes",
                 "askedBy": "Node b", "bfd": "Up"},
                {"peer": "fe80::1%eth0", "name": "rack", "asn": 65001, "localAsn": 64512,
                 "state": "Active", "seconds": 4000.0, "flaps": 1, "messages": messages, "borne": 0,
                 "prefixes": {"ipv4": none, "ipv6": none, "refused": {}},
                 "trouble": {"words": "hold timer expired", "secondsAgo": 61.0},
                 "askedBy": "BGPPeer rack"},
            ],
        }))
        .unwrap();
        assert_eq!(
            summary(&bgp),
            "as 64512, id 10.0.0.1: 1 of 2 sessions stand, 2 prefixes announced"
        );
        insta::assert_snapshot!(sessions(&bgp), @r"
        PEER           ASKED BY       AS      STATE         FOR     IN              OUT   BFD   LAST ERROR
        10.0.0.2       Node b         64512   Established   1m15s   3 (1 refused)   2     Up    -
        fe80::1%eth0   BGPPeer rack   65001   Active        1h6m    0               0     -     hold timer expired (1m1s ago)
        10.0.0.2: 1 refused: a default route
        10.0.0.2: 1 not used: nothing leads to next hop 192.0.2.9
        10.0.0.2: 2 malformed and borne, the last: COMMUNITIES with 3 bytes
        ");
    }
}
