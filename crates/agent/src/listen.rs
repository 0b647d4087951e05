//! Listening on TCP, with an error that helps.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

/// Listens on an address; one that is taken is told with the option that changes it.
pub(crate) async fn bind(address: SocketAddr, what: &str, option: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    // Without IPv6 in the kernel every address is IPv4's.
    let listener = match listener {
        Err(error)
            if error.kind() != std::io::ErrorKind::AddrInUse
                && address.ip() == std::net::Ipv6Addr::UNSPECIFIED =>
        {
            TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    };
    listener.with_context(|| {
        format!(
            "cannot listen on {address} for {what}; if another program has the port, stop it (`ss -ltnp`) or choose another with {option} at init"
        )
    })
}
