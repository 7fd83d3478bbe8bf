//! Who may build from a Dockerfile.

use paastech_db::{DbError, Tx};
use paastech_types::{AccountId, ProjectId};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::store::{account, project};

/// Who may build from a Dockerfile. Such builds share the engine's own builder, so the default is careful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DockerfilePolicy {
    /// Nobody.
    Off,
    /// Accounts that the administrator marked, and administrators.
    Trusted,
    /// Everybody.
    All,
}

/// Whether a build that `by` asked for, or else the project's owner, may use a Dockerfile; if not, why.
pub(crate) async fn refusal(
    engine: &Engine,
    tx: &mut Tx,
    project: ProjectId,
    by: Option<AccountId>,
) -> Result<Option<String>, DbError> {
    match engine.dockerfile {
        DockerfilePolicy::All => return Ok(None),
        DockerfilePolicy::Off => {
            return Ok(Some("builds from a Dockerfile are switched off here".to_owned()));
        }
        DockerfilePolicy::Trusted => {}
    }
    let by = match by {
        Some(account) => Some(account),
        None => project::get(tx, project).await?.map(|row| row.owner_id),
    };
    let account = match by {
        Some(account) => account::get(tx, account).await?,
        None => None,
    };
    Ok(match account {
        Some(row) if row.trusted.0 || row.role == "administrator" => None,
        Some(row) => Some(format!(
            "builds from a Dockerfile are for trusted accounts here: an administrator trusts yours with \
             `paastech accounts trust {}`",
            row.email
        )),
        None => Some("builds from a Dockerfile are for trusted accounts here".to_owned()),
    })
}
