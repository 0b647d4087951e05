//! YAML text to values, and where in the text each field stands.
//!
//! Built on the parser's stream of events: each value is made from the events and its place noted
//! on the way, under its path. Refuses keys given twice, nesting beyond [`MAX_DEPTH`] and aliases that would multiply
//! beyond [`MAX_ALIASED`]. Knows nothing of resources.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};

use super::json;
use super::marks::{Mark, Marks};
use super::scalar::plain;
use super::{ParseError, join};

/// Maps and lists inside of each other; no resource comes near it.
const MAX_DEPTH: usize = 64;
/// Values that aliases may add to a text.
const MAX_ALIASED: usize = 10_000;
/// Bytes that aliases may add to a text.
const MAX_ALIASED_BYTES: usize = 1 << 20;
/// Bytes of paths for each byte of the text, above [`SMALL`]: names that are long and have many
/// values below them would multiply.
const MAX_PATHS: usize = 64;
/// Bytes of paths that any text may have.
const SMALL: usize = 1 << 20;

/// One document of a text.
pub(super) struct Document {
    /// What it says.
    pub value: Value,
    /// Where each field stands.
    pub marks: Marks,
    /// The line that it begins at.
    pub line: usize,
}

/// A map or list that is not yet at its end.
struct Open {
    path: String,
    anchor: usize,
    start: (usize, usize),
    inside: Inside,
}

enum Inside {
    Map {
        map: Map<String, Value>,
        key: Option<String>,
        twice: bool,
    },
    List(Vec<Value>),
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    marks: Marks,
    anchors: HashMap<usize, Value>,
    aliased: usize,
    aliased_bytes: usize,
    /// Bytes of the paths so far, and the most that there may be.
    paths: usize,
    most_paths: usize,
    documents: Vec<Document>,
    faults: Vec<Fault>,
}

struct Fault {
    at: (usize, usize),
    field: String,
    value: Option<String>,
    message: String,
}

/// Reads every document up to the first fault of syntax, and the faults.
pub(super) fn read(file: &str, text: &str) -> (Vec<Document>, Vec<ParseError>) {
    let mut reader = Reader {
        most_paths: SMALL + text.len().saturating_mul(MAX_PATHS),
        ..Reader::default()
    };
    if let Some((at, message)) = json::fault(file, text) {
        reader.faults.push(Fault {
            at,
            field: String::new(),
            value: None,
            message,
        });
    } else {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = &json::without_surrogates(text);
        for event in Parser::new_from_str(text) {
            let done = match event {
                Ok((event, span)) => reader.take(event, span),
                Err(error) => {
                    let at = (error.marker().line(), error.marker().col() + 1);
                    let message = syntax(text, at.0, error.info());
                    Err(Fault {
                        at,
                        field: String::new(),
                        value: None,
                        message,
                    })
                }
            };
            if let Err(fault) = done {
                reader.faults.push(fault);
                break;
            }
        }
    }
    let faults = reader.faults.into_iter().map(|fault| ParseError {
        file: file.to_owned(),
        line: fault.at.0,
        column: fault.at.1,
        field: fault.field,
        value: fault.value,
        message: fault.message,
    });
    (reader.documents, faults.collect())
}

/// What is wrong with the syntax, with a hint where a tab is used to indent.
fn syntax(text: &str, line: usize, info: &str) -> String {
    let is_flow = text.trim_start().starts_with(['{', '[']);
    let near = text.lines().skip(line.saturating_sub(2)).take(3);
    let tab = near
        .into_iter()
        .any(|l| l[..l.len() - l.trim_start().len()].contains('\t'));
    let hint = if tab && !is_flow {
        "; indent by spaces, not by tabs"
    } else {
        ""
    };
    format!("this is not YAML: {info}{hint}")
}

/// A scalar's text, and where it begins after the scalar's own beginning ([`Mark::inside`]).
type Text = (String, Option<usize>);

