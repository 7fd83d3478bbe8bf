//! `/v1/projects/{project}/variables`: plain ones can be read back, secret ones never.

use std::collections::BTreeMap;

use axum::extract::State;
use paastech_runtime::Secret;
use paastech_types::VariableName;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    extract::{IfMatch, Json, Path, Query},
    operations::OperationView,
    power::leave_pushes,
    problem::Problem,
    reply::{Reply, etag},
};
use crate::{
    app::App,
    auth::{
        Authorized,
        permission::{
            Permission,
            need::{Read, WriteConfiguration},
        },
    },
    configuration::{self, Change, Setting},
    engine::{self, Input, NewOperation},
    store::{operation, project, variable},
};

const MAX_VALUE: usize = 64 * 1024;
const MAX_ALL: usize = 512 * 1024;

/// Whether a value can be read back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VariableKind {
    /// It can.
    #[default]
    Plain,
    /// Never.
    Secret,
}

/// A variable.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VariableView {
    name: String,
    kind: VariableKind,
    /// Of plain ones only.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Whether builds see it, too.
    build: bool,
    set_at: i64,
}

impl From<variable::Row> for VariableView {
    fn from(row: variable::Row) -> Self {
        // What is not known to be plain is not shown.
        let plain = row.kind == "plain";
        Self {
            kind: if plain { VariableKind::Plain } else { VariableKind::Secret },
            value: plain.then_some(row.value),
            name: row.name,
            build: row.build.0,
            set_at: row.set_at,
        }
    }
}

/// A project's variables.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VariablesView {
    items: Vec<VariableView>,
    configuration_version: i64,
    /// What brings the change to the running app; absent when nothing is deployed, or with `deploy=false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<OperationView>,
}

/// List a project's variables
///
/// Secrets by name only.
#[utoipa::path(get, path = "/v1/projects/{project}/variables", tag = "variables",
    params(("project" = String, Path, description = "Its id, or the slug of one's own")),
    extensions(("x-permission" = json!("Read"))), responses((status = 200, body = VariablesView)))]
pub(crate) async fn list(
    State(app): State<App>,
    project: Authorized<Read>,
) -> Result<Reply<VariablesView>, Problem> {
    let mut tx = app.db.read().await?;
    let version = project.configuration_version;
    let rows = variable::list(&mut tx, project.id, version).await?;
    let items = rows.into_iter().map(VariableView::from).collect();
    Ok(Reply::ok(VariablesView { items, configuration_version: version, operation: None }).version(version))
}

/// What a variable becomes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariableBody {
    /// At most 64 KiB, without NUL.
    #[schema(value_type = String, max_length = 65536)]
    value: Secret,
    /// plain when absent.
    #[serde(default)]
    kind: VariableKind,
    /// Whether builds see it, too: false when absent.
    #[serde(default)]
    build: bool,
}

impl VariableBody {
    fn setting(self, field: &str) -> Result<Setting, Problem> {
        let text = self.value.expose();
        if text.len() > MAX_VALUE || text.contains('\0') {
            return Err(Problem::invalid(field, "must have at most 65536 bytes, none of them NUL"));
        }
        Ok(Setting { secret: self.kind == VariableKind::Secret, value: self.value, build: self.build })
    }
}

/// Several variables at once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariablesChange {
    /// By name.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, VariableBody>)]
    set: BTreeMap<VariableName, VariableBody>,
    /// Names; what is not set already is left out.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    unset: Vec<VariableName>,
}

/// Whether a change is deployed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Effect {
    /// Whether the running app gets the change at once: true when absent.
    deploy: Option<bool>,
}

/// Set and unset variables
///
/// All at once: one new configuration, one deployment.
#[utoipa::path(patch, path = "/v1/projects/{project}/variables", tag = "variables",
    params(("project" = String, Path, description = "Its id, or the slug of one's own"), Effect),
    extensions(("x-permission" = json!("WriteConfiguration"))),
    responses((status = 200, body = VariablesView, description = "Nothing is deployed by it"),
        (status = 202, body = VariablesView, description = "`operation` deploys it")))]
pub(crate) async fn change(
    State(app): State<App>,
    project: Authorized<WriteConfiguration>,
    Query(effect): Query<Effect>,
    condition: IfMatch,
    Json(body): Json<VariablesChange>,
) -> Result<Reply<VariablesView>, Problem> {
    let mut change = Change::new();
    for (name, variable) in body.set {
        let setting = variable.setting(&format!("set.{name}.value"))?;
        change.insert(name.into(), Some(setting));
    }
    for name in body.unset {
        if change.insert(name.into(), None).is_some_and(|set| set.is_some()) {
            return Err(Problem::invalid("unset", "names a variable that `set` sets"));
        }
    }
    apply(&app, &project, &condition, change, effect).await
}

