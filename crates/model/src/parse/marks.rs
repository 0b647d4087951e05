//! Where each field of a document stands.
//!
//! Fields are named by their paths, as `spec.pools[0]`, in the way of serde_path_to_error, so that
//! a fault found by typed reading is looked up as it is. A field that is not there is looked for at
//! its nearest parent that is, because a person who forgot a field wants to know where it belongs.
//! Lines and columns count characters from 1.

use std::collections::BTreeMap;

/// A place in a text, and the scalar that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub line: usize,
    pub column: usize,
    pub text: Option<String>,
    /// How many columns after its beginning the scalar's first character stands, where the text is
    /// written as it is, on one line: 1 behind a quote.
    pub inside: Option<usize>,
}

/// Where each field of a document stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    values: BTreeMap<String, Mark>,
    keys: BTreeMap<String, (usize, usize)>,
}

impl Marks {
    /// Notes the place of a value.
    pub fn put(&mut self, field: String, mark: Mark) {
        self.values.insert(field, mark);
    }

    /// Notes the line and column of a value's key.
    pub fn put_key(&mut self, field: String, at: (usize, usize)) {
        self.keys.insert(field, at);
    }

    /// The place of a field, else of its nearest parent. A map or list stands where its key does.
    pub fn find(&self, field: &str) -> Mark {
        let mut path = field;
        loop {
            if let Some(mark) = self.values.get(path) {
                let text = mark.text.clone().filter(|_| path == field);
                return match self.keys.get(path) {
                    Some(&(line, column)) if mark.text.is_none() => Mark {
                        line,
                        column,
                        text,
                        inside: None,
                    },
                    _ => Mark {
                        text,
                        ..mark.clone()
                    },
                };
            }
            if path.is_empty() {
                return Mark {
                    line: 1,
                    column: 1,
                    text: None,
                    inside: None,
                };
            }
            path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
        }
    }

    /// The place of a field's key, else of the field.
    pub fn find_key(&self, field: &str) -> (usize, usize) {
        self.keys.get(field).copied().unwrap_or_else(|| {
            let mark = self.find(field);
            (mark.line, mark.column)
        })
    }
}
