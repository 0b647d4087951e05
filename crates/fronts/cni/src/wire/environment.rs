//! The environment: which attachment is meant, and what `CNI_ARGS` says.

use std::collections::BTreeMap;

use tombolo_model::{ContainerId, IfName, Name};

use crate::error::CniError;

/// The environment.
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Environment {
        let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
        Environment(
            std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        )
    }

    /// An environment of these.
    #[must_use]
    pub fn of(pairs: &[(&str, &str)]) -> Environment {
        Environment(
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    /// A variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// What is to be done to which attachment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attachment {
    pub container: ContainerId,
    pub interface: IfName,
    /// `CNI_NETNS`; DEL may come without it.
    pub netns: Option<String>,
}

/// Reads the variables that a command needs. All that are missing or wrong are named at once.
pub(crate) fn attachment(
    environment: &Environment,
    command: &str,
    needs_netns: bool,
) -> Result<Attachment, CniError> {
    let mut wrong = Vec::new();
    let mut take = |name: &str, needed: bool| match environment.get(name) {
        Some(value) if !value.is_empty() => Some(value.to_owned()),
        _ => {
            if needed {
                wrong.push(format!("{name} is missing"));
            }
            None
        }
    };
    let container = take("CNI_CONTAINERID", true);
    let netns = take("CNI_NETNS", needs_netns);
    let interface = take("CNI_IFNAME", true);
    let container = parsed("CNI_CONTAINERID", container, &mut wrong);
    let interface = parsed("CNI_IFNAME", interface, &mut wrong);
    match (container, interface) {
        (Some(container), Some(interface)) if wrong.is_empty() => Ok(Attachment {
            container,
            interface,
            netns,
        }),
        _ => Err(CniError::Environment(format!(
            "{command}: {}",
            wrong.join("; ")
        ))),
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<String>,
    wrong: &mut Vec<String>,
) -> Option<T> {
    match text?.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            wrong.push(format!("{name}: {error}"));
            None
        }
    }
}

/// GC names no attachment; where plugins are is all that it needs.
pub(crate) fn collection(environment: &Environment) -> Result<(), CniError> {
    match environment.get("CNI_PATH") {
        Some(path) if !path.is_empty() => Ok(()),
        _ => Err(CniError::Environment("GC: CNI_PATH is missing".to_owned())),
    }
}

/// `CNI_ARGS`: `NAME=VALUE;NAME=VALUE`.
pub(super) fn cni_args(environment: &Environment) -> Result<BTreeMap<String, String>, CniError> {
    let text = environment.get("CNI_ARGS").unwrap_or_default();
    text.split(';')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                CniError::Environment(format!("CNI_ARGS: {pair:?} is not NAME=VALUE"))
            })?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Who a container is beyond its id: Kubernetes tells namespace and name of the pod.
pub(super) fn identity(
    environment: &Environment,
    words: &BTreeMap<String, String>,
) -> Option<String> {
    let namespace = words
        .get("K8S_POD_NAMESPACE")
        .filter(|text| !text.is_empty())?;
    let name = words.get("K8S_POD_NAME").filter(|text| !text.is_empty())?;
    let interface = environment.get("CNI_IFNAME").unwrap_or_default();
    Some(format!("{namespace}/{name}/{interface}"))
}

/// The namespace of a pod, as Kubernetes tells it: policies of that namespace are about the pod.
pub(super) fn pod_namespace(words: &BTreeMap<String, String>) -> Result<Option<Name>, CniError> {
    let told = words.get("K8S_POD_NAMESPACE");
    let told = told.filter(|text| !text.is_empty());
    told.map(|text| super::value_of("CNI_ARGS K8S_POD_NAMESPACE", text))
        .transpose()
}
