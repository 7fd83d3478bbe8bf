//! The closed list of permissions. Which role has which is data: tables `role` and `role_permission`.

/// What somebody may do. Roles are stored sets of names; those that no route asks for yet are not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Permission {
    Read,
    ReadLogs,
    Push,
    Deploy,
    WriteConfiguration,
    WriteSecret,
    ManageProject,
    DeleteProject,
    CreateProject,
    ManageAccounts,
}

impl Permission {
    /// Its name in the database and in documents.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::ReadLogs => "ReadLogs",
            Self::Push => "Push",
            Self::Deploy => "Deploy",
            Self::WriteConfiguration => "WriteConfiguration",
            Self::WriteSecret => "WriteSecret",
            Self::ManageProject => "ManageProject",
            Self::DeleteProject => "DeleteProject",
            Self::CreateProject => "CreateProject",
            Self::ManageAccounts => "ManageAccounts",
        }
    }
}

/// The permissions that somebody holds, by name as stored: an unknown name grants nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Permissions(Vec<String>);

impl Permissions {
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Whether this one is among them.
    pub(crate) fn allow(&self, permission: Permission) -> bool {
        self.0.iter().any(|name| name == permission.name())
    }
}

/// A permission as a type, so that a handler's signature says what it needs.
pub(crate) trait Need: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

/// The types that stand for permissions.
pub(crate) mod need {
    use super::{Need, Permission};

    macro_rules! needs {
        ($($name:ident)*) => {$(
            #[doc = concat!("Stands for `Permission::", stringify!($name), "`.")]
            pub(crate) struct $name;
            impl Need for $name {
                const PERMISSION: Permission = Permission::$name;
            }
        )*};
    }

    needs! { Read ReadLogs Deploy WriteConfiguration ManageProject DeleteProject CreateProject ManageAccounts }
}
