//! The document: valid, complete, and of the same mind as the routes.

use std::collections::HashSet;

use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::{Server, on_each_database};

/// One documented route.
pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) operation: Value,
}

pub(crate) async fn routes(server: &Server) -> Vec<Route> {
    let document = server.nobody().get("/openapi.json").await.expect(StatusCode::OK).await;
    let paths = document["paths"].as_object().unwrap().clone();
    paths
        .into_iter()
        .flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().clone();
            operations.into_iter().map(move |(method, operation)| Route {
                method,
                path: path.clone(),
                operation,
            })
        })
        .collect()
}

#[tokio::test]
async fn every_reference_resolves_and_every_name_is_unique() {
    on_each_database(async |server| {
        let document = server.nobody().get("/openapi.json").await.expect(StatusCode::OK).await;
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut references = Vec::new();
        collect_references(&document, &mut references);
        assert!(references.len() > 100);
        for reference in references {
            let pointer = reference.strip_prefix('#').expect("inside the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let mut names = HashSet::new();
        for route in routes(server).await {
            let name = route.operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name.clone()), "{name} twice");
            let declared: HashSet<&str> = route.operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let in_path: HashSet<&str> =
                route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(declared, in_path, "{} {}", route.method, route.path);
        }
    })
    .await;
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect_references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_documents_the_shared_statuses_as_problems() {
    on_each_database(async |server| {
        for Route { method, path, operation } in routes(server).await {
            let responses = operation["responses"].as_object().unwrap();
            for status in ["400", "401", "403", "404", "405", "409", "412", "413", "422", "429", "503"] {
                let content = &responses[status]["content"];
                assert!(content.get("application/problem+json").is_some(), "{method} {path} {status}");
            }
            for status in ["500", "502", "504"] {
                assert!(!responses.contains_key(status), "{method} {path} {status}");
            }
            assert!(responses.values().all(|response| response["description"].is_string()));
            assert_eq!(
                operation.get("requestBody").is_some(),
                responses.contains_key("415"),
                "{method} {path}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_page_for_people_shows_every_route_and_needs_nothing_else() {
    on_each_database(async |server| {
        let page = server.nobody().get("/docs").await;
        assert_eq!(page.status(), 200);
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
        let html = page.0.text().await.unwrap();
        for route in routes(server).await {
            assert!(html.contains(&format!("<code>{}</code>", route.path)), "{}", route.path);
        }
        assert!(!html.contains("<script") && !html.contains("src="));
    })
    .await;
}
