//! Words that several commands take, as types: what they may be is in their help and completed.

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use tombolo_model::KindName;

/// Reads a kind of resource, as `nodes`, `node` or `Node`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KindWord;

impl TypedValueParser for KindWord {
    type Value = KindName;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<KindName, clap::Error> {
        let word = StringValueParser::new().parse_ref(command, argument, value)?;
        KindName::from_word(&word).ok_or_else(|| {
            let known: Vec<&str> = KindName::ALL.iter().map(|kind| kind.plural()).collect();
            let message = format!(
                "{word:?} is no kind of resource; there are {}\n",
                known.join(", ")
            );
            clap::Error::raw(ErrorKind::InvalidValue, message).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let plurals = KindName::ALL
            .iter()
            .map(|kind| PossibleValue::new(kind.plural()));
        Some(Box::new(plurals))
    }
}

/// `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not NAME=VALUE")),
    }
}

/// What can be got: resources of a kind, or what policies denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Resources.
    Kind(KindName),
    /// Denied packets.
    Denials,
}

/// Reads a kind of resource, or `denials`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WhatWord;

impl TypedValueParser for WhatWord {
    type Value = What;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<What, clap::Error> {
        if matches!(value.to_str(), Some("denials" | "denial")) {
            return Ok(What::Denials);
        }
        KindWord.parse_ref(command, argument, value).map(What::Kind)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let kinds = KindWord.possible_values()?;
        Some(Box::new(kinds.chain([PossibleValue::new("denials")])))
    }
}
