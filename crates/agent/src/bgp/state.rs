//! How the speaker is, for people and programs.

use std::sync::Arc;

use tombolo_api::{BgpSession, BgpState};
use tombolo_bgp::SessionStatus;
use tombolo_plan::bgp::BgpPlan;
use tombolo_speaker::Status;

use crate::shared::Shared;

/// How the speaker is; none where there is none to be. What the kernel does not let it do is noted, for
/// [`problems`].
pub(crate) async fn state(shared: &Shared) -> Option<BgpState> {
    let plan = Arc::clone(&shared.applied.borrow().plan);
    let Some(bgp) = plan.bgp.as_ref() else {
        shared.speaking.inner(|inner| inner.refused.clear());
        return None;
    };
    let reply = shared
        .speaking
        .inner(|inner| inner.handle.as_ref().map(|handle| handle.status()));
    let status = match reply {
        Some(reply) => reply.await.ok(),
        None => None,
    };
    let refused = status.as_ref().map(|status| status.problems.clone());
    shared
        .speaking
        .inner(|inner| inner.refused = refused.unwrap_or_default());
    Some(told(bgp, status))
}

/// What keeps the speaker from what the plan says, in words.
pub(crate) fn problems(shared: &Shared) -> Vec<String> {
    shared.speaking.inner(|inner| {
        let refused = inner.refused.iter().map(|why| format!("BGP: {why}"));
        inner.problems.iter().cloned().chain(refused).collect()
    })
}

fn told(bgp: &BgpPlan, status: Option<Status>) -> BgpState {
    let mut state = BgpState {
        asn: bgp.config.asn,
        router_id: bgp.config.router_id,
        announced: bgp.advertise.len(),
        settled: false,
        sessions: Vec::new(),
    };
    let Some(status) = status else {
        return state;
    };
    let bfd = &status.bfd;
    let session = |session: SessionStatus| BgpSession {
        asked_by: bgp
            .peers
            .get(&session.peer)
            .map(|origin| origin.resource.to_string())
            .unwrap_or_default(),
        bfd: bfd.get(&session.peer).map(|bfd| bfd.state.to_owned()),
        status: session,
    };
    state.settled = status.settled;
    state.sessions = status.sessions.into_iter().map(session).collect();
    state
}
