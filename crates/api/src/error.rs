//! What the agent answers when it cannot do what it was asked.

use serde::{Deserialize, Serialize};
use tombolo_model::FieldError;

/// Whose fault it is, and so what the caller can do. Fronts turn it into their own codes (HTTP
/// status, CNI code, exit status) in one table each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultKind {
    /// The request is wrong; the same request will fail again.
    Invalid,
    /// What is asked for is not there.
    NotFound,
    /// It is there already, or somebody else holds it.
    Conflict,
    /// No address, or no room, is left.
    Exhausted,
    /// It cannot be done now, but may be later.
    Unavailable,
    /// The caller may not do it.
    Denied,
    /// The kernel or the machine refused.
    System,
}

/// An error, as the agent answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}{}", list(.faults))]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Whose fault it is.
    pub kind: FaultKind,
    /// What failed, on what, why, and what to do.
    pub message: String,
    /// The fields at fault, where the request holds resources: index of the resource, field, and
    /// what is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultyField>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultyField {
    /// Which of the resources of the request, from 0.
    pub resource: usize,
    /// The field's path.
    pub field: String,
    /// What is wrong, with the value, and what is allowed.
    pub message: String,
}

impl Fault {
    /// A fault without fields.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Fault {
        Fault {
            kind,
            message: message.into(),
            faults: Vec::new(),
        }
    }

    /// The faults of a resource of a request.
    pub fn add(&mut self, resource: usize, faults: impl IntoIterator<Item = FieldError>) {
        self.faults
            .extend(faults.into_iter().map(|fault| FaultyField {
                resource,
                field: fault.field,
                message: fault.message,
            }));
    }
}

impl FaultKind {
    /// The HTTP status that goes with it (RFC 9110).
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            FaultKind::Invalid => 400,
            FaultKind::Denied => 403,
            FaultKind::NotFound => 404,
            FaultKind::Conflict => 409,
            FaultKind::System => 500,
            FaultKind::Unavailable => 503,
            FaultKind::Exhausted => 507,
        }
    }
}

fn list(faults: &[FaultyField]) -> String {
    faults
        .iter()
        .map(|f| format!("\n  {}: {}", f.field, f.message))
        .collect()
}
