//! What an installation's proxy may see: that installation's containers, without their environment, mounts or commands.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use paastech_labels::{instance_selector, names::INSTANCE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, error, json as json_answer},
    call::split_version,
    engine,
    gate::{passed_on, whole},
    metrics, server,
};

/// Events by which a route can change; those of a container's inside tell commands.
const EVENTS: [&str; 9] =
    ["create", "start", "die", "stop", "destroy", "pause", "unpause", "health_status", "rename"];
/// Filters that a question may have.
const FILTERS: [&str; 5] = ["label", "health", "status", "type", "event"];

/// Serves that view at `socket`, of the engine at `engine`, until the future is dropped.
///
/// # Errors
/// The socket cannot be made.
pub fn watch(socket: PathBuf, engine: PathBuf, instance: String) -> io::Result<impl Future<Output = ()>> {
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    metrics::register();
    let (listener, view) = (server::bind(&socket)?, Arc::new(View { engine, instance }));
    Ok(server::serve(listener, move |request| {
        let view = Arc::clone(&view);
        async move {
            let answer = view.answer(&request).await;
            metrics::count("proxy", answer.status());
            answer
        }
    }))
}

struct View {
    engine: PathBuf,
    instance: String,
}

/// A parsed question.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    Ping,
    Version,
    /// The containers, with these filters.
    List {
        all: bool,
        filters: Filters,
    },
    /// A container by its id or name.
    Inspect(String),
    /// What happens, from then on.
    Events {
        since: Option<String>,
        until: Option<String>,
        filters: Filters,
    },
}

type Filters = BTreeMap<String, Vec<String>>;

/// As old and new clients write a filter.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Set(BTreeMap<String, bool>),
}

fn parse(method: &Method, path: &str, query: Option<&str>) -> Option<Question> {
    let query = query.filter(|query| !query.is_empty());
    match (method.as_str(), path) {
        ("GET" | "HEAD", "/_ping") => query.is_none().then_some(Question::Ping),
        ("GET", "/version") => query.is_none().then_some(Question::Version),
        ("GET", "/containers/json") => {
            let mut all = false;
            let mut filters = Filters::new();
            for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
                match name.as_ref() {
                    "all" => all = boolean(&value)?,
                    "filters" => filters = parse_filters(&value)?,
                    "limit" | "size" if matches!(value.as_ref(), "0" | "false") => {}
                    _ => return None,
                }
            }
            Some(Question::List { all, filters })
        }
        ("GET", "/events") => {
            let (mut since, mut until, mut filters) = (None, None, Filters::new());
            for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
                match name.as_ref() {
                    "since" => since = Some(timestamp(&value)?),
                    "until" => until = Some(timestamp(&value)?),
                    "filters" => filters = parse_filters(&value)?,
                    _ => return None,
                }
            }
            Some(Question::Events { since, until, filters })
        }
        ("GET", _) => {
            let name = path.strip_prefix("/containers/")?.strip_suffix("/json")?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            let known =
                !name.is_empty() && name.len() <= 128 && name.bytes().all(plain) && !name.starts_with('.');
            let query = query.filter(|query| !matches!(*query, "size=false" | "size=0"));
            (known && query.is_none()).then(|| Question::Inspect(name.to_owned()))
        }
        _ => None,
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "true" | "True" => Some(true),
        "0" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Seconds, with a fraction perhaps.
fn timestamp(text: &str) -> Option<String> {
    let plain = !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.to_owned())
}

fn parse_filters(text: &str) -> Option<Filters> {
    let parsed: BTreeMap<String, Values> = serde_json::from_str(text).ok()?;
    parsed
        .into_iter()
        .map(|(name, values)| {
            let values = match values {
                Values::List(values) => values,
                Values::Set(values) => {
                    values.into_iter().filter_map(|(value, on)| on.then_some(value)).collect()
                }
            };
            FILTERS.contains(&name.as_str()).then_some((name, values))
        })
        .collect()
}

impl View {
    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let (method, uri) = (request.method(), request.uri());
        let (version, path) = split_version(uri.path());
        let Some(question) = parse(method, path, uri.query()) else {
            tracing::warn!(%method, path = uri.path(), "the proxy's gate refused a request");
            return error(StatusCode::FORBIDDEN, "the proxy may not ask the engine for that");
        };
        let prefix = version.map(|version| format!("/{version}")).unwrap_or_default();
        match self.ask(&prefix, method, question).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::warn!(path = uri.path(), error = %failure, "the engine could not be asked");
                error(StatusCode::BAD_GATEWAY, "the engine does not answer")
            }
        }
    }

    async fn ask(&self, prefix: &str, method: &Method, question: Question) -> io::Result<Answer> {
        let send = |path: String| async move {
            engine::send(&self.engine, method.clone(), &format!("{prefix}{path}"), engine::empty()).await
        };
        match question {
            Question::Ping => Ok(passed_on(send("/_ping".to_owned()).await?)),
            Question::Version => Ok(passed_on(send("/version".to_owned()).await?)),
            Question::List { all, filters } => {
                let path = format!("/containers/json?all={all}&filters={}", self.filters(filters));
                let (status, found) = whole(send(path).await?).await?;
                let Value::Array(found) = found else { return Ok(json_answer(status, &found)) };
                Ok(json_answer(status, &Value::Array(found.iter().map(listed).collect())))
            }
            Question::Inspect(name) => {
                let (status, found) = whole(send(format!("/containers/{name}/json")).await?).await?;
                if status.is_success() && found["Config"]["Labels"][INSTANCE] != json!(self.instance) {
                    let text = format!("No such container: {name}");
                    return Ok(error(StatusCode::NOT_FOUND, &text));
                }
                Ok(json_answer(status, &if status.is_success() { inspected(&found) } else { found }))
            }
            Question::Events { since, until, mut filters } => {
                filters.insert("type".to_owned(), vec!["container".to_owned()]);
                filters.insert("event".to_owned(), EVENTS.map(str::to_owned).to_vec());
                let mut path = format!("/events?filters={}", self.filters(filters));
                for (name, value) in [("since", since), ("until", until)] {
                    if let Some(value) = value {
                        path.push_str(&format!("&{name}={value}"));
                    }
                }
                Ok(passed_on(send(path).await?))
            }
        }
    }

    /// Theirs, and that it is this installation's.
    fn filters(&self, mut filters: Filters) -> String {
        filters.entry("label".to_owned()).or_default().push(instance_selector(&self.instance));
        utf8_percent_encode(&json!(filters).to_string(), NON_ALPHANUMERIC).to_string()
    }
}

