//! Token: the right of a new node to join, for a time and a number of times.

use serde::{Deserialize, Serialize};

use crate::names::Name;
use crate::resource::FieldError;

/// The right to join. Its secret is not stored, only the secret's hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// SHA-256 of the secret, hexadecimal.
    pub secret_hash: String,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
    /// How many nodes may join with it.
    pub uses: u32,
    /// The nodes that did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<TokenUse>,
    /// No more node may join with it.
    #[serde(default)]
    pub revoked: bool,
}

/// One join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenUse {
    /// The node that joined.
    pub node: Name,
    /// SHA-256 of the public key that it was certified for, hexadecimal. A repeated request for
    /// the same key is the same join.
    pub key_hash: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Token {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        if self.uses == 0 {
            return vec![FieldError::new("spec.uses", "0 is not allowed: at least 1")];
        }
        Vec::new()
    }
}
