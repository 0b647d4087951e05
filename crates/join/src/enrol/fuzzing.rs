//! What a stranger says, by the readers of this folder, for the fuzz targets.

use tombolo_model::Name;

use super::wire::{JoinRequest, RefusalBody, RenewRequest};
use super::{Admission, checks, http};

/// A body that may be a request to join or to renew.
pub(crate) fn requests(body: &[u8]) {
    if let Ok(ask) = serde_json::from_slice::<JoinRequest>(body) {
        let again = serde_json::to_vec(&ask).expect("a request is JSON");
        let again: JoinRequest = serde_json::from_slice(&again).expect("what was written is read");
        assert_eq!(again.secret.reveal(), ask.secret.reveal());
        let _ = checks::applicant(&ask.node, &ask.csr, &ask.addresses);
    }
    if let Ok(ask) = serde_json::from_slice::<RenewRequest>(body) {
        let node = Name::new("node").expect("a name");
        let _ = checks::applicant(&node, &ask.csr, &ask.addresses);
    }
}

/// An answer over the wire, and what it may say.
pub(crate) fn answer(mut bytes: &[u8]) {
    if let Ok(answer) = http::read(&mut bytes) {
        let _ = serde_json::from_slice::<Admission>(&answer.body);
        let _ = serde_json::from_slice::<RefusalBody>(&answer.body);
    }
}

/// A text that may be a signing request.
pub(crate) fn signing_request(node: &Name, text: &str) {
    let _ = checks::applicant(node, text, &[]);
}