/// Set a variable
#[utoipa::path(put, path = "/v1/projects/{project}/variables/{name}", tag = "variables",
    params(("project" = String, Path, description = "Its id, or the slug of one's own"),
        ("name" = String, Path), Effect),
    extensions(("x-permission" = json!("WriteConfiguration"))),
    responses((status = 200, body = VariablesView, description = "Nothing is deployed by it"),
        (status = 202, body = VariablesView, description = "`operation` deploys it")))]
pub(crate) async fn set(
    State(app): State<App>,
    project: Authorized<WriteConfiguration>,
    path: Path<(String, String)>,
    Query(effect): Query<Effect>,
    condition: IfMatch,
    Json(body): Json<VariableBody>,
) -> Result<Reply<VariablesView>, Problem> {
    let name: VariableName = path.0.1.parse().map_err(|error| Problem::name("name", &error))?;
    let change = Change::from([(name.into(), Some(body.setting("value")?))]);
    apply(&app, &project, &condition, change, effect).await
}

/// Unset a variable
#[utoipa::path(delete, path = "/v1/projects/{project}/variables/{name}", tag = "variables",
    params(("project" = String, Path, description = "Its id, or the slug of one's own"),
        ("name" = String, Path), Effect),
    extensions(("x-permission" = json!("WriteConfiguration"))),
    responses((status = 200, body = VariablesView, description = "Nothing is deployed by it"),
        (status = 202, body = VariablesView, description = "`operation` deploys it")))]
pub(crate) async fn unset(
    State(app): State<App>,
    project: Authorized<WriteConfiguration>,
    path: Path<(String, String)>,
    Query(effect): Query<Effect>,
    condition: IfMatch,
) -> Result<Reply<VariablesView>, Problem> {
    let (_, name) = path.0;
    let mut tx = app.db.read().await?;
    let rows = variable::list(&mut tx, project.id, project.configuration_version).await?;
    drop(tx);
    if !rows.iter().any(|row| row.name == name) {
        return Err(Problem::not_found());
    }
    apply(&app, &project, &condition, Change::from([(name, None)]), effect).await
}

async fn apply(
    app: &App,
    authorized: &Authorized<WriteConfiguration>,
    condition: &IfMatch,
    change: Change,
    effect: Effect,
) -> Result<Reply<VariablesView>, Problem> {
    let deploys = effect.deploy.unwrap_or(true);
    let (mut view, operation) = write(app, authorized, condition, change, deploys).await?;
    let version = view.configuration_version;
    let Some(row) = operation else { return Ok(Reply::ok(view).version(version)) };
    app.engine.wake();
    let location = format!("/v1/operations/{}", row.id);
    view.operation = Some(OperationView::new(app, row)?);
    Ok(Reply::accepted(location, view).version(version))
}

async fn write(
    app: &App,
    authorized: &Authorized<WriteConfiguration>,
    condition: &IfMatch,
    change: Change,
    deploys: bool,
) -> Result<(VariablesView, Option<operation::Row>), Problem> {
    let (account, now) = (authorized.caller.account, app.clock.now_ms());
    let mut tx = app.db.begin().await?;
    let project = project::lock(&mut tx, authorized.id).await?.ok_or_else(Problem::not_found)?;
    condition.check(&etag(project.configuration_version))?;
    let before = variable::list(&mut tx, project.id, project.configuration_version).await?;
    if touches_secret(&change, &before) && !authorized.seen.allows(Permission::WriteSecret) {
        return Err(Problem::forbidden(Permission::WriteSecret.name()));
    }
    let version = configuration::apply(&mut tx, &app.vault, &project, change, (account, now)).await?;
    let rows = variable::list(&mut tx, project.id, version).await?;
    check_size(app, &rows)?;
    let changed = version != project.configuration_version;
    let runs = project.active_release_id.0.is_some() && project.desired_state == "running";
    let operation = if changed && runs && deploys {
        leave_pushes(&mut tx, project.id, &Input::Reconfigure).await?;
        let new =
            NewOperation { project_id: project.id, input: Input::Reconfigure, created_by: Some(account) };
        Some(engine::submit(&app.engine, &mut tx, new).await?)
    } else {
        None
    };
    tx.commit().await?;
    let items = rows.into_iter().map(VariableView::from).collect();
    Ok((VariablesView { items, configuration_version: version, operation: None }, operation))
}

/// Setting a secret, and setting or unsetting over one.
fn touches_secret(change: &Change, before: &[variable::Row]) -> bool {
    let sets = change.values().flatten().any(|setting| setting.secret);
    sets || before.iter().any(|row| row.kind != "plain" && change.contains_key(&row.name))
}

fn check_size(app: &App, rows: &[variable::Row]) -> Result<(), Problem> {
    let bytes: usize = rows.iter().map(|row| row.name.len() + row.value.len()).sum();
    if rows.len() > app.config.quotas.max_variables as usize || bytes > MAX_ALL {
        return Err(Problem::invalid("set", "would be more variables than a project may have"));
    }
    Ok(())
}
