//! Tokens: the right to join, as a text for people and as a resource in the store.
//!
//! ```text
//! tb1.0badcafe.00112233445566778899aabbccddeeff.9f86d081…(64 hexadecimal digits)
//!  │     │              │                            └ SHA-256 of the CA's certificate
//!  │     │              └ the secret, 128 random bits
//!  │     └ the id: the name of the Token resource
//!  └ version of this form
//! ```
//!
//! The store keeps only the SHA-256 of the secret; 128 random bits need no slower hash. The text
//! is shown once, to the one who made it. Debug hides the secret.
//!
//! It decides nothing about who may enter: that is [`crate::enrol`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tombolo_model::{KindName, Name, Resource, ResourceKey, Token};

use crate::ca::CaError;
use crate::{random, read};

/// How every token begins.
pub const VERSION: &str = "tb1";
/// The bytes of an id; twice as many digits.
const ID_BYTES: usize = 4;
/// The bytes of a secret.
const SECRET_BYTES: usize = 16;
/// The bytes of a fingerprint.
const FINGERPRINT_BYTES: usize = 32;

/// Why a text is no token. The text itself is not repeated: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenTextError {
    /// Nothing was given.
    #[error("the token is empty; give the text that `tombolo token create` printed")]
    Empty,
    /// It begins with something else.
    #[error(
        "the token begins with {found:?}, but this version of tombolo reads tokens that begin \
         with \"tb1.\"; copy it whole, or use the same version on both hosts"
    )]
    Version {
        /// Up to the first dot, at most 8 characters.
        found: String,
    },
    /// Parts are missing at the end.
    #[error(
        "the token is cut off: it has {parts} of 4 parts between dots; copy it whole, to the last \
         of its 110 characters"
    )]
    Truncated {
        /// How many parts there are.
        parts: usize,
    },
    /// There is more than a token.
    #[error("the token has more than 4 parts between dots; copy only the token")]
    TooLong,
    /// A part is too short or too long.
    #[error("the token's {part} has {found} characters instead of {wanted}; copy the token whole")]
    Length {
        /// Which part.
        part: &'static str,
        /// How long it should be.
        wanted: usize,
        /// How long it is.
        found: usize,
    },
    /// A part has something else than hexadecimal digits.
    #[error("the token's {part} has a character that is no hexadecimal digit; copy it again")]
    Hex {
        /// Which part.
        part: &'static str,
    },
}

/// SHA-256 of a CA certificate (DER): by it a new node knows its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; FINGERPRINT_BYTES]);

impl Fingerprint {
    /// The fingerprint of a certificate (DER).
    #[must_use]
    pub fn of(certificate: &[u8]) -> Fingerprint {
        Fingerprint(Sha256::digest(certificate).into())
    }

    /// The fingerprint of a certificate (PEM), for nodes that have the CA's certificate alone.
    ///
    /// # Errors
    /// When the text is no certificate.
    pub fn of_pem(certificate: &str) -> Result<Fingerprint, CaError> {
        Ok(Fingerprint::of(&read::certificate(certificate)?))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = TokenTextError;
    fn try_from(text: String) -> Result<Fingerprint, TokenTextError> {
        digits("CA fingerprint", &text).map(Fingerprint)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

/// The secret of a token.
#[derive(Clone)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// Reads 32 hexadecimal digits.
    ///
    /// # Errors
    /// When they are none.
    pub fn from_hex(text: &str) -> Result<Secret, TokenTextError> {
        digits("secret", text).map(Secret)
    }

    /// The 32 digits: to be sent, never to be logged.
    #[must_use]
    pub fn reveal(&self) -> String {
        hex::encode(self.0)
    }

    /// SHA-256 of its bytes, hexadecimal: what the store keeps.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0))
    }

    /// Whether this is the secret of that hash, in a time that tells nothing.
    #[must_use]
    pub fn matches(&self, hash: &str) -> bool {
        let mut stored = [0; 32];
        let readable = hex::decode_to_slice(hash, &mut stored).is_ok();
        let same: bool = Sha256::digest(self.0).as_slice().ct_eq(&stored).into();
        readable && same
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A token, whole.
#[derive(Debug, Clone)]
pub struct JoinToken {
    id: Name,
    secret: Secret,
    fingerprint: Fingerprint,
}

impl JoinToken {
    /// A new token of the cluster whose CA has this fingerprint, with an id and a secret from
    /// `random` bytes.
    #[must_use]
    pub fn new(fingerprint: Fingerprint, random: [u8; 20]) -> JoinToken {
        let (id, secret) = random.split_at(ID_BYTES);
        JoinToken {
            id: id_name(id),
            secret: Secret(secret.try_into().expect("20 bytes less 4 are 16")),
            fingerprint,
        }
    }

    /// A new token that nobody can guess.
    ///
    /// # Panics
    /// Where the kernel has no randomness.
    #[must_use]
    pub fn generate(fingerprint: Fingerprint) -> JoinToken {
        JoinToken::new(fingerprint, random::bytes())
    }

    /// The id: the name of the Token resource.
    #[must_use]
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// The secret.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The fingerprint of the cluster's CA.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The text to give to the new node. A secret.
    #[must_use]
    pub fn reveal(&self) -> String {
        let secret = self.secret.reveal();
        format!("{VERSION}.{}.{secret}.{}", self.id, self.fingerprint)
    }

    /// The resource to be kept in the store: for `uses` nodes, until `expires` (seconds since
    /// 1970).
    #[must_use]
    pub fn resource(&self, expires: u64, uses: u32) -> Resource<Token> {
        Resource::new(
            self.id.clone(),
            Token {
                secret_hash: self.secret.hash(),
                expires,
                uses,
                used_by: Vec::new(),
                revoked: false,
            },
        )
    }
}

impl FromStr for JoinToken {
    type Err = TokenTextError;

    /// Reads a token's text; white space around it is ignored.
    fn from_str(text: &str) -> Result<JoinToken, TokenTextError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenTextError::Empty);
        }
        let parts: Vec<&str> = text.split('.').collect();
        if parts[0] != VERSION {
            let found = parts[0].chars().take(8).collect();
            return Err(TokenTextError::Version { found });
        }
        let [_, id, secret, fingerprint] = parts[..] else {
            return Err(match parts.len() {
                parts @ ..4 => TokenTextError::Truncated { parts },
                _ => TokenTextError::TooLong,
            });
        };
        let id: [u8; ID_BYTES] = digits("id", id)?;
        Ok(JoinToken {
            id: id_name(&id),
            secret: Secret::from_hex(secret)?,
            fingerprint: Fingerprint(digits("CA fingerprint", fingerprint)?),
        })
    }
}

/// The key of the resource of a token's id.
#[must_use]
pub fn resource_key(id: &Name) -> ResourceKey {
    ResourceKey {
        kind: KindName::Token,
        namespace: None,
        name: id.clone(),
    }
}

fn id_name(id: &[u8]) -> Name {
    Name::new(hex::encode(id)).expect("hexadecimal digits are letters and digits")
}

fn digits<const N: usize>(part: &'static str, text: &str) -> Result<[u8; N], TokenTextError> {
    let found = text.chars().count();
    if found != N * 2 {
        let wanted = N * 2;
        return Err(TokenTextError::Length {
            part,
            wanted,
            found,
        });
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| TokenTextError::Hex { part })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
