//! The closed list of kinds of error, with its maps to gRPC codes and HTTP statuses.

use http::StatusCode;
use tonic::{Code, Status};

/// What an error means to whoever made the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong and stays wrong.
    Invalid,
    /// Nobody is known to have made it.
    Unauthenticated,
    /// Known, but without the permission.
    Forbidden,
    /// Absent, or not the caller's to see.
    NotFound,
    /// It exists already, or something else is at work on it.
    Conflict,
    /// A fence, an ETag or a state that has moved on.
    Precondition,
    /// A limit or quota.
    Exhausted,
    /// Try again later.
    Unavailable,
    /// The deadline has passed.
    Timeout,
    /// Ours.
    Internal,
}

impl Kind {
    /// Every kind, once.
    pub const ALL: [Self; 10] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::Precondition,
        Self::Exhausted,
        Self::Unavailable,
        Self::Timeout,
        Self::Internal,
    ];

    /// One-to-one, so that a remote error decodes to the same kind.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Invalid => Code::InvalidArgument,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Forbidden => Code::PermissionDenied,
            Self::NotFound => Code::NotFound,
            Self::Conflict => Code::AlreadyExists,
            Self::Precondition => Code::FailedPrecondition,
            Self::Exhausted => Code::ResourceExhausted,
            Self::Unavailable => Code::Unavailable,
            Self::Timeout => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
        }
    }

    /// The kind of a code that another service answered with.
    #[must_use]
    pub fn from_code(code: Code) -> Self {
        match code {
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PermissionDenied => Self::Forbidden,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists | Code::Aborted => Self::Conflict,
            Code::FailedPrecondition => Self::Precondition,
            Code::ResourceExhausted => Self::Exhausted,
            Code::Unavailable | Code::Cancelled => Self::Unavailable,
            Code::DeadlineExceeded => Self::Timeout,
            Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
                Self::Internal
            }
        }
    }

    /// The HTTP status. A failure of ours behind the api is 503, never 502 or 504: the client can only retry.
    #[must_use]
    pub fn http(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Precondition => StatusCode::PRECONDITION_FAILED,
            Self::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name used in `problem+json` codes and log fields.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Precondition => "precondition",
            Self::Exhausted => "exhausted",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}

/// What leaves a service when a call fails: a kind, and a text fit for the caller's eyes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What it means to the caller.
    pub kind: Kind,
    /// One sentence, without internal detail.
    pub message: String,
}

impl Failure {
    /// A failure of this kind with this text.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        Status::new(failure.kind.code(), failure.message)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::new(Kind::from_code(status.code()), status.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_survives_the_wire() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(kind.code()), kind);
        }
    }

    #[test]
    fn no_kind_answers_bad_gateway() {
        for kind in Kind::ALL {
            assert!(!matches!(kind.http().as_u16(), 502 | 504), "{kind:?}");
        }
    }
}
