//! Text to resources: YAML (one or several documents), JSON, and lists of resources.
//!
//! This is the edge where a file becomes typed. Every fault is collected, not only the first, and
//! every fault names the file, line, column, field and value, and what is allowed instead. JSON is
//! read by the same reader, since it is YAML.
//!
//! ```text
//!  text ──document──► value + where each field stands ──AnyResource──► typed ──validate──► Parsed
//!                                  └────────── line and column of each fault ◄──────────┘
//! ```
//!
//! `no`, `on` and `yes` are strings (YAML 1.2, section 10.3), a key that is given twice is a fault,
//! and aliases may not multiply beyond a bound. Nothing is read from disk here, and whether a file
//! without resources is an error is the caller's decision.

mod bgp;
mod dialect;
mod document;
mod explain;
mod json;
mod kubernetes;
mod labels;
mod marks;
mod scalar;
#[cfg(test)]
mod tests;
mod typed;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::resource::{API_VERSION, AnyResource, FieldError, KindName};
use crate::selector::Selector;
use crate::world::World;
use dialect::Dialect;
use document::Document;
use marks::{Mark, Marks};

/// Characters of an error's message, and of a field in it.
const LONGEST_WORDS: usize = 800;

/// Which kinds a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// Those that a person writes.
    UserKinds,
    /// Those that Tombolo writes itself, too.
    Internal,
}

/// A resource and where it was written.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The resource, valid in itself.
    pub resource: AnyResource,
    /// Where it was written.
    pub source: Source,
}

/// Where a resource was written, field by field.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file, as it was named to [`parse`].
    pub file: Arc<str>,
    /// The line that the resource begins at, from 1.
    pub line: usize,
    prefix: String,
    marks: Arc<Marks>,
}

impl Source {
    /// A fault of one of the resource's fields, with its place in the file. A field that is not
    /// there stands at its nearest parent that is.
    #[must_use]
    pub fn fault(&self, fault: &FieldError) -> ParseError {
        let field = join(&self.prefix, &fault.field);
        let place = self.marks.find(&field);
        // Of a field that should not be there, the name is what is wrong, not the value.
        let (line, column) = match fault.message.starts_with(explain::UNKNOWN_FIELD) {
            true => self.marks.find_key(&field),
            false => (
                place.line,
                place.column + selector_offset(&place, &fault.message),
            ),
        };
        ParseError {
            file: self.file.to_string(),
            line,
            column,
            field,
            value: place.text,
            message: fault.message.clone(),
        }
    }
}

/// Columns from the beginning of a value to where it goes wrong, if that is that it is no selector.
fn selector_offset(place: &Mark, message: &str) -> usize {
    let error = |text: &String| text.parse::<Selector>().err();
    let error = place.text.as_ref().and_then(error);
    match (place.inside, error) {
        (Some(inside), Some(error)) if message.contains(&error.to_string()) => {
            inside + error.position - 1
        }
        _ => 0,
    }
}

/// A fault in a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{}", field_prefix(.field), short(.message))]
pub struct ParseError {
    /// The file, as it was named to [`parse`].
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The path of the field, as `spec.blockSize`; empty for faults of the text as a whole.
    pub field: String,
    /// The value as written, where the field has one that is no map or list.
    pub value: Option<String>,
    /// What is wrong, and what is allowed.
    pub message: String,
}

fn field_prefix(field: &str) -> String {
    if field.is_empty() {
        String::new()
    } else {
        format!("{}: ", short(field))
    }
}

/// A text as it may stand in an error: values and names that are repeated may be of any length.
fn short(text: &str) -> String {
    let mut words: String = text.chars().take(LONGEST_WORDS).collect();
    if words.len() < text.len() {
        words.push_str(" … (cut off)");
    }
    words
}

/// Every fault of a text, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseErrors(pub Vec<ParseError>);

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseErrors {}

impl ParseErrors {
    fn unless_empty<T>(mut faults: Vec<ParseError>, value: T) -> Result<T, ParseErrors> {
        if faults.is_empty() {
            return Ok(value);
        }
        faults.sort_by(|a, b| (a.line, a.column, &a.field).cmp(&(b.line, b.column, &b.field)));
        faults.dedup();
        Err(ParseErrors(faults))
    }
}

/// Reads the resources of a text that a person wrote. Empty documents are skipped.
///
/// # Errors
/// Every fault of the text, each with its place.
pub fn parse(file_name: &str, text: &str) -> Result<Vec<Parsed>, ParseErrors> {
    parse_with(file_name, text, Accept::UserKinds)
}

/// Reads the resources of a text, of the kinds that are accepted.
///
/// # Errors
/// Every fault of the text, each with its place.
pub fn parse_with(file_name: &str, text: &str, accept: Accept) -> Result<Vec<Parsed>, ParseErrors> {
    let file: Arc<str> = file_name.into();
    let (documents, mut faults) = document::read(&file, text);
    let mut parsed = Vec::new();
    for Document { value, marks, line } in documents {
        let source = Source {
            file: file.clone(),
            line,
            prefix: String::new(),
            marks: Arc::new(marks),
        };
        read_item(value, source, accept, &mut parsed, &mut faults);
    }
    ParseErrors::unless_empty(faults, parsed)
}

