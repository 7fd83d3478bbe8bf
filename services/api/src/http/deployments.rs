//! `/v1/projects/{project}/deployments`: a commit, or an earlier release.

use axum::extract::State;
use paastech_proto::git::ResolveRevisionRequest;
use paastech_types::Oid;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    extract::Json, operations::OperationView, power::submit, problem::Problem, releases, reply::Reply,
};
use crate::{
    app::App,
    auth::{Authorized, permission::need::Deploy},
    engine::Input,
    store::project,
};

/// What to deploy: at most one of `commit`, `revision` and `release`; none = the deploy branch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDeployment {
    /// A commit of the repository.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{40}$")]
    commit: Option<Oid>,
    /// A branch, a tag, or the beginning of a commit's id.
    #[schema(max_length = 200)]
    revision: Option<String>,
    /// An earlier release, by its number or its id: a rollback.
    #[schema(max_length = 40)]
    release: Option<String>,
    /// With `release`: only the image goes back, the variables stay as they are.
    #[serde(default)]
    keep_config: bool,
}

/// Deploy
///
/// A commit is built if it has not been; a release is taken as it is.
#[utoipa::path(post, path = "/v1/projects/{project}/deployments", tag = "deployments",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("Deploy"))), responses((status = 202, body = OperationView)))]
pub(crate) async fn create(
    State(app): State<App>,
    project: Authorized<Deploy>,
    Json(body): Json<NewDeployment>,
) -> Result<Reply<OperationView>, Problem> {
    let input = match (body.commit, body.revision, body.release) {
        (commit, None, None) if !body.keep_config => {
            let revision = commit.map_or_else(|| project.deploy_branch.clone(), String::from);
            commit_input(&app, &project, "commit", revision).await?
        }
        (None, Some(revision), None) if !body.keep_config => {
            commit_input(&app, &project, "revision", revision).await?
        }
        (None, None, Some(reference)) => {
            let mut tx = app.db.read().await?;
            let row = releases::find(&mut tx, project.id, &reference).await?;
            let row = row.ok_or_else(|| Problem::invalid("release", "is no release of this project"))?;
            Input::DeployRelease { release: row.id, keep_configuration: body.keep_config }
        }
        (_, _, None) if body.keep_config => {
            return Err(Problem::invalid("keep_config", "goes with `release` only"));
        }
        _ => {
            return Err(Problem::invalid("release", "only one of commit, revision and release can be given"));
        }
    };
    submit(&app, &project.caller, &project, input).await
}

/// Found before it is accepted: what does not exist is refused at once.
async fn commit_input(
    app: &App,
    project: &project::Row,
    field: &str,
    revision: String,
) -> Result<Input, Problem> {
    if !(1..=200).contains(&revision.len()) || revision.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Problem::invalid(field, "must be 1 to 200 visible ASCII characters"));
    }
    let request = ResolveRevisionRequest { project_id: project.id.to_string(), revision };
    let resolved = app.git.clone().resolve_revision(request).await.map_err(|status| match status.code() {
        tonic::Code::NotFound | tonic::Code::InvalidArgument => {
            Problem::invalid(field, "names no commit of this project; push first")
        }
        _ => status.into(),
    })?;
    let commit = resolved.into_inner().commit;
    Ok(Input::DeployCommit { commit, reason: "deployment".to_owned(), record_only: false })
}
