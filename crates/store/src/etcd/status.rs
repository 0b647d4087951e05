//! Errors on the wire: etcd's codes and texts, which its clients compare.
//!
//! The texts are those of etcd's `rpctypes` package. A client that gets one back knows
//! which of our errors it is; the numbers that the wire does not carry (which revision,
//! which lease) it fills in from its own request.

use tonic::{Code, Status};

use crate::error::{InvalidRequest, StoreError};
use crate::types::{LeaseId, MAX_LEASE_TTL_SECONDS, MAX_TXN_OPS, Revision};

pub(super) const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
const LEASE_NOT_FOUND: &str = "etcdserver: requested lease not found";
const LEASE_EXISTS: &str = "etcdserver: lease already exists";
const LEASE_TTL: &str = "etcdserver: too large lease TTL";
const EMPTY_KEY: &str = "etcdserver: key is not provided";
const KEY_NOT_FOUND: &str = "etcdserver: key not found";
const VALUE_PROVIDED: &str = "etcdserver: value is provided";
const LEASE_PROVIDED: &str = "etcdserver: lease is provided";
const TOO_MANY_OPS: &str = "etcdserver: too many operations in txn request";
const DUPLICATE_KEY: &str = "etcdserver: duplicate key given in txn request";

/// What the request was about, for errors that name it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About {
    pub(super) revision: Revision,
    pub(super) lease: LeaseId,
}

/// To the wire.
pub(super) fn to_status(error: &StoreError) -> Status {
    match error {
        StoreError::Compacted { .. } => Status::out_of_range(COMPACTED),
        StoreError::FutureRevision { .. } => Status::out_of_range(FUTURE),
        StoreError::LeaseNotFound { .. } => Status::not_found(LEASE_NOT_FOUND),
        StoreError::LeaseExists { .. } => Status::failed_precondition(LEASE_EXISTS),
        StoreError::Unavailable { .. } => Status::unavailable(error.to_string()),
        StoreError::Denied { .. } => Status::permission_denied(error.to_string()),
        StoreError::InUse { .. } | StoreError::Corrupt { .. } | StoreError::Io { .. } => {
            Status::internal(error.to_string())
        }
        StoreError::Invalid(invalid) => invalid_to_status(invalid),
    }
}

/// To the wire, of a request that could not be parsed.
pub(super) fn invalid_to_status(invalid: &InvalidRequest) -> Status {
    match invalid {
        InvalidRequest::EmptyKey => Status::invalid_argument(EMPTY_KEY),
        InvalidRequest::DuplicateKey => Status::invalid_argument(DUPLICATE_KEY),
        InvalidRequest::KeyNotFound => Status::invalid_argument(KEY_NOT_FOUND),
        InvalidRequest::ValueProvided => Status::invalid_argument(VALUE_PROVIDED),
        InvalidRequest::LeaseProvided => Status::invalid_argument(LEASE_PROVIDED),
        InvalidRequest::TooManyOps { .. } => Status::invalid_argument(TOO_MANY_OPS),
        InvalidRequest::LeaseTtlTooLarge { .. } => Status::out_of_range(LEASE_TTL),
        InvalidRequest::Malformed(why) | InvalidRequest::NotStored(why) => {
            Status::invalid_argument(why.clone())
        }
    }
}

/// From the wire.
pub(super) fn from_status(status: &Status, endpoint: &str, about: About) -> StoreError {
    match status.message() {
        COMPACTED => {
            let compact_revision = Revision::NONE;
            StoreError::Compacted {
                requested: about.revision,
                compact_revision,
            }
        }
        FUTURE => StoreError::FutureRevision {
            requested: about.revision,
        },
        LEASE_NOT_FOUND => StoreError::LeaseNotFound { lease: about.lease },
        LEASE_EXISTS => StoreError::LeaseExists { lease: about.lease },
        LEASE_TTL => InvalidRequest::LeaseTtlTooLarge {
            max_seconds: MAX_LEASE_TTL_SECONDS,
        }
        .into(),
        EMPTY_KEY => InvalidRequest::EmptyKey.into(),
        KEY_NOT_FOUND => InvalidRequest::KeyNotFound.into(),
        VALUE_PROVIDED => InvalidRequest::ValueProvided.into(),
        LEASE_PROVIDED => InvalidRequest::LeaseProvided.into(),
        TOO_MANY_OPS => InvalidRequest::TooManyOps { max: MAX_TXN_OPS }.into(),
        DUPLICATE_KEY => InvalidRequest::DuplicateKey.into(),
        _ => by_code(status, endpoint),
    }
}

fn by_code(status: &Status, endpoint: &str) -> StoreError {
    let (endpoint, cause) = (endpoint.to_owned(), status.message().to_owned());
    match status.code() {
        Code::PermissionDenied | Code::Unauthenticated => StoreError::Denied { endpoint, cause },
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => {
            InvalidRequest::Malformed(cause).into()
        }
        code => StoreError::Unavailable {
            endpoint,
            cause: format!("{cause} ({code:?})"),
        },
    }
}

/// Whether the connection failed rather than the remote store: worth another connection.
pub(super) fn is_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some() || status.code() == Code::Unavailable
}
