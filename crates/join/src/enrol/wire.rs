//! The bodies of the protocol, as JSON. Unknown fields are ignored in answers, so that a newer
//! server may say more, and refused in requests, so that nothing asked for is silently left out.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tombolo_model::Name;

use super::error::Refusal;
use crate::token::Secret;

/// The path of a join.
pub(crate) const JOIN: &str = "/v1/join";
/// The path of a renewal.
pub(crate) const RENEW: &str = "/v1/renew";
/// The most addresses that a node may ask to have in its certificate.
pub(crate) const MOST_ADDRESSES: usize = 32;

/// Let me in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The token's id.
    #[serde(rename = "tokenID")]
    pub token_id: Name,
    /// The token's secret, 32 hexadecimal digits.
    #[serde(serialize_with = "write_secret", deserialize_with = "read_secret")]
    pub secret: Secret,
    /// What the node is to be called.
    pub node: Name,
    /// The signing request (PEM). Only its key is looked at.
    pub csr: String,
    /// The addresses by which others reach the node.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// Give me a new certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The signing request (PEM). Only its key is looked at.
    pub csr: String,
    /// The addresses by which others reach the node.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// You are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The node's certificate (PEM).
    pub certificate: String,
    /// The CA's certificate (PEM).
    pub ca: String,
    /// Where the cluster's store answers.
    pub store: Vec<String>,
    /// The name of the cluster.
    pub cluster: String,
}

/// You are not, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RefusalBody {
    /// The verdict as data.
    pub refusal: Refusal,
    /// The verdict in words, for clients that do not know its code.
    pub message: String,
}

fn write_secret<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&secret.reveal())
}

fn read_secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    let text = String::deserialize(from)?;
    Secret::from_hex(&text).map_err(serde::de::Error::custom)
}
