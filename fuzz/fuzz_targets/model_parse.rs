//! Resources from any text: no input makes the parser panic, and every fault has a place.
//!
//! What parses must also do so a second time with the same outcome: the parser keeps no state.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tombolo_model::parse;

fuzz_target!(|text: &str| {
    let first = parse::parse("input.yaml", text);
    let second = parse::parse("input.yaml", text);
    match (first, second) {
        (Ok(first), Ok(second)) => assert_eq!(first.len(), second.len()),
        (Err(first), Err(second)) => {
            assert!(!first.0.is_empty(), "an error without a fault");
            assert_eq!(first.to_string(), second.to_string());
        }
        _ => panic!("the same text parses once and fails once"),
    }
});
