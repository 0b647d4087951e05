//! A value to a typed resource: metadata, spec, and where they were written.

use serde_json::{Map, Value};

use super::dialect::Dialect;
use super::{Source, explain, join, kubernetes};
use crate::kinds::policy::source::{ORIGINAL, RuleLines, note_source};
use crate::names::Name;
use crate::resource::{AnyResource, FieldError, KindName, Metadata, Resource};

/// Reads and checks a resource of a kind. Metadata and spec are read apart, so that a fault in
/// one does not hide those in the other.
pub(super) fn read(
    kind: KindName,
    dialect: Dialect,
    mut whole: Map<String, Value>,
    source: &Source,
) -> Result<AnyResource, Vec<FieldError>> {
    let mut faults = dialect.prepare(kind, &mut whole);
    let metadata = metadata(whole.remove("metadata"), source);
    let metadata = metadata.unwrap_or_else(|more| {
        faults.extend(more);
        Metadata::named(stand_in())
    });
    let (mut resource, lines) = match body(kind, dialect, whole, source) {
        Ok(read) => read,
        Err(more) => {
            faults.extend(more);
            return Err(faults);
        }
    };
    *resource.metadata_mut() = metadata;
    let metadata = resource.metadata_mut();
    if kind.is_namespaced() && metadata.namespace.is_none() {
        metadata.namespace = Some(Name::new("default").expect("letters make a name"));
    }
    if (dialect, kind) == (Dialect::Kubernetes, KindName::NetworkPolicy) {
        faults.extend(rename(metadata).err());
    }
    if let Some(lines) = lines {
        note_source(metadata, &source.file, source.line, &lines);
    }
    faults.extend(resource.validate());
    if faults.is_empty() {
        Ok(resource)
    } else {
        Err(faults)
    }
}

fn metadata(given: Option<Value>, source: &Source) -> Result<Metadata, Vec<FieldError>> {
    let Some(value) = given else {
        let message = explain::missing("metadata.name");
        return Err(vec![FieldError::new("metadata.name", message)]);
    };
    explain::read_all("metadata", value, source, |value| {
        serde_path_to_error::deserialize::<_, Metadata>(value)
            .map_err(|e| FieldError::new(e.path().to_string(), e.inner().to_string()))
    })
}

fn stand_in() -> Name {
    Name::new("faulty").expect("letters make a name")
}

/// Everything but metadata, under a name that stands in; and the lines of its rules, if it is of a
/// kind that has them.
fn body(
    kind: KindName,
    dialect: Dialect,
    mut whole: Map<String, Value>,
    source: &Source,
) -> Result<(AnyResource, Option<RuleLines>), Vec<FieldError>> {
    let line_of = |field: &str, index: usize| {
        let field = join(&source.prefix, &format!("spec.{field}[{index}]"));
        source.marks.find(&field).line
    };
    if (dialect, kind) == (Dialect::Kubernetes, KindName::NetworkPolicy) {
        let read = kubernetes::network_policy(whole, source)?;
        let lines = |field, rules: &[usize]| rules.iter().map(|i| line_of(field, *i)).collect();
        let lines = [
            lines("ingress", &read.ingress),
            lines("egress", &read.egress),
        ];
        return Ok((Resource::new(stand_in(), read.spec).into(), Some(lines)));
    }
    whole.insert("metadata".into(), serde_json::json!({ "name": stand_in() }));
    let resource = explain::read_all("", Value::Object(whole), source, |value| {
        AnyResource::from_value(kind, value)
    })?;
    let rules = match &resource {
        AnyResource::NetworkPolicy(policy) => Some((&policy.spec.ingress, &policy.spec.egress)),
        AnyResource::GlobalNetworkPolicy(policy) => {
            Some((&policy.spec.ingress, &policy.spec.egress))
        }
        AnyResource::Profile(profile) => Some((&profile.spec.ingress, &profile.spec.egress)),
        _ => None,
    };
    let lines = rules.map(|(ingress, egress)| {
        let lines = |field, count| (0..count).map(|i| line_of(field, i)).collect();
        [
            lines("ingress", ingress.len()),
            lines("egress", egress.len()),
        ]
    });
    Ok((resource, lines))
}

/// Gives a policy of Kubernetes the name that it has here, and notes which one it was.
fn rename(metadata: &mut Metadata) -> Result<(), FieldError> {
    let name = format!("{}{}", kubernetes::NAME_PREFIX, metadata.name);
    let original = format!("networking.k8s.io/v1 NetworkPolicy {}", metadata.name);
    metadata.annotations.insert(ORIGINAL.to_owned(), original);
    metadata.name = Name::new(name).map_err(|error| {
        FieldError::new("metadata.name", format!("{error}; give it a shorter one"))
    })?;
    Ok(())
}
