//! Names of what is in our tables.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the two tables that are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Of family `inet`: packets of both families, where they are routed.
    Inet,
    /// Of family `bridge`: frames, on their way from port to port of a bridge.
    Bridge,
}

/// A set or chain of one of our tables. As text it is `name`, or `bridge name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct NftName {
    /// The table.
    pub table: Table,
    /// Its name in the table.
    pub name: String,
}

impl NftName {
    /// One of the table of family `inet`.
    #[must_use]
    pub fn inet(name: impl Into<String>) -> NftName {
        NftName {
            table: Table::Inet,
            name: name.into(),
        }
    }

    /// One of the table of family `bridge`.
    #[must_use]
    pub fn bridge(name: impl Into<String>) -> NftName {
        NftName {
            table: Table::Bridge,
            name: name.into(),
        }
    }

    /// Another one of the same table.
    #[must_use]
    pub fn beside(&self, name: impl Into<String>) -> NftName {
        NftName {
            table: self.table,
            name: name.into(),
        }
    }
}

impl fmt::Display for NftName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.table {
            Table::Inet => write!(f, "{}", self.name),
            Table::Bridge => write!(f, "bridge {}", self.name),
        }
    }
}

/// Its text; what has no word before the name is of the table of family `inet`.
impl From<&str> for NftName {
    fn from(text: &str) -> NftName {
        match text.strip_prefix("bridge ") {
            Some(name) => NftName::bridge(name),
            None => NftName::inet(text),
        }
    }
}

impl From<String> for NftName {
    fn from(text: String) -> NftName {
        NftName::from(text.as_str())
    }
}

impl From<NftName> for String {
    fn from(name: NftName) -> String {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_text() {
        for (name, text) in [
            (NftName::inet("forward"), "forward"),
            (NftName::bridge("forward"), "bridge forward"),
        ] {
            assert_eq!(name.to_string(), text);
            assert_eq!(NftName::from(text), name);
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<NftName>(&json).unwrap(), name);
        }
    }
}
