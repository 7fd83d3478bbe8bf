//! Which host a request is for.

use http::{HeaderValue, StatusCode, Version, header::HOST, request::Parts, uri::Authority};
use paastech_labels::HostName;

/// Which host a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// What routes are found by.
    pub(crate) host: HostName,
    /// As the client wrote it, port and all.
    pub(crate) authority: HeaderValue,
}

/// Reads it from the request line or `:authority`, and from the `Host` header.
///
/// # Errors
/// 400 without a host, or with two or a malformed one; 421 when `:authority` and `Host` differ; 404 for an address
/// that can be nobody's host name.
pub(crate) fn target(parts: &Parts) -> Result<Target, StatusCode> {
    let mut headers = parts.headers.get_all(HOST).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let header = header.map(read).transpose()?;
    let line = parts.uri.authority().map(from_authority).transpose()?;
    let is_h2 = parts.version == Version::HTTP_2;
    match (line, header) {
        (Some(line), Some(header)) if line.host != header.host => {
            Err(if is_h2 { StatusCode::MISDIRECTED_REQUEST } else { StatusCode::BAD_REQUEST })
        }
        (Some(line), None) if is_h2 => Ok(line),
        (_, Some(header)) => Ok(header),
        (_, None) => Err(StatusCode::BAD_REQUEST),
    }
}

fn from_authority(authority: &Authority) -> Result<Target, StatusCode> {
    read(&HeaderValue::from_str(authority.as_str()).map_err(|_| StatusCode::BAD_REQUEST)?)
}

fn read(value: &HeaderValue) -> Result<Target, StatusCode> {
    let text = value.to_str().map_err(|_| StatusCode::BAD_REQUEST)?;
    if text.starts_with('[') {
        let literal = text.parse::<Authority>().is_ok();
        return Err(if literal { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST });
    }
    let (name, port) = text.split_once(':').unwrap_or((text, "80"));
    if !port.is_empty() && (port.len() > 5 || !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let host = name.parse().map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Target { host, authority: value.clone() })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn ask(version: Version, uri: &str, hosts: &[&str]) -> Result<Target, StatusCode> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        target(&request.body(()).expect("a request").into_parts().0)
    }

    fn host(answer: Result<Target, StatusCode>) -> Result<String, u16> {
        answer.map(|target| target.host.to_string()).map_err(|status| status.as_u16())
    }

    #[test]
    fn the_host_is_found_without_its_port_case_and_final_dot() {
        for text in [
            "a.localhost",
            "A.LocalHost",
            "a.localhost:8000",
            "a.localhost.",
            "a.localhost.:80",
            "a.localhost:",
        ] {
            assert_eq!(host(ask(Version::HTTP_11, "/", &[text])), Ok("a.localhost".to_owned()), "{text}");
        }
    }

    #[test]
    fn the_authority_goes_on_as_it_was_written() {
        let target = ask(Version::HTTP_11, "/", &["A.localhost:8000"]).expect("a host");
        assert_eq!(target.authority, "A.localhost:8000");
    }

    #[test]
    fn no_host_two_hosts_and_malformed_ones_are_400() {
        assert_eq!(host(ask(Version::HTTP_11, "/", &[])), Err(400));
        assert_eq!(host(ask(Version::HTTP_11, "/", &["a", "a"])), Err(400));
        for text in [
            "", "a b", "a/b", "a@b", "user@a", "a:b", "a:1:2", "a:123456", "a..b", "-a", "a_b", "*.a", "a,b",
            "a`", "[::1", ":80",
        ] {
            assert_eq!(host(ask(Version::HTTP_11, "/", &[text])), Err(400), "{text:?}");
        }
        assert_eq!(host(ask(Version::HTTP_11, "/", &["[::1]:80"])), Err(404));
    }

    #[test]
    fn a_request_line_that_names_another_host_is_refused() {
        assert_eq!(host(ask(Version::HTTP_11, "http://a/x", &["a"])), Ok("a".to_owned()));
        assert_eq!(host(ask(Version::HTTP_11, "http://a/x", &["b"])), Err(400));
        assert_eq!(host(ask(Version::HTTP_11, "http://a/x", &[])), Err(400));
        assert_eq!(host(ask(Version::HTTP_2, "http://a/x", &[])), Ok("a".to_owned()));
        assert_eq!(host(ask(Version::HTTP_2, "http://a/x", &["a"])), Ok("a".to_owned()));
        assert_eq!(host(ask(Version::HTTP_2, "http://a/x", &["b"])), Err(421));
        assert_eq!(host(ask(Version::HTTP_2, "http://u@a/x", &[])), Err(400));
    }
}
