//! What can go wrong, and the code that the specification has for it (SPEC 1.1.0, section 5).

use serde_json::{Value, json};
use tombolo_api::{ClientError, Fault, FaultKind};

/// An error that the runtime is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CniError {
    /// The configuration is of a version that is not spoken, or has no such command.
    #[error("{0}")]
    Version(String),
    /// A field of the configuration is not supported; key and value are named.
    #[error("{0}")]
    Field(String),
    /// The container is not known.
    #[error("{0}")]
    UnknownContainer(String),
    /// Environment variables are missing or wrong; all of them are named.
    #[error("{0}")]
    Environment(String),
    /// Something could not be read or written.
    #[error("{0}")]
    Io(String),
    /// The configuration is no JSON of the right shape.
    #[error("{0}")]
    Decode(String),
    /// The configuration says what cannot be.
    #[error("{0}")]
    Config(String),
    /// CNI_NETNS is the plugin's own namespace.
    #[error("{0}")]
    OwnNetns(String),
    /// It may work later.
    #[error("{0}")]
    TryAgain(String),
    /// No container can be added at present.
    #[error("{0}")]
    NotAvailable(String),
    /// The same, and containers that are there may suffer too.
    #[error("{0}")]
    Suffering(String),
    /// The container is not as it should be (CHECK).
    #[error("{0}")]
    Check(String),
    /// No address is left.
    #[error("{0}")]
    Exhausted(String),
    /// It is there already, or somebody else has it.
    #[error("{0}")]
    Conflict(String),
    /// The agent refused for another reason.
    #[error("{0}")]
    Refused(String),
}

impl CniError {
    /// The code. 0–99 are the specification's, from 100 on they are ours.
    pub fn code(&self) -> u32 {
        match self {
            CniError::Version(_) => 1,
            CniError::Field(_) => 2,
            CniError::UnknownContainer(_) => 3,
            CniError::Environment(_) => 4,
            CniError::Io(_) => 5,
            CniError::Decode(_) => 6,
            CniError::Config(_) => 7,
            CniError::OwnNetns(_) => 8,
            CniError::TryAgain(_) => 11,
            CniError::NotAvailable(_) => 50,
            CniError::Suffering(_) => 51,
            CniError::Check(_) => 100,
            CniError::Exhausted(_) => 101,
            CniError::Conflict(_) => 102,
            CniError::Refused(_) => 103,
        }
    }

    /// The error object.
    pub fn to_json(&self, version: &str) -> Value {
        let text = self.to_string();
        let (message, details) = text.split_once('\n').unwrap_or((&text, ""));
        json!({"cniVersion": version, "code": self.code(), "msg": message, "details": details})
    }
}

impl From<ClientError> for CniError {
    fn from(error: ClientError) -> CniError {
        match error {
            ClientError::Fault(fault) => fault.into(),
            ClientError::NoAgent { .. } | ClientError::NoAnswer { .. } => {
                CniError::TryAgain(error.to_string())
            }
            ClientError::NoPermission { .. } | ClientError::Unreadable { .. } => {
                CniError::Io(error.to_string())
            }
        }
    }
}

impl From<Fault> for CniError {
    fn from(fault: Fault) -> CniError {
        let text = fault.to_string();
        match fault.kind {
            FaultKind::Invalid => CniError::Config(text),
            FaultKind::NotFound => CniError::Config(text),
            FaultKind::Conflict => CniError::Conflict(text),
            FaultKind::Exhausted => CniError::Exhausted(text),
            FaultKind::Unavailable => CniError::TryAgain(text),
            FaultKind::Denied | FaultKind::System => CniError::Refused(text),
        }
    }
}
