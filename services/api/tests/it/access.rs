//! Every documented route against everybody: nobody known, a stranger, each role of the project, an administrator.

use std::collections::{HashMap, HashSet};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    harness::{Client, Reply, Server, on_each_database},
    openapi::{Route, routes},
};

/// Things of Ada's that the paths name.
struct World {
    ids: HashMap<&'static str, String>,
}

impl World {
    async fn make(server: &Server, ada: &Client) -> Self {
        let project = ada.project("shop").await;
        ada.deploy(&project).await;
        let operations = ada.get(&format!("/v1/projects/{project}/operations")).await;
        let operation =
            operations.expect(StatusCode::OK).await["items"][0]["id"].as_str().unwrap().to_owned();
        let nothing = "01890000-0000-7000-8000-000000000000".to_owned();
        assert!(server.fakes.repositories() > 0);
        Self {
            ids: HashMap::from([
                ("project", project),
                ("operation", operation),
                ("release", "1".to_owned()),
                ("name", "MODE".to_owned()),
                ("key", nothing.clone()),
                ("account", nothing.clone()),
                ("invitation", nothing),
            ]),
        }
    }

    fn path(&self, template: &str) -> String {
        let parts = template.split('/').map(|part| match part.strip_prefix('{') {
            Some(name) => self.ids[name.trim_end_matches('}')].as_str(),
            None => part,
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// A body that is refused before it does anything: who gets as far as to have it read, may.
async fn probe(client: &Client, world: &World, route: &Route) -> u16 {
    let method = Method::from_bytes(route.method.to_uppercase().as_bytes()).unwrap();
    let mut path = world.path(&route.path);
    if path.ends_with("/logs") || path.ends_with("/log") {
        path.push_str("?follow=false");
    }
    // Nothing happens to what has changed since.
    let request = client.request(method, &path).header("if-match", "\"v0\"");
    let request = if route.operation.get("requestBody").is_some() {
        request.json(&json!({ "no such field": 1 }))
    } else {
        request
    };
    Reply::of(request).await.status()
}

/// What each role may, as the API itself tells.
async fn permissions(root: &Client) -> HashMap<String, HashSet<String>> {
    let roles = root.get("/v1/roles").await.expect(StatusCode::OK).await;
    let roles = roles["items"].as_array().unwrap().clone();
    roles
        .into_iter()
        .map(|role| {
            let granted = role["permissions"].as_array().unwrap().iter();
            let granted = granted.map(|name| name.as_str().unwrap().to_owned()).collect();
            (role["name"].as_str().unwrap().to_owned(), granted)
        })
        .collect()
}

async fn join(server: &Server, project: &str, client: &Client, role: &str) {
    let me = client.get("/v1/account").await.expect(StatusCode::OK).await;
    server.add_member(project, me["id"].as_str().unwrap(), role).await;
}

#[tokio::test]
async fn every_route_answers_every_role_by_its_permissions() {
    on_each_database(async |server| {
        let root = server.administrator().await;
        let ada = server.user("ada").await;
        let world = World::make(server, &ada).await;
        let roles = permissions(&root).await;
        let (developer, viewer) = (server.user("dev").await, server.user("view").await);
        join(server, &world.ids["project"], &developer, "developer").await;
        join(server, &world.ids["project"], &viewer, "viewer").await;
        let eve = server.user("eve").await;
        let everybody = [
            ("owner", ada, "owner", "user"),
            ("developer", developer, "developer", "user"),
            ("viewer", viewer, "viewer", "user"),
            ("stranger", eve, "", "user"),
            ("administrator", root, "", "administrator"),
        ];
        let mut denied = 0;
        for route in routes(server).await {
            let name = format!("{} {}", route.method, route.path);
            let public = route.operation["security"].as_array().is_some_and(|all| all.contains(&json!({})));
            let known = probe(&server.nobody(), &world, &route).await;
            assert_eq!(known == 401, !public, "{name}: {known} for nobody known");
            // Ends the session that asks.
            if route.path.starts_with("/v1/sessions") {
                continue;
            }
            let Some(needed) = route.operation["x-permission"].as_str() else { continue };
            let tenants = route.path.contains("{project}") || route.path.contains("{operation}");
            for (who, client, project_role, role) in &everybody {
                let mut held = roles[*role].clone();
                held.extend(roles.get(*project_role).cloned().unwrap_or_default());
                let status = probe(client, &world, &route).await;
                let expected = match (held.contains(needed), tenants && !held.contains("Read")) {
                    (_, true) => Some(404),
                    (false, _) => Some(403),
                    (true, _) => None,
                };
                match expected {
                    Some(expected) => {
                        assert_eq!(status, expected, "{name} for {who}");
                        denied += 1;
                    }
                    None => assert!(!matches!(status, 401 | 403 | 500..), "{name}: {status} for {who}"),
                }
            }
        }
        assert!(denied > 40, "the matrix denied only {denied} times");
    })
    .await;
}

#[tokio::test]
async fn a_developer_uses_secrets_but_neither_sets_nor_replaces_them() {
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        let developer = server.user("dev").await;
        join(server, &project, &developer, "developer").await;
        let path = format!("/v1/projects/{project}/variables/KEY");
        let secret = json!({ "value": "s3cret-value", "kind": "secret" });
        developer.send(Method::PUT, &path, &secret).await.refused(403, "forbidden").await;
        ada.send(Method::PUT, &path, &secret).await.expect(StatusCode::OK).await;
        developer
            .send(Method::PUT, &path, &json!({ "value": "plain" }))
            .await
            .refused(403, "forbidden")
            .await;
        developer.delete(&path).await.refused(403, "forbidden").await;
        let listed = developer.get(&format!("/v1/projects/{project}/variables")).await;
        let listed = listed.expect(StatusCode::OK).await;
        assert_eq!(listed["items"][0]["name"], "KEY");
        assert!(!listed.to_string().contains("s3cret-value"));
        let plain = format!("/v1/projects/{project}/variables/MODE");
        developer.send(Method::PUT, &plain, &json!({ "value": "fast" })).await.expect(StatusCode::OK).await;
    })
    .await;
}
