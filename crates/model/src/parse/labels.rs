//! Kubernetes' label selectors: read as they are written, and put into the selector language.
//!
//! The rules are those of Kubernetes' API (`metav1.LabelSelector`): an empty selector selects
//! everything, `NotIn` also what has no such label.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::join;
use crate::resource::FieldError;
use crate::selector::Expr;

/// A selector: everything that it says must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LabelSelector {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Requirement>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// What must hold, in the order in which it is written.
    pub fn parts(&self) -> Vec<Expr> {
        let equal = |(key, value): (&String, &String)| Expr::Equal(key.clone(), value.clone());
        let labels = self.match_labels.iter().flatten().map(equal);
        let tests = self.match_expressions.iter().flatten();
        labels.chain(tests.map(Requirement::expr)).collect()
    }

    /// What is wrong with it; `at` is where it stands.
    pub fn faults(&self, at: &str) -> Vec<FieldError> {
        let mut faults = Vec::new();
        for (key, value) in self.match_labels.iter().flatten() {
            let field = join(&join(at, "matchLabels"), key);
            faults.extend(key_fault(key).map(|words| FieldError::new(&field, words)));
            faults.extend(value_fault(value).map(|words| FieldError::new(&field, words)));
        }
        for (index, test) in self.match_expressions.iter().flatten().enumerate() {
            test.faults(
                &join(at, &format!("matchExpressions[{index}]")),
                &mut faults,
            );
        }
        faults
    }
}

impl Requirement {
    fn expr(&self) -> Expr {
        let key = self.key.clone();
        let values = || self.values.iter().flatten().cloned().collect();
        match self.operator {
            Operator::In => Expr::In(key, values()),
            Operator::NotIn => Expr::NotIn(key, values()),
            Operator::Exists => Expr::Has(key),
            Operator::DoesNotExist => Expr::Not(Box::new(Expr::Has(key))),
        }
    }

    fn faults(&self, at: &str, faults: &mut Vec<FieldError>) {
        if let Some(words) = key_fault(&self.key) {
            faults.push(FieldError::new(join(at, "key"), words));
        }
        let values = self.values.as_deref().unwrap_or_default();
        let wants_values = matches!(self.operator, Operator::In | Operator::NotIn);
        if wants_values && values.is_empty() {
            let message = format!("missing; {:?} needs at least one value", self.operator);
            faults.push(FieldError::new(join(at, "values"), message));
        }
        if !wants_values && !values.is_empty() {
            let message = format!("{:?} takes no values; remove them", self.operator);
            faults.push(FieldError::new(join(at, "values"), message));
        }
        for (index, value) in values.iter().enumerate() {
            let field = join(at, &format!("values[{index}]"));
            faults.extend(value_fault(value).map(|words| FieldError::new(field, words)));
        }
    }
}

/// What is wrong with a label's name: a domain and `/`, both of which may be missing, and 1 to 63
/// characters.
fn key_fault(key: &str) -> Option<String> {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    let is_domain = |domain: &str| {
        let inside = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c);
        (1..=253).contains(&domain.len()) && domain.bytes().all(inside)
    };
    let is_good = !name.is_empty() && is_word(name) && domain.is_none_or(is_domain);
    (!is_good).then(|| {
        format!(
            "{key:?} is no name of a label: it must have 1 to 63 letters, digits, '-', '_' or '.', \
             a letter or digit first and last, and may begin with a domain and '/'"
        )
    })
}

fn value_fault(value: &str) -> Option<String> {
    (!is_word(value)).then(|| {
        format!(
            "{value:?} is no value of a label: it must have at most 63 letters, digits, '-', '_' \
             or '.', a letter or digit first and last"
        )
    })
}

/// The shape that names and values share; a value may be empty.
fn is_word(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
}