/// Where a text begins in its scalar, if each of its characters takes one column there.
fn inside(text: &str, style: ScalarStyle, span: Span) -> Option<usize> {
    let quotes = match style {
        ScalarStyle::Plain => 0,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
        ScalarStyle::Literal | ScalarStyle::Folded => return None,
    };
    let columns = span.end.col().checked_sub(span.start.col())?;
    let is_plain = span.start.line() == span.end.line();
    (is_plain && columns == text.chars().count() + 2 * quotes).then_some(quotes)
}

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = (span.start.line().max(1), span.start.col() + 1);
        match event {
            Event::DocumentStart(_) => {
                self.marks = Marks::default();
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag, at)?;
                self.anchor(anchor, &value);
                let inside = inside(&text, style, span);
                self.put(value, at, Some((text.into_owned(), inside)))
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned().unwrap_or_default();
                let (values, bytes) = size(&value);
                self.aliased += values;
                self.aliased_bytes += bytes;
                if self.aliased > MAX_ALIASED || self.aliased_bytes > MAX_ALIASED_BYTES {
                    let message = format!(
                        "aliases add more than {MAX_ALIASED} values or {MAX_ALIASED_BYTES} bytes; write them out"
                    );
                    return Err(self.fault(at, None, message));
                }
                self.put(value, at, None)
            }
            Event::MappingStart(anchor, _) => {
                let inside = Inside::Map {
                    map: Map::new(),
                    key: None,
                    twice: false,
                };
                self.begin(inside, anchor, at)
            }
            Event::SequenceStart(anchor, _) => self.begin(Inside::List(Vec::new()), anchor, at),
            Event::MappingEnd | Event::SequenceEnd => self.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn fault(&self, at: (usize, usize), value: Option<String>, message: String) -> Fault {
        Fault {
            at,
            field: self.path(),
            value,
            message,
        }
    }

    /// The path of the value that comes next.
    fn path(&self) -> String {
        match self.open.last() {
            None => String::new(),
            Some(Open {
                path,
                inside: Inside::Map { key, .. },
                ..
            }) => join(path, key.as_deref().unwrap_or_default()),
            Some(Open {
                path,
                inside: Inside::List(items),
                ..
            }) => {
                format!("{path}[{}]", items.len())
            }
        }
    }

    fn begin(&mut self, inside: Inside, anchor: usize, at: (usize, usize)) -> Result<(), Fault> {
        if let Some(Open {
            inside: Inside::Map { key: None, .. },
            ..
        }) = self.open.last()
        {
            let message = "a key must be a word or a text in quotes, not a map or list";
            return Err(self.fault(at, None, message.into()));
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} deep");
            return Err(self.fault(at, None, message));
        }
        self.open.push(Open {
            path: self.path(),
            anchor,
            start: at,
            inside,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(Open {
            anchor,
            start,
            inside,
            ..
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let value = match inside {
            Inside::Map { map, .. } => Value::Object(map),
            Inside::List(items) => Value::Array(items),
        };
        self.anchor(anchor, &value);
        self.put(value, start, None)
    }

    /// Puts a value that is complete into what it stands in.
    fn put(&mut self, value: Value, at: (usize, usize), text: Option<Text>) -> Result<(), Fault> {
        let is_key = matches!(
            self.open.last(),
            Some(Open {
                inside: Inside::Map { key: None, .. },
                ..
            })
        );
        if is_key {
            return self.put_key(at, text.map(|(text, _)| text));
        }
        let (text, inside) = text.map_or((None, None), |(text, inside)| (Some(text), inside));
        let mark = Mark {
            line: at.0,
            column: at.1,
            text,
            inside,
        };
        let path = self.path();
        self.paths += path.len();
        if self.paths > self.most_paths {
            let message = "too many values stand below names that are too long; shorten the names";
            // The path itself may be as long as the text.
            let field = path.chars().take(60).collect();
            let (value, message) = (None, message.to_owned());
            return Err(Fault {
                at,
                field,
                value,
                message,
            });
        }
        match self.open.last_mut().map(|open| &mut open.inside) {
            None if value.is_null() => {}
            None => {
                self.marks.put(path, mark);
                let marks = std::mem::take(&mut self.marks);
                self.documents.push(Document {
                    value,
                    marks,
                    line: at.0,
                });
            }
            Some(Inside::List(items)) => {
                items.push(value);
                self.marks.put(path, mark);
            }
            Some(Inside::Map { map, key, twice }) => {
                let name = key.take().unwrap_or_default();
                if !std::mem::take(twice) {
                    map.insert(name, value);
                    self.marks.put(path, mark);
                }
            }
        }
        Ok(())
    }

    fn put_key(&mut self, at: (usize, usize), text: Option<String>) -> Result<(), Fault> {
        let Some(text) = text else {
            return Err(self.fault(at, None, "a key must be a word, not an alias".into()));
        };
        let Some(Open {
            path,
            inside: Inside::Map { map, key, twice },
            ..
        }) = self.open.last_mut()
        else {
            return Ok(());
        };
        let field = join(path, &text);
        if map.contains_key(&text) {
            *twice = true;
            let first = self.marks.find_key(&field).0;
            let message = format!("given twice, first on line {first}; keep one");
            self.faults.push(Fault {
                at,
                field,
                value: None,
                message,
            });
        } else {
            self.marks.put_key(field, at);
        }
        *key = Some(text);
        Ok(())
    }

    fn anchor(&mut self, anchor: usize, value: &Value) {
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<Cow<'_, Tag>>,
        at: (usize, usize),
    ) -> Result<Value, Fault> {
        match tag {
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(text.into()),
            Some(tag) if !tag.is_yaml_core_schema() => {
                let message = format!("the tag {tag} has no meaning here; remove it");
                Err(self.fault(at, Some(text.to_owned()), message))
            }
            _ if style == ScalarStyle::Plain => Ok(plain(text)),
            _ => Ok(text.into()),
        }
    }
}

/// How many values a value is made of, and how many bytes their texts and names have.
fn size(value: &Value) -> (usize, usize) {
    let sum = |(values, bytes): (usize, usize), (v, b): (usize, usize)| (values + v, bytes + b);
    match value {
        Value::Array(items) => items.iter().map(size).fold((1, 0), sum),
        Value::Object(map) => {
            let names = map.keys().map(String::len).sum();
            map.values().map(size).fold((1, names), sum)
        }
        Value::String(text) => (1, text.len()),
        _ => (1, 0),
    }
}
