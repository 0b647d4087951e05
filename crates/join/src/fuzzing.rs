//! Doors for the fuzz targets: what strangers say at the join port, without a port.
//!
//! They decide nothing, and nobody else calls them. They are always compiled, so that they do not
//! rot.

use tombolo_model::Name;

use crate::enrol::fuzzing;
use crate::read;

/// A request to join or to renew, as far as it is judged without a store.
pub fn join_request(body: &[u8]) {
    fuzzing::requests(body);
}

/// An answer of the join port, as the new node reads it.
pub fn join_answer(bytes: &[u8]) {
    fuzzing::answer(bytes);
}

/// A certificate that a peer shows, and a signing request, in DER and in PEM.
pub fn certificate(bytes: &[u8]) {
    let _ = read::facts(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = read::certificates(text);
        let _ = read::private_key(text);
        let node = Name::new("node").expect("a name");
        fuzzing::signing_request(&node, text);
    }
}
