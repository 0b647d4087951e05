//! What is said at the socket of a tunnel's process: a line of JSON each way for each request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Status;
use crate::control::Way;
use crate::{Config, NetworkId, PeerId};

/// A line may be so long: a configuration of some thousand peers with some ten thousand routes.
const LONGEST: u64 = 64 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Request {
    /// Be as this says.
    Configure(Box<Config>),
    /// How are you?
    Status,
    /// How are you once something has changed since an edition? Answered after some seconds at most.
    Wait { edition: u64 },
    /// Give me all that you have, and end.
    HandOver,
    /// To who hands over: the answer was understood; now the descriptors.
    Ready,
    /// To who hands over: all is here and works; end.
    Taken,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reply {
    Done,
    Status(Box<Status>),
    Handed(Box<Inventory>),
    Failed(String),
}

/// What is handed over, but for the descriptors, which come behind it in this order: the queues of each
/// device, then the sockets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inventory {
    pub config: Config,
    pub ways: BTreeMap<PeerId, Way>,
    /// How many queues each device has.
    pub devices: Vec<(NetworkId, usize)>,
    pub sockets: usize,
}

/// Says something.
pub(super) fn say(stream: &UnixStream, what: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let mut stream = stream;
    stream.write_all(&line)
}

/// Hears something; nothing if the other side has closed.
pub(super) fn hear<T: DeserializeOwned>(
    reader: &mut BufReader<&UnixStream>,
) -> std::io::Result<Option<T>> {
    let mut line = Vec::new();
    reader.take(LONGEST).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}
