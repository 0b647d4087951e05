//! Faults of typed reading, put into words that help: what was given, what is allowed, what is
//! near.
//!
//! serde says the first fault only, and in its own terms. [`read_all`] goes on behind it, by
//! taking the faulty field away and reading again, and puts each fault into the project's words.
//! It never changes what is accepted: a value counts only if it was read whole.

use serde_json::Value;

use crate::resource::{FieldError, KindName};

use super::{Accept, Source, join};

/// Bound on the faults of one resource that are listed.
const MAX_FAULTS: usize = 50;
/// How serde begins what it says of a field that should not be there; kept in our words.
pub(super) const UNKNOWN_FIELD: &str = "unknown field ";

/// Reads a value by `read`, and collects every fault that it has. `base` is the path of the value
/// in its resource.
pub(super) fn read_all<T>(
    base: &str,
    mut value: Value,
    source: &Source,
    read: impl Fn(Value) -> Result<T, FieldError>,
) -> Result<T, Vec<FieldError>> {
    let mut faults: Vec<FieldError> = Vec::new();
    let mut removed: Vec<String> = Vec::new();
    loop {
        let fault = match read(value.clone()) {
            Ok(whole) if faults.is_empty() => return Ok(whole),
            Ok(_) => return Err(faults),
            Err(fault) => fault,
        };
        let path = if fault.field == "." {
            String::new()
        } else {
            fault.field
        };
        if let Some(name) = quoted(&fault.message, "missing field ") {
            let field = join(&path, name);
            // Taken away by us: what stands behind it cannot be read.
            if removed.iter().any(|gone| gone.starts_with(&field)) {
                return Err(faults);
            }
            let whole = join(base, &field);
            faults.push(FieldError::new(&whole, missing(&whole)));
            return Err(faults);
        }
        let gone = match quoted(&fault.message, UNKNOWN_FIELD) {
            Some(name) if !path.ends_with(name) => join(&path, name),
            _ => path,
        };
        let field = join(base, &gone);
        let text = source.marks.find(&join(&source.prefix, &field)).text;
        faults.push(FieldError::new(
            field,
            words(&gone, &fault.message, text.as_deref()),
        ));
        if faults.len() >= MAX_FAULTS || !take_away(&mut value, &gone) {
            return Err(faults);
        }
        removed.push(gone);
    }
}

/// What is said of a field that must be there.
pub(super) fn missing(field: &str) -> String {
    let name = field.rsplit('.').next().unwrap_or(field);
    format!("missing; {name} must be given")
}

/// What is said of a kind that is not known, or of none.
pub(super) fn kinds(given: Option<&str>, accept: Accept) -> String {
    let allowed: Vec<&str> = KindName::ALL
        .iter()
        .filter(|kind| accept == Accept::Internal || !kind.is_internal())
        .map(|kind| kind.as_str())
        .collect();
    let list = format!("the kinds that can be written are {}", allowed.join(", "));
    match given {
        Some(given) => format!("unknown kind {given:?}{}; {list}", nearest(given, &allowed)),
        None => list,
    }
}

/// The text between backticks after a beginning.
fn quoted<'a>(message: &'a str, beginning: &str) -> Option<&'a str> {
    message
        .strip_prefix(beginning)?
        .strip_prefix('`')?
        .split('`')
        .next()
}

/// Every text between backticks.
fn all_quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// serde's message in the project's words. `text` is the value as it was written.
fn words(field: &str, message: &str, text: Option<&str>) -> String {
    if let Some(name) = quoted(message, UNKNOWN_FIELD) {
        let allowed = &all_quoted(message)[1..];
        if allowed.is_empty() {
            return format!("unknown field {name}; no field is allowed here");
        }
        let near = nearest(name, allowed);
        return format!(
            "unknown field {name}{near}; allowed are {}",
            allowed.join(", ")
        );
    }
    if let Some(given) = quoted(message, "unknown variant ") {
        let allowed = &all_quoted(message)[1..];
        let near = nearest(given, allowed);
        return format!(
            "{given:?} is not allowed{near}; it must be {}",
            either(allowed)
        );
    }
    for beginning in ["invalid type: ", "invalid value: "] {
        if let Some((given, wanted)) = message
            .strip_prefix(beginning)
            .and_then(|rest| rest.split_once(", expected "))
        {
            return mismatch(given, wanted, text);
        }
    }
    match text {
        Some(text) if message.starts_with("invalid IP address") => {
            format!(
                "{text:?} is not allowed: it must be {}",
                address_words(field)
            )
        }
        Some(text) if !message.contains(text) && !message.contains(" is not ") => {
            format!("{text:?} is not allowed: {message}")
        }
        _ => message.to_owned(),
    }
}

fn mismatch(given: &str, wanted: &str, text: Option<&str>) -> String {
    let given = match text {
        Some("") | None => given.to_owned(),
        Some(text) => format!("{text:?}"),
    };
    let wanted = match wanted {
        "u8" => "a whole number between 0 and 255",
        "u16" => "a whole number between 0 and 65535",
        "u32" => "a whole number between 0 and 4294967295",
        "u64" | "usize" => "a whole number, not negative",
        "i64" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "a text; put it in quotes if it looks like a number",
        "a sequence" => "a list",
        other if other.starts_with("struct ") => "a map of fields",
        other => other,
    };
    format!("{given} is not allowed: it must be {wanted}")
}

/// What is allowed in a field that holds an address or, as most do, a range.
fn address_words(field: &str) -> &'static str {
    let name = field.rsplit('.').next().unwrap_or(field);
    if name == "hostIP" || name.starts_with("addresses[") {
        "an IP address such as 10.244.0.5 or fd00::5"
    } else {
        "an address with the length of its prefix, such as 10.244.0.0/16 or fd00::/64"
    }
}

fn either(allowed: &[&str]) -> String {
    match allowed {
        [] => "nothing".into(),
        [one] => (*one).into(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// ` (did you mean X?)` for the allowed word that is nearest, if one is near.
fn nearest(given: &str, allowed: &[&str]) -> String {
    let given_lower = given.to_ascii_lowercase();
    let near = allowed
        .iter()
        .map(|word| (distance(&given_lower, &word.to_ascii_lowercase()), word))
        .min()
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1));
    near.map(|(_, word)| format!(" (did you mean {word}?)"))
        .unwrap_or_default()
}

/// Letters to insert, remove or change to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let cost = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Takes the value at a path away, so that the faults behind it come to light. A list goes as a
/// whole, since its other elements must not change their places. Answers whether it was there.
fn take_away(value: &mut Value, path: &str) -> bool {
    match value {
        Value::Object(map) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            if map.remove(path).is_some() {
                return true;
            }
            let below = map.iter_mut().find_map(|(key, inner)| {
                let rest = path.strip_prefix(key.as_str())?;
                rest.starts_with(['.', '['])
                    .then(|| (key.clone(), take_away(inner, rest)))
            });
            match below {
                Some((key, false)) => map.remove(&key).is_some(),
                Some((_, true)) => true,
                None => false,
            }
        }
        Value::Array(items) => path
            .strip_prefix('[')
            .and_then(|p| p.split_once(']'))
            .and_then(|(index, rest)| Some((items.get_mut(index.parse::<usize>().ok()?)?, rest)))
            .is_some_and(|(item, rest)| !rest.is_empty() && take_away(item, rest)),
        _ => false,
    }
}
