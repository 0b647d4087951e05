//! Names that can be parts of keys, files and kernel objects.
//!
//! One rule for all resources: a name starts with a letter or digit, goes on with letters, digits,
//! `_`, `.` and `-`, and has at most 253 bytes. It is the rule of CNI for networks and containers
//! (SPEC 1.1.0, section 1), a superset of Kubernetes' DNS-1123 names, and leaves no way to say
//! `..` or `/` in a path.
//!
//! A name is in many places at once, so its copies share one text.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is no name of the wanted sort.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not allowed: {rule}")]
pub struct NameError {
    /// What the name was to be, as `name` or `interface name`.
    pub what: &'static str,
    /// The text that was given.
    pub value: String,
    /// What is allowed.
    pub rule: &'static str,
}

/// Implements the parsing, printing and serde of a checked string type.
macro_rules! text_type {
    ($type:ident, $what:literal, $rule:literal, $check:expr) => {
        impl $type {
            /// Checks the text and makes it a value of this type.
            ///
            /// # Errors
            /// Says the rule that the text breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let value = text.into();
                let check: fn(&str) -> bool = $check;
                if check(&value) {
                    Ok(Self(value.into()))
                } else {
                    Err(NameError {
                        what: $what,
                        value,
                        rule: $rule,
                    })
                }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0.to_string()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// The name of a resource, a namespace or a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

text_type!(
    Name,
    "name",
    "it must start with a letter or digit and go on with letters, digits, '_', '.' or '-', at most 253 bytes",
    is_name
);

/// The id that a container runtime gives to a container (CNI's `CNI_CONTAINERID`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(Arc<str>);

text_type!(
    ContainerId,
    "container ID",
    "it must start with a letter or digit and go on with letters, digits, '_', '.' or '-', at most 253 bytes",
    is_name
);

/// The name of a network interface, as the kernel takes it (`dev_valid_name` in
/// `net/core/dev.c`), narrowed to printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(Arc<str>);

text_type!(
    IfName,
    "interface name",
    "it must have 1 to 15 printable ASCII characters other than '/', ':' and white space, and not be '.' or '..'",
    is_interface_name
);

/// Names that are in many resources, each with one text.
#[derive(Debug, Default)]
pub(crate) struct SharedNames {
    names: HashSet<Name>,
    interfaces: HashSet<IfName>,
}

impl SharedNames {
    /// Gives a name the text of an equal one that was here before.
    pub(crate) fn share(&mut self, name: &mut Name) {
        match self.names.get(name) {
            Some(known) => *name = known.clone(),
            None => {
                self.names.insert(name.clone());
            }
        }
    }

    /// The same for an interface's name.
    pub(crate) fn share_interface(&mut self, name: &mut IfName) {
        match self.interfaces.get(name) {
            Some(known) => *name = known.clone(),
            None => {
                self.interfaces.insert(name.clone());
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 253
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn is_interface_name(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text != "."
        && text != ".."
        && text
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '/' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_allowed() {
        for text in ["a", "node-1", "A_b.c-d", "0", &"x".repeat(253)] {
            assert!(Name::new(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn names_that_are_refused() {
        for text in ["", "-a", ".a", "..", "a/b", "a b", "ä", &"x".repeat(254)] {
            let error = Name::new(text).unwrap_err();
            assert!(error.to_string().contains("must start with"), "{error}");
        }
    }

    #[test]
    fn interface_names_follow_the_kernel() {
        for text in ["eth0", "a.b", "tbv0123456789ab", "e@1"] {
            assert!(IfName::new(text).is_ok(), "{text}");
        }
        for text in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "sixteen-letters-",
            "a\n",
        ] {
            assert!(IfName::new(text).is_err(), "{text}");
        }
    }
}
