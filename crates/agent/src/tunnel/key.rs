//! What this node signs its tunnel's messages with: made once, and kept in the state folder.
//!
//! The others learn it from the store, as they learn the node's addresses: whoever may read the nodes
//! there may speak as one of them. It keeps strangers out, not members.

use anyhow::{Context, Result};

use crate::config::Files;

/// The key as 64 hexadecimal digits.
pub(crate) fn key(files: &Files) -> Result<String> {
    let path = files.tunnel_key();
    if path.exists() {
        return Ok(Files::read(&path)?.trim().to_owned());
    }
    let mut bytes = [0_u8; 32];
    let mut source = std::fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    std::io::Read::read_exact(&mut source, &mut bytes).context("cannot read /dev/urandom")?;
    let key = hex::encode(bytes);
    Files::write(&path, &format!("{key}\n"))?;
    Ok(key)
}
