//! Where JSON is not YAML.
//!
//! YAML 1.2 reads JSON, with two differences that matter here. YAML allows more, so a file that
//! calls itself JSON is checked to be so. And JSON writes a character beyond 16 bits as two escapes,
//! a pair of surrogates (RFC 8259, section 7), which YAML does not know.

use std::borrow::Cow;

/// What is wrong with a file that says by its name that it is JSON, and the line and column.
pub(super) fn fault(file: &str, text: &str) -> Option<((usize, usize), String)> {
    if !file.ends_with(".json") || text.trim().is_empty() {
        return None;
    }
    let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
    let said = error.to_string();
    let said = said.split(" at line ").next().unwrap_or_default();
    let at = (error.line().max(1), error.column().max(1));
    Some((at, format!("this is not JSON: {said}")))
}

/// The text with YAML's escape of a character in the place of each pair of surrogates, if the
/// text is JSON. The escape is shorter than the pair, so
/// columns behind it on its line are smaller by two.
pub(super) fn without_surrogates(text: &str) -> Cow<'_, str> {
    let is_json = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let escape = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    if !text.contains("\\u") || !is_json() {
        return Cow::Borrowed(text);
    }
    let mut whole = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('\\') {
        at += found;
        let pair = escape(at).zip(escape(at + 6));
        let decoded = pair.and_then(|(high, low)| {
            char::decode_utf16([high, low])
                .next()?
                .ok()
                .filter(|c| *c > '\u{ffff}')
        });
        match decoded {
            Some(character) => {
                whole.push_str(&text[copied..at]);
                whole.push_str(&format!("\\U{:08x}", u32::from(character)));
                at += 12;
                copied = at;
            }
            // Past the escape and the character that it escapes, which may be another backslash.
            None => at += 2,
        }
    }
    whole.push_str(&text[copied..]);
    Cow::Owned(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_one_escape() {
        for (text, wanted) in [
            (r#"{"a": "\ud83d\ude00!"}"#, r#"{"a": "\U0001f600!"}"#),
            (
                r#"["\\ud83d\\ude00", "\u00e4"]"#,
                r#"["\\ud83d\\ude00", "\u00e4"]"#,
            ),
            (r#"a: "\ud83d\ude00""#, r#"a: "\ud83d\ude00""#),
        ] {
            assert_eq!(without_surrogates(text), wanted);
        }
    }
}