/// Reads a world from a text, of all kinds, as for `plan -f` and for tests.
///
/// # Errors
/// As [`parse`], and the faults that resources have in each other's light: pools that overlap,
/// networks that name a pool that is not there, two resources of the same name.
pub fn world(file_name: &str, text: &str) -> Result<World, ParseErrors> {
    world_of(&parse_with(file_name, text, Accept::Internal)?)
}

/// Makes a world of resources that may come from several files.
///
/// # Errors
/// The faults that resources have in each other's light.
pub fn world_of(parsed: &[Parsed]) -> Result<World, ParseErrors> {
    let mut world = World::default();
    let mut faults = Vec::new();
    let mut seen = BTreeMap::new();
    for Parsed { resource, source } in parsed {
        let key = resource.key();
        if let Some(first) = seen.insert(key.clone(), source) {
            let message = format!(
                "{key} is written twice, first at {}:{}",
                first.file, first.line
            );
            faults.push(source.fault(&FieldError::new("metadata.name", message)));
        }
        // A pool is judged by the pools before it, so that two that overlap are one fault.
        if resource.kind() == KindName::IpPool {
            faults.extend(world.conflicts(resource).iter().map(|f| source.fault(f)));
        }
        world.put(resource.clone());
    }
    for Parsed { resource, source } in parsed {
        if resource.kind() != KindName::IpPool {
            faults.extend(world.conflicts(resource).iter().map(|f| source.fault(f)));
        }
    }
    ParseErrors::unless_empty(faults, world)
}

/// Reads one resource, or the items of a list of them.
fn read_item(
    value: Value,
    source: Source,
    accept: Accept,
    parsed: &mut Vec<Parsed>,
    faults: &mut Vec<ParseError>,
) {
    let mut fault = |field: &str, message: String| {
        faults.push(source.fault(&FieldError::new(field, message)));
    };
    let Value::Object(mut whole) = value else {
        fault(
            "",
            "a resource is a map with apiVersion, kind, metadata and spec".into(),
        );
        return;
    };
    let kind = match whole.remove("kind") {
        Some(Value::String(kind)) => kind,
        Some(_) => return fault("kind", explain::kinds(None, accept)),
        None => return fault("kind", format!("missing; {}", explain::kinds(None, accept))),
    };
    let version = whole.remove("apiVersion");
    if is_list(&kind) {
        return read_list(whole, source, accept, parsed, faults);
    }
    let kind = match kind_of(&kind, accept) {
        Ok(kind) => kind,
        Err(message) => return fault("kind", message),
    };
    let dialect = match dialect::of(kind, version.as_ref()) {
        Ok(dialect) => dialect,
        Err(message) => {
            fault("apiVersion", message);
            if version.is_some_and(|version| !is_ours(&version)) {
                return;
            }
            Dialect::Own
        }
    };
    match typed::read(kind, dialect, whole, &source) {
        Ok(resource) => parsed.push(Parsed { resource, source }),
        Err(more) => faults.extend(more.iter().map(|f| source.fault(f))),
    }
}

/// The kind that a text names, or what is wrong with it.
fn kind_of(kind: &str, accept: Accept) -> Result<KindName, String> {
    if let Some(message) = dialect::refused(kind) {
        return Err(message);
    }
    match KindName::ALL.iter().copied().find(|k| k.as_str() == kind) {
        Some(found) if found.is_internal() && accept == Accept::UserKinds => Err(format!(
            "{found} is written by Tombolo itself; {}",
            explain::kinds(None, accept)
        )),
        Some(found) => Ok(found),
        None => Err(explain::kinds(Some(kind), accept)),
    }
}

/// Whether a version is one of ours, so that what is below it is in our words.
fn is_ours(version: &Value) -> bool {
    let group = SPOKEN.split('/').next().unwrap_or(SPOKEN);
    version
        .as_str()
        .is_some_and(|version| version.starts_with(group))
}

/// Whether it is a list of resources: `List`, or as others print it, `NetworkPolicyList`.
fn is_list(kind: &str) -> bool {
    let of = kind.strip_suffix("List");
    of.is_some_and(|of| of.is_empty() || KindName::ALL.iter().any(|k| k.as_str() == of))
}

fn read_list(
    mut whole: Map<String, Value>,
    source: Source,
    accept: Accept,
    parsed: &mut Vec<Parsed>,
    faults: &mut Vec<ParseError>,
) {
    let Some(Value::Array(items)) = whole.remove("items") else {
        let message = "a List has its resources below items, each beginning with a dash";
        faults.push(source.fault(&FieldError::new("items", message)));
        return;
    };
    for (index, item) in items.into_iter().enumerate() {
        let prefix = join(&source.prefix, &format!("items[{index}]"));
        let line = source.marks.find(&prefix).line;
        let source = Source {
            prefix,
            line,
            ..source.clone()
        };
        let kind = item.get("kind").and_then(Value::as_str);
        if kind.is_some_and(is_list) {
            let message = "a List cannot hold another List; put the resources into one";
            faults.push(source.fault(&FieldError::new("kind", message)));
        } else {
            read_item(item, source, accept, parsed, faults);
        }
    }
}

/// Puts the path of a field below another.
fn join(prefix: &str, field: &str) -> String {
    match (prefix.is_empty(), field.is_empty()) {
        (true, _) => field.to_owned(),
        (_, true) => prefix.to_owned(),
        _ if field.starts_with('[') => format!("{prefix}{field}"),
        _ => format!("{prefix}.{field}"),
    }
}

/// The version that resources are written in, for messages.
const SPOKEN: &str = API_VERSION;