/// Those of a document's fields.
fn kept(of: &Value, names: &[&str]) -> Map<String, Value> {
    let of = of.as_object();
    names.iter().filter_map(|name| Some(((*name).to_owned(), of?.get(*name)?.clone()))).collect()
}

fn networks(of: &Value) -> Value {
    let networks = of["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
    let address =
        |network: &Value| Value::Object(kept(network, &["IPAddress", "GlobalIPv6Address", "NetworkID"]));
    json!({ "Networks": Map::from_iter(networks.map(|(name, network)| (name.clone(), address(network)))) })
}

fn listed(container: &Value) -> Value {
    let mut view = kept(container, &["Id", "Names", "Created", "State", "Status", "Labels", "Ports"]);
    view.insert("HostConfig".to_owned(), Value::Object(kept(&container["HostConfig"], &["NetworkMode"])));
    view.insert("NetworkSettings".to_owned(), networks(container));
    Value::Object(view)
}

fn inspected(container: &Value) -> Value {
    let mut state = kept(
        &container["State"],
        &["Status", "Running", "Paused", "Restarting", "Dead", "ExitCode", "StartedAt", "FinishedAt"],
    );
    let health = &container["State"]["Health"];
    if health.is_object() {
        let mut seen = kept(health, &["Status", "FailingStreak"]);
        let checks = health["Log"].as_array().into_iter().flatten();
        let checks = checks.map(|check| Value::Object(kept(check, &["Start", "End", "ExitCode"]))).collect();
        seen.insert("Log".to_owned(), Value::Array(checks));
        state.insert("Health".to_owned(), Value::Object(seen));
    }
    let mut view = kept(container, &["Id", "Name", "Created"]);
    let parts = [
        ("State", Value::Object(state)),
        ("Config", Value::Object(kept(&container["Config"], &["Labels", "ExposedPorts"]))),
        ("HostConfig", Value::Object(kept(&container["HostConfig"], &["NetworkMode"]))),
        ("NetworkSettings", networks(container)),
    ];
    view.extend(parts.map(|(name, part)| (name.to_owned(), part)));
    Value::Object(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(target: &str) -> Option<Question> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        parse(&Method::GET, path, query)
    }

    #[test]
    fn filters_of_old_and_new_clients_mean_the_same() {
        let wanted = Filters::from([("label".to_owned(), vec!["a=b".to_owned()])]);
        for text in [r#"{"label":["a=b"]}"#, r#"{"label":{"a=b":true,"c":false}}"#] {
            assert_eq!(parse_filters(text).as_ref(), Some(&wanted), "{text}");
        }
        for text in [r#"{"volume":["x"]}"#, r#"{"label":"a"}"#, "[]", ""] {
            assert_eq!(parse_filters(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_odd_is_no_question() {
        assert!(parsed("/containers/json?all=1&filters=%7B%7D").is_some());
        assert!(parsed("/events?since=1700000000.5").is_some());
        for target in [
            "/containers/json?all=maybe",
            "/containers/json?before=x",
            "/containers/json?all=1&limit=5",
            "/events?since=1;x",
            "/containers/../json",
            "/containers/a%2fb/json",
            "/containers/a/top",
            "/containers/a/json?size=1",
            "/containers//json",
        ] {
            assert_eq!(parsed(target), None, "{target}");
        }
    }

    #[test]
    fn environment_mounts_and_commands_are_left_out() {
        let container = json!({
            "Id": "1", "Name": "/x", "Path": "/bin/sh", "Args": ["-c"], "Mounts": [{ "Source": "/host" }],
            "Config": { "Env": ["SECRET=1"], "Cmd": ["x"], "Labels": { "a": "b" } },
            "HostConfig": { "Binds": ["/host:/x"], "NetworkMode": "n" },
            "State": { "Status": "running", "Pid": 7, "Health": { "Status": "healthy", "Log": [
                { "Start": "s", "End": "e", "ExitCode": 0, "Output": "told" }] } },
            "NetworkSettings": { "SandboxKey": "/run", "Networks": { "n": { "IPAddress": "1.2.3.4", "Links": null } } },
        });
        let seen = inspected(&container).to_string();
        for hidden in ["SECRET", "/host", "/bin/sh", "Pid", "told", "Sandbox", "Links"] {
            assert!(!seen.contains(hidden), "{hidden}: {seen}");
        }
        for kept in ["1.2.3.4", "healthy", "\"ExitCode\":0", "\"a\":\"b\""] {
            assert!(seen.contains(kept), "{kept}: {seen}");
        }
    }
}
