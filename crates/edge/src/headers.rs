//! Which headers go on, and which we write ourselves.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, CONNECTION, COOKIE, HOST, TE, UPGRADE},
};
use paastech_labels::EDGE_ANSWER;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// On answers of our own making only.
pub(crate) const OURS: HeaderName = HeaderName::from_static(EDGE_ANSWER);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Fields that concern one connection only (RFC 9110, 7.6.1), and those of proxies.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    TE,
    header::TRANSFER_ENCODING,
    UPGRADE,
];

/// What the app is told about the request's way.
pub(crate) struct Forward<'a> {
    pub(crate) client: IpAddr,
    pub(crate) authority: &'a HeaderValue,
    pub(crate) request_id: &'a HeaderValue,
    /// The protocol the client wants to change to.
    pub(crate) upgrade: Option<&'a HeaderValue>,
}

/// The protocol a request asks to change to. `h2c` is none: whoever speaks HTTP/2 to us begins with it, and a tunnel
/// would carry requests past our checks.
pub(crate) fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let protocol = headers.get(UPGRADE).filter(|_| asked)?;
    let h2c = tokens(headers, &UPGRADE).any(|token| token.eq_ignore_ascii_case("h2c"));
    (!h2c).then(|| protocol.clone())
}

/// Makes a client's headers those that the app gets.
pub(crate) fn to_app(headers: &mut HeaderMap, forward: &Forward<'_>) {
    let trailers = tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    strip_hop_by_hop(headers);
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
    // hyper has answered it: the client sends its body as we read it.
    headers.remove(header::EXPECT);
    join_cookies(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = forward.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    let client = HeaderValue::try_from(forward.client.to_canonical().to_string());
    headers.insert(FORWARDED_FOR, client.expect("an address is a header value"));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(FORWARDED_HOST, forward.authority.clone());
    headers.insert(REQUEST_ID, forward.request_id.clone());
    headers.insert(HOST, forward.authority.clone());
}

/// Makes an app's headers those that the client gets.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(OURS);
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether a header claims what only a proxy may say. Servers that turn `-` into `_` cannot tell the twins apart.
fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    name.starts_with("x-forwarded-")
        || matches!(name.as_str(), "forwarded" | "x-real-ip" | "x-request-id" | "proxy")
}

/// HTTP/2 may split cookies over several lines; HTTP/1 may not (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&lines.join(&b"; "[..]));
    headers.insert(COOKIE, joined.expect("header values joined by a header value are one"));
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.split(';').next().unwrap_or_default().trim())
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                (name, HeaderValue::try_from(*value).expect("a value"))
            })
            .collect()
    }

    fn forwarded(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = headers(lines);
        let forward = Forward {
            client: "::ffff:192.0.2.1".parse().expect("an address"),
            authority: &HeaderValue::from_static("a:8000"),
            request_id: &HeaderValue::from_static("id"),
            upgrade: None,
        };
        to_app(&mut headers, &forward);
        headers
    }

    #[test]
    fn only_we_say_where_a_request_comes_from() {
        let sent = forwarded(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-user", "root"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded_proto", "https"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x-request-id", "forged"),
            ("proxy", "http://evil"),
            ("host", "b"),
        ]);
        let expected = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a:8000"),
            ("x-request-id", "id"),
            ("host", "a:8000"),
        ];
        assert_eq!(sent, headers(&expected));
    }

    #[test]
    fn what_concerns_one_connection_stays_behind() {
        let sent = forwarded(&[
            ("connection", "close, X-Secret-Hop, x-forwarded-for, host"),
            ("connection", "x-other"),
            ("x-secret-hop", "1"),
            ("x-other", "1"),
            ("keep-alive", "5"),
            ("te", "gzip, trailers;q=1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("proxy-authorization", "Basic x"),
            ("expect", "100-continue"),
            ("trailer", "x-sum"),
            ("accept", "text/html"),
        ]);
        let kept: Vec<&str> =
            sent.keys().map(HeaderName::as_str).filter(|name| !name.starts_with("x-")).collect();
        assert_eq!(sent.len(), 8, "{sent:?}");
        for name in ["te", "trailer", "accept", "host"] {
            assert!(kept.contains(&name), "{name} in {kept:?}");
        }
        assert_eq!(sent["te"], "trailers");
        assert_eq!(sent["x-forwarded-for"], "192.0.2.1", "a client cannot have it dropped");
    }

    #[test]
    fn an_app_cannot_answer_in_our_name() {
        let mut answer =
            headers(&[("x-paastech-edge", "1"), ("connection", "close, x-a"), ("x-a", "1"), ("x-b", "1")]);
        to_client(&mut answer);
        assert_eq!(answer, headers(&[("x-b", "1")]));
    }

    #[test]
    fn split_cookies_become_one_line() {
        let sent = forwarded(&[("cookie", "a=1"), ("cookie", "b=2"), ("x-a", "1"), ("x-a", "2")]);
        assert_eq!(sent.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(sent.get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn an_upgrade_counts_only_when_the_connection_asks_for_it() {
        let wanted = |lines: &[(&str, &str)]| wanted_upgrade(&headers(lines));
        let websocket = Some(HeaderValue::from_static("websocket"));
        assert_eq!(wanted(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]), websocket);
        assert_eq!(wanted(&[("upgrade", "websocket")]), None);
        assert_eq!(wanted(&[("connection", "upgrade")]), None);
        assert_eq!(wanted(&[("connection", "upgrade"), ("upgrade", "foo, H2C")]), None);
    }
}
