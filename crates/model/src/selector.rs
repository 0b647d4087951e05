//! Selectors (skeleton; the language follows).

use serde::{Deserialize, Serialize};

/// A selector over labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector(String);

impl Default for Selector {
    fn default() -> Self {
        Selector("all()".into())
    }
}
impl TryFrom<String> for Selector {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Ok(Selector(text))
    }
}
impl From<Selector> for String {
    fn from(s: Selector) -> String {
        s.0
    }
}
impl Selector {
    /// Whether labels match.
    #[must_use]
    pub fn matches(&self, _labels: &std::collections::BTreeMap<String, String>) -> bool {
        true
    }
}
