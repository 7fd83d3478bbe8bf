//! `/openapi.json`, and the same for people at `/docs`: one page without scripts, made at the start.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Extension,
    response::{Html, IntoResponse},
};
use http::{HeaderName, HeaderValue, header};
use serde_json::Value;
use utoipa::openapi::OpenApi;

/// Both, ready to send.
#[derive(Clone)]
pub(crate) struct Pages {
    json: Arc<str>,
    html: Arc<str>,
}

impl Pages {
    pub(crate) fn new(document: &OpenApi) -> Self {
        let value = serde_json::to_value(document).expect("the document is plain data");
        Self { json: value.to_string().into(), html: render(&value).into() }
    }
}

pub(crate) async fn openapi(Extension(pages): Extension<Pages>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], pages.json.to_string())
}

pub(crate) async fn page(Extension(pages): Extension<Pages>) -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    let headers: [(HeaderName, HeaderValue); 1] =
        [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy))];
    (headers, Html(pages.html.to_string()))
}

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
<meta name=viewport content='width=device-width,initial-scale=1'><title>PaaSTech API</title><style>\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\
h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}details{margin:.5rem 0;border:1px solid #d0d7de;border-radius:6px;\
padding:.5rem .75rem}summary{cursor:pointer}code,b.m{font-family:ui-monospace,monospace}b.m{display:inline-block;\
min-width:4.5rem;text-transform:uppercase}table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{text-align:left;\
vertical-align:top;padding:.2rem .75rem .2rem 0;border-top:1px solid #eaeef2}.q{color:#57606a}\
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}details,h2,td,th{border-color:#30363d}\
.q{color:#9198a1}a{color:#58a6ff}}</style>";

/// The page: one block per route, grouped by tag.
fn render(document: &Value) -> String {
    let mut page = String::from(HEAD);
    let info = &document["info"];
    push(
        &mut page,
        format_args!("<h1>{} API</h1><p>{}</p>", text(&info["title"]), text(&info["description"])),
    );
    page.push_str("<p>The same for programs: <a href='/openapi.json'>openapi.json</a></p>");
    let routes = routes(document);
    let mut tags: Vec<&str> = routes.iter().map(|route| route.tag).collect();
    tags.dedup();
    for tag in tags {
        push(&mut page, format_args!("<h2>{}</h2>", escape(tag)));
        for route in routes.iter().filter(|route| route.tag == tag) {
            render_route(&mut page, document, route);
        }
    }
    page
}

struct Route<'a> {
    tag: &'a str,
    method: &'a str,
    path: &'a str,
    operation: &'a Value,
}

/// In the order of their tags.
fn routes(document: &Value) -> Vec<Route<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let mut routes: Vec<Route<'_>> = paths
        .flat_map(|(path, item)| item.as_object().into_iter().flatten().map(move |found| (path, found)))
        .map(|(path, (method, operation))| Route {
            tag: operation["tags"][0].as_str().unwrap_or("other"),
            method,
            path,
            operation,
        })
        .collect();
    routes.sort_by_key(|route| (route.tag, route.path, route.method));
    routes
}

fn render_route(page: &mut String, document: &Value, route: &Route<'_>) {
    let (operation, path) = (route.operation, escape(route.path));
    push(
        page,
        format_args!(
            "<details><summary><b class=m>{}</b> <code>{path}</code> <span class=q>{}</span></summary><p>{}</p>",
            escape(route.method),
            text(&operation["summary"]),
            text(&operation["description"])
        ),
    );
    if let Some(permission) = operation["x-permission"].as_str() {
        push(page, format_args!("<p class=q>Needs the permission <code>{}</code>.</p>", escape(permission)));
    }
    let parameters: Vec<_> = operation["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        page.push_str("<table><tr><th>Parameter<th>In<th>");
        for one in parameters {
            let (name, place) = (text(&one["name"]), text(&one["in"]));
            push(
                page,
                format_args!("<tr><td><code>{name}</code><td>{place}<td>{}", text(&one["description"])),
            );
        }
        page.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    render_fields(page, document, body, "Body");
    page.push_str("<table><tr><th>Status<th>");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        push(page, format_args!("<tr><td>{}<td>{}", escape(status), text(&response["description"])));
        render_fields(page, document, &response["content"]["application/json"]["schema"], "Answer");
    }
    page.push_str("</table></details>");
}

/// The fields of an object schema, one level deep.
fn render_fields(page: &mut String, document: &Value, schema: &Value, title: &str) {
    let schema = resolve(document, schema);
    let Some(fields) = schema["properties"].as_object() else { return };
    push(page, format_args!("<table><tr><th>{title}<th>Type<th>"));
    for (name, field) in fields {
        let shown = resolve(document, field);
        let kind = match &shown["type"] {
            Value::String(kind) => kind.clone(),
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            _ => "object".to_owned(),
        };
        let (name, about) = (escape(name), text(&field["description"]));
        push(page, format_args!("<tr><td><code>{name}</code><td>{}<td>{about}", escape(&kind)));
    }
    page.push_str("</table>");
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/components/schemas/"));
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&quot;")
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}
