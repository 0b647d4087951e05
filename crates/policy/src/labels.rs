//! Which labels somebody would need so that a selector finds him.

use std::collections::BTreeMap;
use std::fmt;

use tombolo_model::selector::Expr;

use crate::directory::Labels;

/// A change of one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) label: String,
    pub(crate) to: Wanted,
}

/// What a label should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    Value(String),
    Anything,
    Nothing,
}

impl Edit {
    fn new(label: &str, to: Wanted) -> Vec<Edit> {
        let label = label.to_owned();
        vec![Edit { label, to }]
    }

    /// Makes the change.
    pub(crate) fn apply(&self, labels: &mut BTreeMap<String, String>) {
        match &self.to {
            Wanted::Value(value) => labels.insert(self.label.clone(), value.clone()),
            Wanted::Anything => labels.insert(self.label.clone(), String::new()),
            Wanted::Nothing => labels.remove(&self.label),
        };
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = &self.label;
        match &self.to {
            Wanted::Value(value) => write!(f, "label {label}={value}"),
            Wanted::Anything => write!(f, "a label {label}"),
            Wanted::Nothing => write!(f, "no label {label}"),
        }
    }
}

/// The fewest changes of labels after which a selector matches; none if it does not depend on labels
/// alone, or is too deep in negations to say it in words.
pub(crate) fn edits(expr: &Expr, labels: &Labels) -> Option<Vec<Edit>> {
    let value = |label: &String| labels.get(label);
    let edits = match expr {
        Expr::All | Expr::Global => Vec::new(),
        Expr::Has(label) if value(label).is_some() => Vec::new(),
        Expr::Has(label) => Edit::new(label, Wanted::Anything),
        Expr::Equal(label, wanted) if value(label) == Some(wanted) => Vec::new(),
        Expr::Equal(label, wanted) => Edit::new(label, Wanted::Value(wanted.clone())),
        Expr::NotEqual(label, unwanted) if value(label) != Some(unwanted) => Vec::new(),
        Expr::NotEqual(label, _) => Edit::new(label, Wanted::Nothing),
        Expr::In(label, wanted) if value(label).is_some_and(|v| wanted.contains(v)) => Vec::new(),
        Expr::In(label, wanted) => Edit::new(label, Wanted::Value(wanted.first()?.clone())),
        Expr::NotIn(label, unwanted) if !value(label).is_some_and(|v| unwanted.contains(v)) => {
            Vec::new()
        }
        Expr::NotIn(label, _) => Edit::new(label, Wanted::Nothing),
        Expr::Contains(label, part)
        | Expr::StartsWith(label, part)
        | Expr::EndsWith(label, part) => {
            let matches = value(label).is_some_and(|v| match expr {
                Expr::Contains(..) => v.contains(part),
                Expr::StartsWith(..) => v.starts_with(part),
                _ => v.ends_with(part),
            });
            match matches {
                true => Vec::new(),
                false => Edit::new(label, Wanted::Value(part.clone())),
            }
        }
        Expr::Not(inner) => edits_against(inner, labels)?,
        Expr::And(parts) => {
            let parts: Option<Vec<_>> = parts.iter().map(|part| edits(part, labels)).collect();
            parts?.concat()
        }
        Expr::Or(parts) => {
            let parts = parts.iter().filter_map(|part| edits(part, labels));
            parts.min_by_key(Vec::len)?
        }
    };
    Some(edits)
}

/// The changes after which something simple does not match.
fn edits_against(expr: &Expr, labels: &Labels) -> Option<Vec<Edit>> {
    match expr {
        Expr::Has(label)
        | Expr::Equal(label, _)
        | Expr::In(label, _)
        | Expr::Contains(label, _)
        | Expr::StartsWith(label, _)
        | Expr::EndsWith(label, _) => Some(match labels.contains_key(label) {
            true => Edit::new(label, Wanted::Nothing),
            false => Vec::new(),
        }),
        Expr::NotEqual(label, wanted) => edits(&Expr::Equal(label.clone(), wanted.clone()), labels),
        Expr::NotIn(label, wanted) => edits(&Expr::In(label.clone(), wanted.clone()), labels),
        Expr::Not(inner) => edits(inner, labels),
        Expr::All | Expr::Global | Expr::And(_) | Expr::Or(_) => None,
    }
}
