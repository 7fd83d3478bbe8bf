//! The frame of the OpenAPI document, and the statuses that routes share, from one list.

use http::StatusCode;
use utoipa::{
    OpenApi,
    openapi::{
        Content, OpenApi as Document, Ref, RefOr, Response, Server,
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

/// The document, with where it is true.
pub(crate) fn at(mut document: Document, public_url: Option<&str>) -> Document {
    document.servers = public_url.map(|url| vec![Server::new(url)]);
    document
}

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
type Applies = fn(&str, &Operation) -> bool;

/// The statuses that routes share. A route adds what is its own.
const SHARED: [(&str, &str, Applies); 14] = [
    ("304", "What If-None-Match names is still what there is", |method, _| method == "get"),
    ("400", "The request cannot be read, or the query holds what it must not", always),
    ("401", "Who calls is not known", always),
    ("403", "Who calls may see it, but may not do it", always),
    ("404", "There is nothing here, or nothing that is yours", always),
    ("405", "Not by this method", always),
    ("408", "The body did not arrive in time", has_body),
    ("409", "It is in the way of something else", always),
    ("412", "It has changed since what If-Match names", always),
    ("413", "The body is too large", always),
    ("415", "The body is not JSON", has_body),
    ("422", "A field cannot be taken as it is; `field` names it", always),
    ("429", "Too often; Retry-After says when again", always),
    ("503", "Not now; Retry-After says when again", always),
];

fn always(_: &str, _: &Operation) -> bool {
    true
}

fn has_body(_: &str, operation: &Operation) -> bool {
    operation.request_body.is_some()
}

/// Adds to every route what they share, and makes the operations' names unique by their tags.
pub(crate) fn finish(mut document: Document) -> Document {
    for item in document.paths.paths.values_mut() {
        let methods = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
            ("patch", &mut item.patch),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                finish_operation(method, operation);
            }
        }
    }
    document
}

fn finish_operation(method: &str, operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default().replace('-', "_");
    operation.operation_id = operation.operation_id.take().map(|name| format!("{tag}_{name}"));
    let shared: Vec<_> = SHARED.into_iter().filter(|(_, _, applies)| applies(method, operation)).collect();
    let responses = &mut operation.responses.responses;
    for (status, description, _) in shared {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Response::new(description)));
    }
    for (status, response) in responses.iter_mut() {
        if let RefOr::T(response) = response {
            finish_response(status, response);
        }
    }
}

/// A refusal's body is a problem, whoever described the status; what needs no words has those of its status.
fn finish_response(status: &str, response: &mut Response) {
    if status.starts_with(['4', '5']) && response.content.is_empty() {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        response.content.insert("application/problem+json".to_owned(), problem.into());
    }
    if response.description.is_empty() {
        let words = status.parse().ok().and_then(|status: StatusCode| status.canonical_reason());
        words.unwrap_or("An answer").clone_into(&mut response.description);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_published_document_is_this_one() {
        let published = include_str!("../../../../docs/openapi.json");
        let renew = "cargo run -p paastech-api --example openapi > docs/openapi.json";
        assert!(published.trim() == crate::openapi(), "docs/openapi.json is another one: {renew}");
    }
}
