//! `label`: who an endpoint is to policies, changed while it is plugged in.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;
use tombolo_api::{Client, LabelRequest};
use tombolo_model::Name;

use crate::output::Format;
use crate::words;

#[derive(Debug, Args)]
pub(crate) struct Label {
    /// What is labelled.
    #[arg(value_parser = ["endpoint", "endpoints", "ep"])]
    kind: String,
    /// Which one: its name, any part of it that only one has, or the beginning of its container's id.
    name: String,
    /// Labels: NAME=VALUE, or NAME- to remove one.
    #[arg(value_parser = label, value_name = "NAME=VALUE|NAME-")]
    labels: Vec<(String, Option<String>)>,
    /// Its namespace; any if not given.
    #[arg(short, long)]
    namespace: Option<Name>,
    /// A profile; those that are given replace those that it has.
    #[arg(long = "profile", conflicts_with = "no_profiles")]
    profiles: Vec<Name>,
    /// It shall have no profiles.
    #[arg(long)]
    no_profiles: bool,
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Label {
    pub fn run(self, client: &Client) -> Result<()> {
        let profiles = (self.no_profiles || !self.profiles.is_empty()).then_some(self.profiles);
        if self.labels.is_empty() && profiles.is_none() {
            bail!("nothing to change; give NAME=VALUE, NAME-, --profile or --no-profiles");
        }
        let mut labels = BTreeMap::new();
        for (name, value) in self.labels {
            if labels.insert(name.clone(), value).is_some() {
                bail!("label {name} is given twice");
            }
        }
        let request = LabelRequest {
            endpoint: self.name,
            namespace: self.namespace,
            labels,
            profiles,
        };
        let endpoint: Value = client.post("/v1/label", &request)?;
        if !self.output.print(&endpoint)? {
            println!("{}", told(&endpoint));
        }
        Ok(())
    }
}

/// `Endpoint default/n.c1.eth0: app=web; profiles base`.
fn told(endpoint: &Value) -> String {
    let metadata = &endpoint["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels = metadata["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={}", text(value)))
        .collect();
    let labels = match labels.as_slice() {
        [] => "no labels".to_owned(),
        some => some.join(", "),
    };
    let profiles = endpoint["spec"]["profiles"].as_array();
    let profiles: Vec<String> = profiles.into_iter().flatten().map(text).collect();
    let profiles = match profiles.as_slice() {
        [] => String::new(),
        some => format!("; profiles {}", some.join(", ")),
    };
    format!(
        "Endpoint {}/{}: {labels}{profiles}",
        text(&metadata["namespace"]),
        text(&metadata["name"])
    )
}

/// `NAME=VALUE`, or `NAME-`.
fn label(text: &str) -> Result<(String, Option<String>), String> {
    match text.strip_suffix('-').filter(|_| !text.contains('=')) {
        Some(name) if !name.is_empty() => Ok((name.to_owned(), None)),
        _ => words::pair(text)
            .map(|(name, value)| (name, Some(value)))
            .map_err(|why| format!("{why}, nor NAME-")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_are_read() {
        assert_eq!(
            label("a=b-").unwrap(),
            ("a".to_owned(), Some("b-".to_owned()))
        );
        assert_eq!(label("a=").unwrap(), ("a".to_owned(), Some(String::new())));
        assert_eq!(label("a-").unwrap(), ("a".to_owned(), None));
        for text in ["", "-", "a", "=b"] {
            assert!(label(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_answer_says_how_it_is_now() {
        let bare = json!({"metadata": {"namespace": "shop", "name": "n.c.eth0"}, "spec": {}});
        assert_eq!(told(&bare), "Endpoint shop/n.c.eth0: no labels");
        let full = json!({
            "metadata": {"namespace": "shop", "name": "x", "labels": {"a": "1", "b": "2"}},
            "spec": {"profiles": ["p", "q"]}
        });
        assert_eq!(told(&full), "Endpoint shop/x: a=1, b=2; profiles p, q");
    }
}
