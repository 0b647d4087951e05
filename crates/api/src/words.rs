//! What fronts read alike from people's words.

use tombolo_model::kinds::policy::{NamedPort, ProtocolMatch};

/// A port by its name and what is behind it, as `TCP/80`.
///
/// # Errors
/// What is wrong, in words.
pub fn named_port(name: &str, text: &str) -> Result<NamedPort, String> {
    let wrong = || format!("port {name:?}: {text:?} is not PROTOCOL/PORT, as TCP/80");
    let (protocol, port) = text.split_once('/').ok_or_else(wrong)?;
    let protocol: ProtocolMatch = protocol.parse()?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if name.is_empty() {
        return Err(format!("the name of port {text} is empty"));
    }
    if port == 0 || !protocol.has_ports() {
        return Err(wrong());
    }
    Ok(NamedPort {
        name: name.to_owned(),
        protocol,
        port,
    })
}
