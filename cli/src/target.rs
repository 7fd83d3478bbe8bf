//! Which API a command talks to: a URL, or the socket of the daemon on this host.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    args::Global,
    credentials::Credentials,
    environment,
    error::{Error, Result},
    output::Output,
};

/// Where the system's installation keeps its data.
const SYSTEM_DATA: &str = "/var/lib/paastech";
/// Within an installation's data: paastechd's socket, and that of an api with a folder of its own.
const SOCKETS: [&str; 2] = ["admin.sock", "api/admin.sock"];

/// Where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Over the network, with a log-in. No slash at the end.
    Url(String),
    /// The daemon on this host, which knows its peer: no log-in.
    Socket(PathBuf),
}

impl Target {
    /// Flags win over the environment, that over the last log-in; failing all, a socket found on this host.
    pub(crate) fn choose(global: &Global, saved: &Credentials, output: Output) -> Result<Self> {
        match Self::named(global, saved)? {
            Some(named) => Ok(named),
            None => Self::unnamed(find_socket(), output),
        }
    }

    fn unnamed(found: Option<PathBuf>, output: Output) -> Result<Self> {
        let found = found.ok_or_else(|| {
            Error::usage_hint(
                "no server is known yet",
                "paastech login URL, or --api URL, or --socket PATH on the server itself",
            )
        })?;
        // Nobody named it, and it makes an administrator of whoever may open it.
        output.note(&format!("no API is named: acting as the administrator through {}", found.display()));
        Ok(Self::Socket(found))
    }

    fn named(global: &Global, saved: &Credentials) -> Result<Option<Self>> {
        if let Some(path) = &global.socket {
            return Ok(Some(Self::Socket(path.clone())));
        }
        if let Some(url) = &global.api {
            return parse_url(url).map(Self::Url).map(Some);
        }
        if let Some(path) = environment::text("PAASTECH_SOCKET") {
            return Ok(Some(Self::Socket(path.into())));
        }
        if let Some(url) = environment::text("PAASTECH_API") {
            return parse_url(&url).map(Self::Url).map(Some);
        }
        Ok(saved.current.clone().map(Self::Url))
    }

    /// What a request's path is appended to.
    pub(crate) fn base(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Socket(_) => "http://localhost",
        }
    }

    /// The socket, if it is one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        match self {
            Self::Url(_) => None,
            Self::Socket(path) => Some(path),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

fn find_socket() -> Option<PathBuf> {
    let folders = environment::data_dir().into_iter().chain([PathBuf::from(SYSTEM_DATA)]);
    folders.flat_map(|folder| SOCKETS.map(|socket| folder.join(socket))).find(|path| path.exists())
}

/// The form under which a log-in is kept: no slash at the end, no `/v1`.
pub(crate) fn parse_url(text: &str) -> Result<String> {
    let bad = |why: &str| {
        Error::usage_hint(
            format!("'{text}' is not an API address: {why}"),
            "for example https://api.example.org",
        )
    };
    let url = reqwest::Url::parse(text).map_err(|_| bad("it begins with https:// or http://"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("it begins with https:// or http://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it has no ? and no #"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it holds no user name and no password"));
    }
    let url = url.as_str().trim_end_matches('/');
    Ok(url.strip_suffix("/v1").unwrap_or(url).to_owned())
}

/// Whether this address leads to the machine itself: no proxy, and no warning about plain HTTP.
pub(crate) fn is_loopback(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else { return false };
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    localhost_name(text).is_some()
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host of this address, where it is a name that means the machine itself (RFC 6761).
pub(crate) fn localhost_name(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    url.host_str().filter(|host| *host == "localhost" || host.ends_with(".localhost")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(api: Option<&str>, socket: Option<&str>) -> Global {
        Global { api: api.map(str::to_owned), socket: socket.map(PathBuf::from), ..Global::default() }
    }

    #[test]
    fn a_flag_wins_over_the_saved_log_in() {
        let saved =
            Credentials { current: Some("https://saved.example".to_owned()), ..Credentials::default() };
        assert_eq!(
            Target::named(&flags(Some("http://127.0.0.1:8080/"), None), &saved).unwrap(),
            Some(Target::Url("http://127.0.0.1:8080".to_owned()))
        );
        assert_eq!(
            Target::named(&flags(None, Some("/run/x.sock")), &saved).unwrap(),
            Some(Target::Socket("/run/x.sock".into()))
        );
    }

    #[test]
    fn without_any_server_the_hint_says_how_to_name_one() {
        let error = Target::unnamed(None, Output::new(true)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.hint().unwrap().contains("paastech login URL"));
        assert_eq!(
            Target::unnamed(Some("/x".into()), Output::new(true)).unwrap(),
            Target::Socket("/x".into())
        );
    }

    #[test]
    fn the_sockets_of_the_delivered_configurations_are_searched() {
        let read = |file: &str| -> toml::Table {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
            std::fs::read_to_string(folder.join(file)).unwrap().parse().unwrap()
        };
        let searched = SOCKETS.map(|socket| format!("{SYSTEM_DATA}/{socket}"));
        let embedded = read("embedded.production.toml");
        assert_eq!(embedded["data_dir"].as_str(), Some(SYSTEM_DATA));
        let services = read("../compose/config/services.toml");
        assert_eq!(services["api"]["admin_socket"].as_str(), Some(searched[1].as_str()));
    }

    #[test]
    fn addresses_are_kept_in_one_form() {
        for text in ["https://a.example", "https://a.example/", "https://a.example/v1/", "HTTPS://A.example"]
        {
            assert_eq!(parse_url(text).unwrap(), "https://a.example", "{text}");
        }
        for text in ["a.example", "ftp://a.example", "https://u:p@a.example", "https://a.example/?x=1", ""] {
            assert_eq!(parse_url(text).unwrap_err().exit_code(), 2, "{text}");
        }
    }

    #[test]
    fn loopback_is_told_apart() {
        for url in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "http://api.localhost:80"] {
            assert!(is_loopback(url), "{url}");
        }
        assert!(!is_loopback("http://localhost.example"));
    }
}
