//! The frame of the OpenAPI document, and the statuses that routes share, from one list.

use utoipa::{
    OpenApi,
    openapi::{
        Content, OpenApi as Document, Ref, RefOr, Response,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::problem::Problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "PaaSTech",
        description = "Make projects, push code to them, see it served. Errors are `application/problem+json` \
                       with a stable `code`; collections have cursors; every POST but those that give \
                       credentials takes an `Idempotency-Key`; times are milliseconds since 1970.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(Problem))
)]
struct Frame;

/// The document without its paths.
pub(crate) fn frame() -> Document {
    let mut document = Frame::openapi();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    document
}

/// When a route shares a status.
type Applies = fn(&Operation) -> bool;

/// The statuses that routes share. A route adds what is its own.
const SHARED: [(&str, &str, Applies); 13] = [
    ("304", "What If-None-Match names is still what there is", |_| true),
    ("400", "The request cannot be read, or the query holds what it must not", |_| true),
    ("401", "Who calls is not known", |_| true),
    ("403", "Who calls may see it, but may not do it", |_| true),
    ("404", "There is nothing here, or nothing that is yours", |_| true),
    ("405", "Not by this method", |_| true),
    ("408", "The body did not arrive in time", has_body),
    ("409", "It is in the way of something else", |_| true),
    ("412", "It has changed since what If-Match names", |_| true),
    ("413", "The body is too large", |_| true),
    ("415", "The body is not JSON", has_body),
    ("422", "A field cannot be taken as it is; `field` names it", |_| true),
    ("429", "Too often; Retry-After says when again", |_| true),
];

fn has_body(operation: &Operation) -> bool {
    operation.request_body.is_some()
}

/// Adds the shared statuses to every route.
pub(crate) fn finish(mut document: Document) -> Document {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            add_shared(operation);
        }
    }
    document
}

fn add_shared(operation: &mut Operation) {
    for (status, description, applies) in SHARED {
        if applies(operation) {
            add(operation, status, description);
        }
    }
    add(operation, "503", "Not now; Retry-After says when again");
}

/// A refusal's body is a problem, also where the route describes the status itself.
fn add(operation: &mut Operation, status: &str, description: &str) {
    let entry = operation.responses.responses.entry(status.to_owned());
    let described = entry.or_insert_with(|| RefOr::T(Response::new(description)));
    if let RefOr::T(response) = described
        && status != "304"
        && response.content.is_empty()
    {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        response.content.insert("application/problem+json".to_owned(), problem.into());
    }
}
