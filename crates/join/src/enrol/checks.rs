//! The rules of enrolment that need no store: whether a token holds, whether a request makes
//! sense, whose address or endpoint something is.
//!
//! Pure: every answer follows from the arguments, the time among them. The order in which the
//! rules are asked is [`super::enrolment`]'s.

use std::net::IpAddr;

use tombolo_model::{Name, Node, Resource, Token};

use super::error::Refusal;
use super::wire::MOST_ADDRESSES;
use crate::ca::{CaError, csr_key_hash};

/// Who asks for what, once the right to ask is proven.
pub(crate) struct Applicant<'a> {
    pub(crate) node: &'a Name,
    pub(crate) csr: &'a str,
    pub(crate) key_hash: String,
    pub(crate) addresses: &'a [IpAddr],
}

/// Whether a token may be used at all, for whatever.
pub(crate) fn token_holds(token: &Resource<Token>, now: u64) -> Result<(), Refusal> {
    let id = token.name().clone();
    if token.spec.revoked {
        return Err(Refusal::Revoked { id });
    }
    let at = token.spec.expires;
    if now >= at {
        return Err(Refusal::Expired { id, at });
    }
    Ok(())
}

/// The verdict over a token that has no use left.
pub(crate) fn used_up(token: &Resource<Token>) -> Refusal {
    let id = token.name().clone();
    match token.spec.used_by.last() {
        Some(last) => Refusal::UsedUp {
            id,
            node: last.node.clone(),
            at: last.at,
        },
        // A token for no use at all; validation lets none be made.
        None => Refusal::Revoked { id },
    }
}

/// Reads a request: its key, after its signature held, and its addresses.
pub(crate) fn applicant<'a>(
    node: &'a Name,
    csr: &'a str,
    addresses: &'a [IpAddr],
) -> Result<Applicant<'a>, Refusal> {
    if addresses.len() > MOST_ADDRESSES {
        let address = format!("list of {}", addresses.len());
        return Err(Refusal::BadAddress { address });
    }
    let nobody = |a: &&IpAddr| a.is_unspecified() || a.is_multicast();
    if let Some(address) = addresses.iter().find(nobody) {
        let address = address.to_string();
        return Err(Refusal::BadAddress { address });
    }
    Ok(Applicant {
        node,
        csr,
        key_hash: csr_key_hash(csr).map_err(|e| bad_csr(&e))?,
        addresses,
    })
}

/// Whether a node has an address.
pub(crate) fn has_address(node: &Resource<Node>, address: IpAddr) -> bool {
    node.spec
        .addresses
        .iter()
        .any(|a| a.address.addr() == address)
}

/// The host of an endpoint: `https://[2001:db8::1]:2379` → `2001:db8::1`.
pub(crate) fn endpoint_host(endpoint: &str) -> &str {
    let rest = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    if let Some(v6) = authority.strip_prefix('[') {
        return v6.split(']').next().unwrap_or(v6);
    }
    authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host)
}

/// The verdict over a signing request that cannot be certified.
pub(crate) fn bad_csr(error: &CaError) -> Refusal {
    let why = error.to_string();
    Refusal::BadCsr { why }
}

#[cfg(test)]
mod tests {
    use super::endpoint_host;

    #[test]
    fn hosts_of_endpoints() {
        assert_eq!(endpoint_host("https://10.0.0.1:2379"), "10.0.0.1");
        assert_eq!(endpoint_host("https://[2001:db8::1]:2379/"), "2001:db8::1");
        assert_eq!(endpoint_host("store.example"), "store.example");
    }
}
