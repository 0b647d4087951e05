//! Selectors from any text: no input makes the parser panic, and what parses prints as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tombolo_model::selector::Selector;

fuzz_target!(|text: &str| {
    if let Ok(selector) = text.parse::<Selector>() {
        let printed = selector.to_string();
        let again: Selector = printed.parse().expect("what was printed parses");
        assert_eq!(again, selector, "{text:?} prints as {printed:?}");
    }
});
