//! The HTTP API: routes, and the layers around them.

mod accounts;
mod builders;
mod cache;
mod conditional;
mod deployments;
mod docs;
mod extract;
mod idempotency;
mod invitations;
mod listener;
mod openapi;
mod operation_log;
mod operations;
mod power;
mod probes;
pub(crate) mod problem;
mod projects;
mod releases;
mod reply;
mod request;
mod roles;
mod runtime;
mod sessions;
mod setup;
mod ssh_keys;
mod stream;
mod variables;
mod visitors;

use axum::{Router, middleware, routing::get};
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use self::listener::{Admission, Listener};
use crate::{app::App, config::Config};

/// Every documented route.
fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::version))
        .routes(routes!(setup::create))
        .routes(routes!(accounts::create, accounts::list))
        .routes(routes!(accounts::change))
        .routes(routes!(accounts::me))
        .routes(routes!(accounts::change_password))
        .routes(routes!(sessions::create, sessions::delete_all))
        .routes(routes!(sessions::refresh))
        .routes(routes!(sessions::delete_current))
        .routes(routes!(ssh_keys::create, ssh_keys::list))
        .routes(routes!(ssh_keys::read, ssh_keys::delete))
        .routes(routes!(projects::create, projects::list))
        .routes(routes!(projects::read, projects::change, projects::delete))
        .routes(routes!(variables::list, variables::change))
        .routes(routes!(variables::set, variables::unset))
        .routes(routes!(deployments::create))
        .routes(routes!(releases::list))
        .routes(routes!(releases::read))
        .routes(routes!(power::stop))
        .routes(routes!(power::start))
        .routes(routes!(operations::list_builds))
        .routes(routes!(cache::clear))
        .routes(routes!(builders::list))
        .routes(routes!(runtime::status))
        .routes(routes!(runtime::logs))
        .routes(routes!(runtime::stats))
        .routes(routes!(operations::list))
        .routes(routes!(operations::read))
        .routes(routes!(operations::cancel))
        .routes(routes!(operation_log::log))
        .routes(routes!(invitations::create, invitations::list))
        .routes(routes!(invitations::delete))
        .routes(routes!(roles::list))
}

/// The API's document, as `docs/openapi.json` has it.
///
/// # Panics
/// Never: the document is plain data.
#[must_use]
pub fn openapi() -> String {
    let document = openapi::finish(documented().into_openapi());
    serde_json::to_string_pretty(&document).expect("the document is plain data")
}

/// The whole service: what both listeners serve.
pub(crate) fn router(app: App) -> Router {
    let (router, api) = documented().split_for_parts();
    let api = openapi::at(openapi::finish(api), app.config.public_url.as_deref());
    let pages = docs::Pages::new(&api);
    let cors = cors(&app.config);
    router
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::page))
        .layer(axum::Extension(pages))
        .method_not_allowed_fallback(probes::wrong_method)
        .fallback(probes::unknown)
        .layer(middleware::from_fn_with_state(app.clone(), idempotency::layer))
        .layer(middleware::from_fn(request::detach))
        .layer(middleware::from_fn(conditional::layer))
        .layer(CatchPanicLayer::custom(request::on_panic))
        .layer(cors)
        .layer(middleware::from_fn(request::layer))
        .with_state(app)
}

fn cors(config: &Config) -> CorsLayer {
    use http::{Method, header};
    let origins: Vec<_> = config.cors_origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            http::HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([header::ETAG, header::LOCATION, header::RETRY_AFTER])
}
