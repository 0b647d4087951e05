//! The doors by which fuzzers reach what reads foreign bytes. Nothing else may use them.
#![doc(hidden)]

use tombolo_api::Attached;

use crate::wire::{self, Environment};
use crate::{handle, result};

/// Reads an environment (`NAME=VALUE` lines up to an empty one) and a configuration (all behind),
/// and shapes a result from the previous one.
pub fn input(bytes: &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = bytes.split_at(end.unwrap_or(0));
    let head = String::from_utf8_lossy(head);
    let environment = Environment::of(
        &head
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect::<Vec<_>>(),
    );
    let body = body.strip_prefix(b"\n\n").unwrap_or(body);
    let _ = wire::attachment(&environment, "ADD", true);
    let _ = wire::socket(body);
    if let Ok(config) = wire::config(&environment, body) {
        let attached = Attached {
            endpoint: (config.name.clone(), config.name.clone()),
            host_interface: None,
            container_interface: None,
            bridge: None,
            addresses: Vec::new(),
            routes: Vec::new(),
        };
        let _ = result::of(&attached, "/run/netns/a", &config);
        if let Some(previous) = &config.prev_result {
            handle::unlike(&attached, previous, "eth0", "/run/netns/a");
        }
    }
}
