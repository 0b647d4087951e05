use super::*;
use std::fs;

const LIMITS: &str = "[limits]\nfile-lines = 4\nfunction-lines = 3\narguments = 2\n\
                      [unsafe]\nallowed-below = [\"k/src/sys\"]\n";

/// The findings in a tree of these files.
fn findings(exceptions: &str, files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{LIMITS}{exceptions}");
    for (path, text) in files.iter().chain([&(CONFIG, config.as_str())]) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    check(folder.path()).unwrap()
}

const LONG: &str = "fn f() {\n    a();\n    b();\n}\nfn g() {}\n";

#[test]
fn what_is_too_large_is_named_with_its_place() {
    let found = findings(
        "",
        &[
            ("k/src/a.rs", LONG),
            ("k/src/b.rs", "fn h(a: A, b: B, c: C) {}"),
        ],
    );
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("k/src/a.rs: 5 lines of code, 4 allowed"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("k/src/a.rs:1: fn f: 4 lines, 3 allowed"),
        "{found:?}"
    );
    assert!(
        found[2].starts_with("k/src/b.rs:1: fn h: 3 arguments, 2 allowed"),
        "{found:?}"
    );
}

#[test]
fn exceptions_lift_the_limit_and_go_when_nothing_needs_them() {
    let exceptions = "[[file]]\npath = \"k/src/a.rs\"\nlines = 5\nreason = \"a table\"\n\
                      [[function]]\npath = \"k/src/a.rs\"\nname = \"f\"\nlines = 4\nreason = \"x\"\n";
    assert_eq!(
        findings(exceptions, &[("k/src/a.rs", LONG)]),
        Vec::<String>::new()
    );
    let found = findings(exceptions, &[("k/src/a.rs", "fn f() {}")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("k/src/a.rs is not needed"), "{found:?}");
}

#[test]
fn unsafe_stands_in_one_place_only_also_in_tests() {
    let text = "fn f() { unsafe { g() } }";
    let files = [
        ("k/src/sys/a.rs", text),
        ("k/src/sys.rs", text),
        ("k/src/tests.rs", text),
    ];
    let found = findings("", &files);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("k/src/tests.rs:1: unsafe outside k/src/sys"),
        "{found:?}"
    );
}

#[test]
fn modules_declared_for_tests_are_exempt() {
    let files = [
        ("k/src/a.rs", "#[cfg(test)]\nmod bench;"),
        ("k/src/a/bench.rs", LONG),
    ];
    assert_eq!(findings("", &files), Vec::<String>::new());
}
