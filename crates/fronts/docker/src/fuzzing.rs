//! The doors by which fuzzers reach what reads foreign bytes. Nothing else may use them.
#![doc(hidden)]

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use tombolo_model::Name;

use crate::about::About;
use crate::wire::{CreateEndpoint, CreateNetwork, Join, Named, PoolCall, RequestPool};
use crate::{endpoint, ipam, options, ports};

/// Reads a call: its path in the first line, its body behind it. What would be asked of the agent is
/// worked out, and not asked.
pub fn request(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (path, body) = bytes.split_at(end.unwrap_or(0));
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    match path {
        b"/NetworkDriver.CreateNetwork" => network(body),
        b"/NetworkDriver.CreateEndpoint" => {
            if let Some(call) = read::<CreateEndpoint>(body) {
                let _ = endpoint::asked(&call.interface);
                let _ = About::read(&call.options);
            }
        }
        b"/IpamDriver.RequestPool" => {
            if let Some(call) = read::<RequestPool>(body) {
                ipam::fuzz_pool(&call);
            }
        }
        b"/IpamDriver.RequestAddress" => {
            if let Some(call) = read::<PoolCall>(body) {
                ipam::fuzz_address(&call);
            }
        }
        b"/NetworkDriver.ProgramExternalConnectivity" => {
            if let Some(call) = read::<Join>(body) {
                let _ = ports::bindings(&call.options);
            }
        }
        _ => drop(read::<Named>(body)),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn network(body: &[u8]) {
    let Some(call) = read::<CreateNetwork>(body) else {
        return;
    };
    if let (Ok(wish), Ok(name)) = (options::read(&call), Name::new("n")) {
        let _ = options::resources(&wish, &name, |_| false, &BTreeMap::new());
    }
}
