//! `/v1/builders`: what builds repositories without a Dockerfile.

use axum::extract::State;
use paastech_proto::pomegranate::{self, ListBuildersRequest};
use serde::Serialize;
use utoipa::ToSchema;

use super::{problem::Problem, releases::BuildpackView, reply::Reply};
use crate::{app::App, auth::Caller};

/// What repositories can be built with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuildersView {
    /// Those that are on this platform, the default one first.
    items: Vec<BuilderView>,
    /// Others that a repository may name: a name, or with a * at its end all that begin so.
    allowed: Vec<String>,
}

/// A builder image.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuilderView {
    image: String,
    /// What apps run in.
    run_image: String,
    /// The version of the Platform API that its builds speak.
    platform_api: String,
    buildpacks: Vec<BuildpackView>,
    /// Why no build can use it; absent when builds can.
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<String>,
}

impl From<pomegranate::Builder> for BuilderView {
    fn from(builder: pomegranate::Builder) -> Self {
        Self {
            image: builder.image,
            run_image: builder.run_image,
            platform_api: builder.platform_api,
            buildpacks: builder.buildpacks.into_iter().map(BuildpackView::from).collect(),
            unusable: Some(builder.unusable).filter(|why| !why.is_empty()),
        }
    }
}

/// List builders
#[utoipa::path(get, path = "/v1/builders", tag = "builds", responses((status = 200, body = BuildersView)))]
pub(crate) async fn list(State(app): State<App>, _: Caller) -> Result<Reply<BuildersView>, Problem> {
    let listed = app.pomegranate.clone().list_builders(ListBuildersRequest {}).await?.into_inner();
    let items = listed.builders.into_iter().map(BuilderView::from).collect();
    Ok(Reply::ok(BuildersView { items, allowed: listed.allowed }))
}
