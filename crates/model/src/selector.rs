//! Selectors: which nodes or endpoints, by their labels. The language is Calico's.
//!
//! ```text
//!  all()  global()                       everything; an empty text is all()
//!  has(k)  !has(k)                       the label is there, or not
//!  k == 'v'   k != 'v'                   != also matches where the label is missing
//!  k in {'a', "b"}   k not in {'a'}      not in also matches where the label is missing
//!  k contains 'v'   k starts with 'v'   k ends with 'v'
//!  !x   x && y   x || y   (x)            ! binds closest, then &&, then ||
//! ```
//!
//! A selector is parsed once, at the edge, and prints in one canonical way, so that two texts
//! that say the same in another layout are equal. `global()` tells resources without a namespace
//! from others where namespaces are selected; over labels it matches everything.

mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A selector over labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector(Expr);

/// What a selector says. Made by parsing only, so labels and values are well formed and `And` and
/// `Or` have at least two parts, none of them of the same sort.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Expr {
    /// `all()`
    #[default]
    All,
    /// `global()`
    Global,
    /// `has(label)`
    Has(String),
    /// `label == 'value'`
    Equal(String, String),
    /// `label != 'value'`
    NotEqual(String, String),
    /// `label in {'a', 'b'}`
    In(String, BTreeSet<String>),
    /// `label not in {'a', 'b'}`
    NotIn(String, BTreeSet<String>),
    /// `label contains 'part'`
    Contains(String, String),
    /// `label starts with 'part'`
    StartsWith(String, String),
    /// `label ends with 'part'`
    EndsWith(String, String),
    /// `!x`
    Not(Box<Expr>),
    /// `x && y`
    And(Vec<Expr>),
    /// `x || y`
    Or(Vec<Expr>),
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a selector: {message}, at character {position}", marked(.text, *.position))]
pub struct SelectorError {
    /// The whole text.
    pub text: String,
    /// The character at which it goes wrong, from 1.
    pub position: usize,
    /// What was found, and what was expected.
    pub message: String,
}

/// The text in quotes, with `-->` before the character where it goes wrong.
fn marked(text: &str, position: usize) -> String {
    let before: String = text.chars().take(position - 1).collect();
    format!("\"{before}-->{}\"", &text[before.len()..])
}

impl Selector {
    /// Whether labels match.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.matches(labels)
    }

    /// The selector of what all parts match; everything if there is none. Parts hold no `And`, and
    /// only labels and values that can be written.
    pub(crate) fn all_of(mut parts: Vec<Expr>) -> Selector {
        match parts.len() {
            0 => Selector(Expr::All),
            1 => Selector(parts.remove(0)),
            _ => Selector(Expr::And(parts)),
        }
    }

    /// What it says.
    #[must_use]
    pub fn expr(&self) -> &Expr {
        &self.0
    }

    /// Whether it is `global()`, which among namespaces is what is of none.
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.0 == Expr::Global
    }

    /// Whether it has `global()` in it, and not only that.
    #[must_use]
    pub fn mixes_global(&self) -> bool {
        !self.is_global() && self.0.has_global()
    }

    /// Whether it matches whatever the labels are, as `all()` does.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0 == Expr::All
    }
}

impl Expr {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = |label: &String| labels.get(label);
        match self {
            Expr::All | Expr::Global => true,
            Expr::Has(label) => labels.contains_key(label),
            Expr::Equal(label, wanted) => value(label) == Some(wanted),
            Expr::NotEqual(label, wanted) => value(label) != Some(wanted),
            Expr::In(label, wanted) => value(label).is_some_and(|v| wanted.contains(v)),
            Expr::NotIn(label, wanted) => !value(label).is_some_and(|v| wanted.contains(v)),
            Expr::Contains(label, part) => value(label).is_some_and(|v| v.contains(part)),
            Expr::StartsWith(label, part) => value(label).is_some_and(|v| v.starts_with(part)),
            Expr::EndsWith(label, part) => value(label).is_some_and(|v| v.ends_with(part)),
            Expr::Not(inner) => !inner.matches(labels),
            Expr::And(parts) => parts.iter().all(|part| part.matches(labels)),
            Expr::Or(parts) => parts.iter().any(|part| part.matches(labels)),
        }
    }

    fn has_global(&self) -> bool {
        match self {
            Expr::Global => true,
            Expr::Not(inner) => inner.has_global(),
            Expr::And(parts) | Expr::Or(parts) => parts.iter().any(Expr::has_global),
            _ => false,
        }
    }

    /// Prints it as a part of another: in parentheses if it binds less than its surroundings.
    fn print_within(&self, f: &mut fmt::Formatter<'_>, binding: u8) -> fmt::Result {
        let own = match self {
            Expr::Or(_) => 0,
            Expr::And(_) => 1,
            _ => 2,
        };
        if own < binding {
            write!(f, "({self})")
        } else {
            write!(f, "{self}")
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::All => f.write_str("all()"),
            Expr::Global => f.write_str("global()"),
            Expr::Has(label) => write!(f, "has({label})"),
            Expr::Equal(label, value) => write!(f, "{label} == {}", Quoted(value)),
            Expr::NotEqual(label, value) => write!(f, "{label} != {}", Quoted(value)),
            Expr::In(label, values) => write!(f, "{label} in {}", Set(values)),
            Expr::NotIn(label, values) => write!(f, "{label} not in {}", Set(values)),
            Expr::Contains(label, value) => write!(f, "{label} contains {}", Quoted(value)),
            Expr::StartsWith(label, value) => write!(f, "{label} starts with {}", Quoted(value)),
            Expr::EndsWith(label, value) => write!(f, "{label} ends with {}", Quoted(value)),
            Expr::Not(inner) => {
                f.write_str("!")?;
                inner.print_within(f, 2)
            }
            Expr::And(parts) => print_joined(f, parts, " && ", 2),
            Expr::Or(parts) => print_joined(f, parts, " || ", 1),
        }
    }
}

fn print_joined(
    f: &mut fmt::Formatter<'_>,
    parts: &[Expr],
    between: &str,
    binding: u8,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        part.print_within(f, binding)?;
    }
    Ok(())
}

/// A value in quotes. The language has no escapes, so a value holds at most one sort of quote.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains('\'') { '"' } else { '\'' };
        write!(f, "{quote}{}{quote}", self.0)
    }
}

struct Set<'a>(&'a BTreeSet<String>);

impl fmt::Display for Set<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, value) in self.0.iter().enumerate() {
            let between = if index > 0 { ", " } else { "" };
            write!(f, "{between}{}", Quoted(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for Selector {
    type Err = SelectorError;
    fn from_str(text: &str) -> Result<Selector, SelectorError> {
        read::selector(text).map(Selector)
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;
    fn try_from(text: String) -> Result<Selector, SelectorError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> String {
        selector.to_string()
    }
}
