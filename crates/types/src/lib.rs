//! The vocabulary every crate shares: ids, validated names, kinds of error.

pub mod id;
pub mod kind;
pub mod name;
pub mod oid;

pub use id::{
    AccountId, BuildId, ImageRowId, InvitationId, KeyId, OperationId, ParseIdError, ProjectId, PushId,
    ReleaseId, RoleId, SessionId,
};
pub use kind::{Failure, Kind};
pub use name::{Branch, DisplayName, EmailAddress, InvalidName, Slug, VariableName};
pub use oid::Oid;
