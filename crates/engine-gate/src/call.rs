//! The requests that pass, each parsed to the last character; all else is refused.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::reference::normal;

/// One of the requests that the trusted phases need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    /// `HEAD /_ping`
    Ping,
    /// `GET /version`
    Version,
    /// `GET /info`
    Info,
    /// `GET /images/{reference}/json`
    Inspect(String),
    /// `GET /images/{reference}/history`
    History(String),
    /// `GET /images/get?names={reference}`
    Save(String),
    /// `POST /images/load`
    Load,
    /// `POST /images/{id}/tag`: the name that the image was loaded with, again
    Tag {
        /// What gets the name.
        reference: String,
        /// The name.
        name: String,
    },
}

/// A parsed request: the API version it was made for, if any, and what it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// As in `/v1.41`.
    pub(crate) version: Option<String>,
    /// What it asks.
    pub(crate) call: Call,
}

/// Parses; `None` for everything that is none of the calls.
pub(crate) fn parse(method: &Method, path: &str, query: Option<&str>) -> Option<Request> {
    let (version, path) = split_version(path);
    let call = match (method.as_str(), path) {
        ("HEAD", "/_ping") => bare(query, Call::Ping),
        ("GET", "/version") => bare(query, Call::Version),
        ("GET", "/info") => bare(query, Call::Info),
        ("GET", "/images/get") => names(query?).map(Call::Save),
        ("POST", "/images/load") => matches!(query, None | Some("quiet=1" | "quiet=0")).then_some(Call::Load),
        (verb, _) => of_image(verb, path.strip_prefix("/images/")?, query),
    }?;
    Some(Request { version, call })
}

fn of_image(verb: &str, rest: &str, query: Option<&str>) -> Option<Call> {
    let (reference, what) = rest.rsplit_once('/')?;
    let reference = decoded(reference)?;
    match (verb, what) {
        ("GET", "json") => bare(query, Call::Inspect(reference)),
        ("GET", "history") => bare(query, Call::History(reference)),
        ("POST", "tag") => tag(query?).map(|name| Call::Tag { reference, name }),
        _ => None,
    }
}

fn bare(query: Option<&str>, call: Call) -> Option<Call> {
    query.is_none_or(str::is_empty).then_some(call)
}

fn names(query: &str) -> Option<String> {
    decoded(query.strip_prefix("names=")?)
}

fn tag(query: &str) -> Option<String> {
    let (mut repository, mut tag) = (None, None);
    for pair in query.split('&') {
        match pair.split_once('=')? {
            ("repo", value) if repository.is_none() => repository = Some(value),
            ("tag", value) if tag.is_none() => tag = Some(value),
            _ => return None,
        }
    }
    decoded(&format!("{}:{}", repository?, tag?))
}

fn decoded(text: &str) -> Option<String> {
    normal(&percent_decode_str(text).decode_utf8().ok()?)
}

/// The API version of a path, and the rest.
pub(crate) fn split_version(path: &str) -> (Option<String>, &str) {
    let parts = path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/'));
    match parts {
        Some((minor, _))
            if (1..=3).contains(&minor.len()) && minor.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            (Some(format!("v1.{minor}")), &path["/v1.".len() + minor.len()..])
        }
        _ => (None, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, query: Option<&str>) -> Option<Call> {
        parse(&Method::GET, path, query).map(|request| request.call)
    }

    #[test]
    fn the_needed_calls_are_read() {
        assert_eq!(
            get("/v1.41/images/registry.example/pt-a/b:c/json", None),
            Some(Call::Inspect("pt-a/b:c".into()))
        );
        assert_eq!(get("/images/a%2Fb:c/history", None), Some(Call::History("a/b:c".into())));
        assert_eq!(get("/v1.41/images/get", Some("names=a%3Ab")), Some(Call::Save("a:b".into())));
        let tag = parse(&Method::POST, "/v1.41/images/a:b/tag", Some("repo=registry.example%2Fa&tag=b"));
        let name = "a:b".to_owned();
        assert_eq!(tag.map(|request| request.call), Some(Call::Tag { reference: name.clone(), name }));
        let ping = parse(&Method::HEAD, "/_ping", None);
        assert_eq!(ping, Some(Request { version: None, call: Call::Ping }));
    }

    #[test]
    fn what_only_resembles_them_is_not() {
        let paths = [
            "/v1.41/images/a/../../containers/json",
            "/v1.41/images/..%2f..%2fcontainers/json",
            "/v1.41//images/a/json",
            "/v1.41/images/json",
            "/v1.41/v1.41/version",
            "/v1.x/version",
            "/version/",
            "/images//json",
            "/images/get/json/",
        ];
        for path in paths {
            assert_eq!(get(path, None), None, "{path}");
        }
        assert_eq!(get("/images/get", Some("names=a&names=b")), None);
        assert_eq!(get("/images/get", Some("names=a%26names%3Db")), None);
        assert_eq!(get("/version", Some("x=1")), None);
        assert_eq!(parse(&Method::POST, "/images/a/tag", Some("repo=a&tag=b&force=1")), None);
        assert_eq!(parse(&Method::POST, "/images/load", Some("platform=x")), None);
    }
}
