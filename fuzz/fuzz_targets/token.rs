//! Tokens from any text: no input makes the parser panic, and what parses is printed as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tombolo_join::JoinToken;

fuzz_target!(|text: &str| {
    match text.parse::<JoinToken>() {
        Ok(token) => {
            let printed = token.reveal();
            assert_eq!(printed, text.trim().to_ascii_lowercase());
            // The fingerprint is no secret, and may hold the same digits here.
            let (secret, shown) = (token.secret().reveal(), token.fingerprint().to_string());
            assert!(!format!("{token:?}").replace(&shown, "").contains(&secret));
        }
        // The text may hold a secret: an error repeats at most what it begins with.
        Err(error) => assert!(error.to_string().chars().count() < 300),
    }
});
