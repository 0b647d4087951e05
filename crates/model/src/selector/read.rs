//! The text of a selector to its expression: recursive descent, one function per level of binding.
//!
//! Words such as `in` or `has` are labels where a label is expected and operators where an
//! operator is, so that every label key can be named. Nesting is bounded by [`MAX_DEPTH`], because
//! a selector comes from outside.

use std::collections::BTreeSet;

use super::{Expr, SelectorError};

/// Parentheses and negations inside of each other.
const MAX_DEPTH: usize = 64;

/// Reads a whole text; an empty one is `all()`.
pub(super) fn selector(text: &str) -> Result<Expr, SelectorError> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    if reader.peek().is_none() {
        return Ok(Expr::All);
    }
    let expr = reader.any_of()?;
    match reader.peek() {
        None => Ok(expr),
        Some(_) => Err(reader.expected("&&, || or the end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character that is not white space, without taking it.
    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    /// Takes a symbol if it comes next.
    fn take(&mut self, symbol: &str) -> bool {
        self.peek();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// Takes a label key or word: letters, digits, `_`, `.`, `/` and `-`.
    fn word(&mut self) -> &'a str {
        self.peek();
        let rest = self.rest();
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
        let length = rest.find(|c: char| !inside(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn error(&self, at: usize, message: String) -> SelectorError {
        let position = self.text[..at].chars().count() + 1;
        SelectorError {
            text: self.text.to_owned(),
            position,
            message,
        }
    }

    fn expected(&mut self, what: &str) -> SelectorError {
        let found = self
            .peek()
            .map_or("the text ends".into(), |c| format!("there is {c:?}"));
        self.error(self.at, format!("{found}, where {what} is expected"))
    }

    fn require(&mut self, symbol: &str) -> Result<(), SelectorError> {
        if self.take(symbol) {
            Ok(())
        } else {
            Err(self.expected(&format!("{symbol:?}")))
        }
    }

    fn any_of(&mut self) -> Result<Expr, SelectorError> {
        let mut parts = Vec::new();
        loop {
            match self.all_of()? {
                Expr::Or(inner) => parts.extend(inner),
                other => parts.push(other),
            }
            if !self.take("||") {
                return Ok(one_or(parts, Expr::Or));
            }
        }
    }

    fn all_of(&mut self) -> Result<Expr, SelectorError> {
        let mut parts = Vec::new();
        loop {
            match self.one()? {
                Expr::And(inner) => parts.extend(inner),
                other => parts.push(other),
            }
            if !self.take("&&") {
                return Ok(one_or(parts, Expr::And));
            }
        }
    }

    /// A test, a negation, or something in parentheses.
    fn one(&mut self) -> Result<Expr, SelectorError> {
        let Some(next) = self.peek() else {
            return Err(self.expected("a label or a test such as has(label)"));
        };
        if next != '!' && next != '(' {
            return self.test();
        }
        if self.depth >= MAX_DEPTH {
            return Err(self.error(self.at, format!("nested more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        self.at += 1;
        let inner = if next == '!' {
            Expr::Not(Box::new(self.one()?))
        } else {
            let inner = self.any_of()?;
            self.require(")")?;
            inner
        };
        self.depth -= 1;
        Ok(inner)
    }

    fn test(&mut self) -> Result<Expr, SelectorError> {
        let word = self.word();
        let start = self.at - word.len();
        if word.is_empty() {
            return Err(self.expected("a label or a test such as has(label)"));
        }
        if self.take("(") {
            let expr = match word {
                "all" => Expr::All,
                "global" => Expr::Global,
                "has" => Expr::Has(self.label()?),
                _ => {
                    let message =
                        format!("there is no test {word}(); use has(), all() or global()");
                    return Err(self.error(start, message));
                }
            };
            self.require(")")?;
            return Ok(expr);
        }
        let label = word.to_owned();
        if self.take("==") {
            return Ok(Expr::Equal(label, self.value()?));
        }
        if self.take("!=") {
            return Ok(Expr::NotEqual(label, self.value()?));
        }
        self.peek();
        let operator = self.at;
        match self.word() {
            "in" => Ok(Expr::In(label, self.set()?)),
            "contains" => Ok(Expr::Contains(label, self.value()?)),
            "not" if self.word() == "in" => Ok(Expr::NotIn(label, self.set()?)),
            "starts" if self.word() == "with" => Ok(Expr::StartsWith(label, self.value()?)),
            "ends" if self.word() == "with" => Ok(Expr::EndsWith(label, self.value()?)),
            _ => {
                self.at = operator;
                Err(self.expected("==, !=, in, not in, contains, starts with or ends with"))
            }
        }
    }

    fn label(&mut self) -> Result<String, SelectorError> {
        match self.word() {
            "" => Err(self.expected("a label")),
            word => Ok(word.to_owned()),
        }
    }

    fn value(&mut self) -> Result<String, SelectorError> {
        let quote = match self.peek() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err(self.expected("a value in quotes")),
        };
        let start = self.at;
        let inside = &self.rest()[1..];
        let Some(length) = inside.find(quote) else {
            return Err(self.error(start, format!("the value has no closing {quote}")));
        };
        self.at += length + 2;
        Ok(inside[..length].to_owned())
    }

    fn set(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        self.require("{")?;
        let mut values = BTreeSet::new();
        if self.take("}") {
            return Ok(values);
        }
        loop {
            values.insert(self.value()?);
            if self.take("}") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err(self.expected("',' or '}'"));
            }
        }
    }
}

/// The only part, or the parts joined.
fn one_or(mut parts: Vec<Expr>, join: fn(Vec<Expr>) -> Expr) -> Expr {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        join(parts)
    }
}
