//! Who a container is to policies, as `docker run` and `docker network connect` say it.
//!
//! Docker tells drivers nothing of a container: neither its name nor its labels. What it hands through
//! are the options of one endpoint (`--driver-opt`, in the long form of `--network`). Options of ours
//! begin with `tombolo.`; one that is not known is an error, all others are Docker's own.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tombolo_model::Name;
use tombolo_model::kinds::policy::NamedPort;

use crate::dispatch::Refused;

/// What options of ours begin with.
const PREFIX: &str = "tombolo.";

/// Who a container is to policies.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct About {
    /// `tombolo.label.NAME=VALUE`.
    pub labels: BTreeMap<String, String>,
    /// `tombolo.profiles=a,b`.
    pub profiles: Vec<Name>,
    /// `tombolo.port.NAME=TCP/80`.
    pub named_ports: Vec<NamedPort>,
    /// `tombolo.namespace=NAME`.
    pub namespace: Option<Name>,
}

impl About {
    /// Reads an endpoint's options.
    pub fn read(options: &Map<String, Value>) -> Result<About, Refused> {
        let mut about = About::default();
        for (option, value) in options {
            if let Some(own) = option.strip_prefix(PREFIX) {
                let text = value
                    .as_str()
                    .ok_or_else(|| format!("option {option}: {value} is no text"))?;
                about.take(own, text)?;
            }
        }
        Ok(about)
    }

    fn take(&mut self, own: &str, text: &str) -> Result<(), Refused> {
        let name =
            |text: &str| Name::new(text).map_err(|error| format!("option {PREFIX}{own}: {error}"));
        match own.split_once('.') {
            Some(("label", label)) if !label.is_empty() => {
                self.labels.insert(label.to_owned(), text.to_owned());
            }
            Some(("port", port)) => {
                let port = tombolo_api::named_port(port, text);
                self.named_ports
                    .push(port.map_err(|why| format!("option {PREFIX}{own}: {why}"))?);
            }
            None if own == "profiles" => {
                let profiles = text.split(',').map(str::trim);
                let profiles = profiles.filter(|profile| !profile.is_empty());
                self.profiles = profiles.map(name).collect::<Result<_, _>>()?;
            }
            None if own == "namespace" => self.namespace = Some(name(text)?),
            _ => {
                return Err(format!(
                    "option {PREFIX}{own} is not known; there are tombolo.label.NAME, tombolo.profiles, \
                     tombolo.port.NAME and tombolo.namespace"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(options: &Value) -> Result<About, Refused> {
        About::read(options.as_object().unwrap())
    }

    #[test]
    fn who_a_container_is_comes_by_options() {
        let about = read(&json!({
            "com.docker.network.endpoint.exposedports": [],
            "tombolo.label.app": "web",
            "tombolo.label.example.org/tier": "front",
            "tombolo.profiles": "a, b",
            "tombolo.port.web": "tcp/80",
            "tombolo.namespace": "shop",
        }))
        .unwrap();
        assert_eq!(about.labels["app"], "web");
        assert_eq!(about.labels["example.org/tier"], "front");
        assert_eq!(about.profiles.len(), 2);
        assert_eq!(about.named_ports[0].port, 80);
        assert_eq!(about.namespace.unwrap().as_str(), "shop");
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (option, value, said) in [
            (
                "tombolo.lable.app",
                json!("web"),
                "option tombolo.lable.app is not known",
            ),
            (
                "tombolo.label.",
                json!("web"),
                "option tombolo.label. is not known",
            ),
            ("tombolo.label.app", json!(1), "1 is no text"),
            (
                "tombolo.profiles",
                json!("a,b c"),
                "option tombolo.profiles",
            ),
            ("tombolo.namespace", json!(""), "option tombolo.namespace"),
            ("tombolo.port.web", json!("80"), "PROTOCOL/PORT"),
        ] {
            let error = read(&json!({ option: value })).unwrap_err();
            assert!(error.contains(said), "{option}: {error}");
        }
    }
}
