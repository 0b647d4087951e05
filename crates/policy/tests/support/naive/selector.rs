//! Calico's selectors, read and asked at once: each level of the grammar is a function.

use super::Labels;

/// Whether labels match a selector; an empty one matches everything.
pub fn matches(text: &str, labels: &Labels) -> bool {
    if text.trim().is_empty() {
        return true;
    }
    let mut reader = Reader {
        words: words(text),
        labels,
    };
    let result = reader.either();
    assert!(
        reader.words.is_empty(),
        "{text}: {:?} is left",
        reader.words
    );
    result
}

struct Reader<'a> {
    /// The words that are left, the next one last.
    words: Vec<String>,
    labels: &'a Labels,
}

impl Reader<'_> {
    fn take(&mut self, word: &str) -> bool {
        let is = self.words.last().is_some_and(|next| next == word);
        if is {
            self.words.pop();
        }
        is
    }

    fn next(&mut self) -> String {
        self.words.pop().expect("the selector goes on")
    }

    fn either(&mut self) -> bool {
        let mut result = self.both();
        while self.take("||") {
            // Both sides are read, whatever the first one says.
            let other = self.both();
            result = result || other;
        }
        result
    }

    fn both(&mut self) -> bool {
        let mut result = self.one();
        while self.take("&&") {
            let other = self.one();
            result = result && other;
        }
        result
    }

    fn one(&mut self) -> bool {
        if self.take("!") {
            return !self.one();
        }
        if self.take("(") {
            let result = self.either();
            assert!(self.take(")"));
            return result;
        }
        let word = self.next();
        if self.take("(") {
            let inner = if word == "has" {
                self.next()
            } else {
                String::new()
            };
            assert!(self.take(")"));
            return word == "all" || word == "global" || self.labels.contains_key(&inner);
        }
        let value = self.labels.get(&word).cloned();
        let operator = self.next();
        match operator.as_str() {
            "==" | "=" => value == Some(self.text()),
            "!=" => value != Some(self.text()),
            "in" => self.set().iter().any(|one| Some(one) == value.as_ref()),
            "not" => {
                assert!(self.take("in"));
                self.set().iter().all(|one| Some(one) != value.as_ref())
            }
            "contains" => {
                let part = self.text();
                value.is_some_and(|value| value.contains(&part))
            }
            "starts" | "ends" => {
                assert!(self.take("with"));
                let part = self.text();
                value.is_some_and(|value| match operator.as_str() {
                    "starts" => value.starts_with(&part),
                    _ => value.ends_with(&part),
                })
            }
            other => panic!("{other} is no operator"),
        }
    }

    /// A text, which begins with a quote here.
    fn text(&mut self) -> String {
        let word = self.next();
        word.strip_prefix('\'').expect("a text").to_owned()
    }

    fn set(&mut self) -> Vec<String> {
        assert!(self.take("{"));
        let mut texts = Vec::new();
        while !self.take("}") {
            texts.push(self.text());
            self.take(",");
        }
        texts
    }
}

/// The words of a selector, the last one first. Of a text in quotes only the first one stays.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let end = rest[1..].find(first).expect("the text ends");
                words.push(format!("'{}", &rest[1..=end]));
                end + 2
            }
            _ => {
                let two = ["&&", "||", "==", "!="];
                let two = two.iter().any(|operator| rest.starts_with(operator));
                let is_letter = |c: char| c.is_alphanumeric() || "-_./".contains(c);
                let length = match (two, is_letter(first)) {
                    (true, _) => 2,
                    (false, true) => rest.find(|c| !is_letter(c)).unwrap_or(rest.len()),
                    (false, false) => 1,
                };
                words.push(rest[..length].to_owned());
                length
            }
        };
        rest = rest[length..].trim_start();
    }
    words.reverse();
    words
}
