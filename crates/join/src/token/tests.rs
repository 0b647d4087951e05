//! The text of tokens: what is read, what is refused, what is hidden.

use proptest::prelude::*;

use super::*;

const TEXT: &str = "tb1.0badcafe.00112233445566778899aabbccddeeff.\
    9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn fault(text: &str) -> TokenTextError {
    text.parse::<JoinToken>().unwrap_err()
}

#[test]
fn a_token_is_read_as_it_was_written() {
    let token: JoinToken = format!(" {TEXT}\n").parse().unwrap();
    assert_eq!(token.reveal(), TEXT);
    assert_eq!(TEXT.len(), 110);
    assert_eq!(token.id().as_str(), "0badcafe");
    let upper: JoinToken = format!("tb1.{}", TEXT[4..].to_uppercase()).parse().unwrap();
    assert_eq!(upper.reveal(), TEXT);
}

#[test]
fn every_cut_off_text_is_refused_in_words() {
    for end in 0..TEXT.len() {
        let told = fault(&TEXT[..end]).to_string();
        assert!(
            told.contains("copy") || told.contains("give"),
            "{end}: {told}"
        );
        assert!(!told.contains("00112233"), "{told}");
    }
    assert_eq!(
        fault("tb1.0badcafe"),
        TokenTextError::Truncated { parts: 2 }
    );
}

#[test]
fn other_versions_wrong_digits_and_surplus_are_told_apart() {
    let found = "tb2".to_owned();
    assert_eq!(
        fault(&TEXT.replace("tb1", "tb2")),
        TokenTextError::Version { found }
    );
    assert_eq!(fault(&format!("{TEXT}.x")), TokenTextError::TooLong);
    assert_eq!(
        fault(&TEXT.replace("0011", "00zz")),
        TokenTextError::Hex { part: "secret" }
    );
    assert_eq!(
        fault(&format!("{TEXT}0")),
        TokenTextError::Length {
            part: "CA fingerprint",
            wanted: 64,
            found: 65
        }
    );
    assert_eq!(fault("  "), TokenTextError::Empty);
}

#[test]
fn debug_hides_the_secret() {
    let token: JoinToken = TEXT.parse().unwrap();
    let shown = format!("{token:?}");
    assert!(
        shown.contains("(secret)") && !shown.contains("00112233"),
        "{shown}"
    );
}

#[test]
fn only_the_right_secret_matches_the_stored_hash() {
    let token: JoinToken = TEXT.parse().unwrap();
    let stored = token.resource(100, 1).spec.secret_hash;
    assert!(token.secret().matches(&stored));
    assert!(!Secret([0; 16]).matches(&stored));
    assert!(!token.secret().matches("not a hash"));
    assert!(!stored.contains("00112233"));
}

proptest! {
    #[test]
    fn tokens_survive_their_text(random: [u8; 20], ca: [u8; 32]) {
        let token = JoinToken::new(Fingerprint(ca), random);
        let read: JoinToken = token.reveal().parse().unwrap();
        prop_assert_eq!(read.reveal(), token.reveal());
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = text.parse::<JoinToken>();
    }

    #[test]
    fn what_is_read_is_what_was_written(text in "tb1\\.[0-9a-f.é]{0,120}") {
        if let Ok(token) = text.parse::<JoinToken>() {
            prop_assert_eq!(token.reveal(), text);
        }
    }
}
