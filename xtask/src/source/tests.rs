use super::*;

const SAMPLE: &str = r#"//! Documentation
//! of two lines.

/// Doc.
pub fn long(a: u8, b: u8) -> u8 {
    // a comment

    let text = "unsafe fn fake() { x.unwrap() }
        second line";
    a + b + text.len() as u8
}

struct Thing;

impl Thing {
    fn method(&self) { Some(1).unwrap(); }
    #[cfg(test)]
    fn helper() {}
}

impl Clone for Thing {
    fn clone(&self) -> Self { unsafe { std::mem::zeroed() } }
}

macro_rules! case { ($name:ident) => { fn $name() {} }; }
mod inner { fn made() {} }

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod tests {
    #[test]
    fn a_test() { Some(1).unwrap(); }
}
"#;

#[test]
fn comments_blank_lines_and_tests_are_not_code() {
    let source = measure("a.rs", SAMPLE).unwrap();
    let lines: Vec<usize> = source.code.iter().copied().collect();
    assert_eq!(lines, [5, 8, 9, 10, 11, 13, 15, 16, 19, 21, 22, 23, 25, 26]);
}

#[test]
fn functions_are_named_by_their_type_and_measured_in_code() {
    let source = measure("a.rs", SAMPLE).unwrap();
    let seen: Vec<(&str, usize, usize)> = source
        .functions
        .iter()
        .map(|f| (f.name.as_str(), f.lines, f.arguments))
        .collect();
    assert_eq!(
        seen,
        [
            ("long", 5, 2),
            ("Thing::method", 1, 1),
            ("Thing::clone", 1, 0),
            ("made", 1, 0)
        ]
    );
}

#[test]
fn keywords_in_strings_do_not_count() {
    let source = measure("a.rs", SAMPLE).unwrap();
    assert_eq!(source.unsafes, [22]);
    assert_eq!(source.unwraps, 1);
    assert_eq!(source.test_modules, ["fixtures"]);
    assert!(source.fn_names.contains("a_test"));
    assert!(!source.fn_names.contains("fake"));
}

#[test]
fn test_files_are_known_by_their_path() {
    assert!(is_test_path("crates/plan/src/diff/tests.rs"));
    assert!(is_test_path("tests/src/lib.rs"));
    assert!(!is_test_path("crates/plan/src/contests.rs"));
}

#[test]
fn what_is_not_rust_is_named() {
    let error = measure("broken.rs", "fn (").unwrap_err().to_string();
    assert!(error.starts_with("broken.rs: not Rust"), "{error}");
}
