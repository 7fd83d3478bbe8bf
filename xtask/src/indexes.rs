//! The package indexes that this host was told to use, for the builds of its apps too.

use http::Uri;

/// Read by pip, npm and Go.
const NAMES: [&str; 6] =
    ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "NPM_CONFIG_REGISTRY", "GOPROXY", "GOSUMDB", "GONOSUMDB"];

/// Those of the variables that builds can use: not what only this host reaches, and no password for tenants to read.
pub(crate) fn of(variable: impl Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    let set = NAMES.into_iter().filter_map(|name| Some((name, variable(name)?)));
    set.filter(|(_, value)| value.split([',', '|', ' ']).all(is_for_everybody)).collect()
}

fn is_for_everybody(part: &str) -> bool {
    let Ok(uri) = part.parse::<Uri>() else { return true };
    let Some(authority) = uri.authority().filter(|_| uri.scheme().is_some()) else { return true };
    let host = authority.host();
    !authority.as_str().contains('@')
        && host != "localhost"
        && !host.starts_with("127.")
        && !matches!(host, "[::1]" | "0.0.0.0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_get_what_they_can_reach_and_no_password() {
        let find = |given: &'static [(&str, &str)]| {
            of(move |name| given.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(
            find(&[
                ("PIP_INDEX_URL", "https://index.example/simple"),
                ("GOPROXY", "https://go.example,direct")
            ]),
            [
                ("PIP_INDEX_URL", "https://index.example/simple".to_owned()),
                ("GOPROXY", "https://go.example,direct".to_owned())
            ]
        );
        assert_eq!(find(&[("GOSUMDB", "off"), ("PATH", "/bin")]), [("GOSUMDB", "off".to_owned())]);
        for value in [
            "http://localhost:1/simple",
            "http://127.0.0.1/",
            "http://[::1]:8/",
            "https://me:secret@index.example/",
        ] {
            assert!(of(|name| (name == "PIP_INDEX_URL").then(|| value.to_owned())).is_empty(), "{value}");
        }
    }
}
