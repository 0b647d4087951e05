use proptest::prelude::*;

use super::*;

fn labels(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

#[test]
fn selectors_match_as_calico_does() {
    let world = labels("rack=r1 zone=eu-1 kubernetes.io/os=linux in=x empty=");
    for (text, wanted) in [
        ("", true),
        ("  ", true),
        ("all()", true),
        ("global()", true),
        ("!all()", false),
        ("rack == 'r1'", true),
        ("rack=='r1'", true),
        ("rack == \"r2\"", false),
        ("rack != 'r1'", false),
        ("missing != 'r1'", true),
        ("missing == ''", false),
        ("empty == ''", true),
        ("has(rack)", true),
        ("has( missing )", false),
        ("!has(missing)", true),
        ("! has(rack)", false),
        ("has(kubernetes.io/os)", true),
        ("kubernetes.io/os == 'linux'", true),
        ("rack in {'r1', \"r2\"}", true),
        ("rack in {}", false),
        ("rack in {'r2'}", false),
        ("missing in {'r1'}", false),
        ("rack not in {'r2'}", true),
        ("rack not  in {'r1'}", false),
        ("missing not in {'r1'}", true),
        ("zone contains 'u-'", true),
        ("missing contains ''", false),
        ("zone starts with 'eu'", true),
        ("zone starts with '1'", false),
        ("zone ends with '-1'", true),
        ("in == 'x'", true),
        ("in in {'x'}", true),
        ("has(in) && has(rack)", true),
        ("has(in) && has(no) || has(rack)", true),
        ("has(in) && (has(no) || has(rack))", true),
        ("has(no) && (has(no) || has(rack))", false),
        ("!(has(in) && has(rack))", false),
        ("!has(no) && has(rack)", true),
        ("!!has(rack)", true),
    ] {
        let selector: Selector = text.parse().unwrap();
        assert_eq!(
            selector.matches(&world),
            wanted,
            "{text} read as {selector}"
        );
    }
}

#[test]
fn texts_that_say_the_same_print_the_same() {
    for (text, printed) in [
        ("", "all()"),
        ("a==\"b\"", "a == 'b'"),
        ("a == \"it's\"", "a == \"it's\""),
        ("a in {\"z\",'b','b'}", "a in {'b', 'z'}"),
        ("((a == 'b'))", "a == 'b'"),
        ("has(a)&&(has(b)&&has(c))", "has(a) && has(b) && has(c)"),
        (
            "has(a) && (has(b) || has(c))",
            "has(a) && (has(b) || has(c))",
        ),
        ("(has(a) && has(b)) || has(c)", "has(a) && has(b) || has(c)"),
        ("!(has(a) || has(b))", "!(has(a) || has(b))"),
        ("a starts   with 'b'", "a starts with 'b'"),
    ] {
        assert_eq!(text.parse::<Selector>().unwrap().to_string(), printed);
    }
}

#[test]
fn faults_are_marked() {
    for (text, position, part) in [
        ("a", 2, "the text ends, where ==, !=, in, not in"),
        ("a == ", 6, "the text ends, where a value in quotes"),
        ("a == b", 6, "there is 'b', where a value in quotes"),
        ("a == 'b", 6, "no closing '"),
        ("a = 'b'", 3, "there is '=', where ==, !="),
        ("a == 'b' c", 10, "&&, || or the end"),
        ("a == 'b' &&", 12, "a label or a test"),
        ("has()", 5, "a label"),
        ("has(a", 6, "\")\""),
        ("any()", 1, "no test any()"),
        ("(a == 'b'", 10, "\")\""),
        ("a in {'b' 'c'}", 11, "',' or '}'"),
        ("a in {'b',}", 11, "a value in quotes"),
        ("a not {'b'}", 3, "not in"),
        ("a starts 'b'", 3, "starts with"),
        ("\u{e4} == 'b'", 1, "a label or a test"),
        ("has(a) & has(b)", 8, "&&"),
    ] {
        let error = text.parse::<Selector>().unwrap_err();
        assert_eq!(error.position, position, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = "a == b".parse::<Selector>().unwrap_err().to_string();
    assert!(
        error.starts_with("\"a == -->b\" is not a selector"),
        "{error}"
    );
}

#[test]
fn nesting_is_bounded() {
    for open in ["(", "!"] {
        let error = open.repeat(100_000).parse::<Selector>().unwrap_err();
        assert_eq!(error.position, 65);
    }
    let deep = format!("{}has(a){}", "(".repeat(64), ")".repeat(64));
    assert!(deep.parse::<Selector>().is_ok());
}

fn value() -> impl Strategy<Value = String> + Clone {
    prop_oneof!["[^']{0,8}", "[^\"]{0,8}"]
}

fn expression() -> impl Strategy<Value = Expr> {
    let label = "[a-zA-Z0-9_./-]{1,8}";
    let set = prop::collection::btree_set(value(), 0..4);
    let leaf = prop_oneof![
        Just(Expr::All),
        Just(Expr::Global),
        label.prop_map(Expr::Has),
        (label, value()).prop_map(|(l, v)| Expr::Equal(l, v)),
        (label, value()).prop_map(|(l, v)| Expr::NotEqual(l, v)),
        (label, set.clone()).prop_map(|(l, v)| Expr::In(l, v)),
        (label, set).prop_map(|(l, v)| Expr::NotIn(l, v)),
        (label, value()).prop_map(|(l, v)| Expr::Contains(l, v)),
        (label, value()).prop_map(|(l, v)| Expr::StartsWith(l, v)),
        (label, value()).prop_map(|(l, v)| Expr::EndsWith(l, v)),
    ];
    leaf.prop_recursive(5, 32, 4, |inner| {
        let parts = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|e| Expr::Not(Box::new(e))),
            parts.clone().prop_map(|p| flat(p, true)),
            parts.prop_map(|p| flat(p, false)),
        ]
    })
}

/// Joins parts as the parser would: without an `And` inside an `And`, or an `Or` inside an `Or`.
fn flat(parts: Vec<Expr>, and: bool) -> Expr {
    let mut joined = Vec::new();
    for part in parts {
        match part {
            Expr::And(inner) if and => joined.extend(inner),
            Expr::Or(inner) if !and => joined.extend(inner),
            other => joined.push(other),
        }
    }
    if and {
        Expr::And(joined)
    } else {
        Expr::Or(joined)
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(expr in expression()) {
        let selector = Selector(expr);
        let again: Selector = selector.to_string().parse().unwrap();
        prop_assert_eq!(again, selector);
    }

    #[test]
    fn no_text_panics(text in "[ a-c'\"!=&|(){},]{0,24}|\\PC{0,24}") {
        let _ = text.parse::<Selector>();
    }
}
