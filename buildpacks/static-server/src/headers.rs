//! What stands between a request and the files: hidden names, conditions that need a date, and the answer's headers.

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_RANGE,
            IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;

/// Around everything, compression included.
pub(crate) async fn treat(mut request: Request, next: Next) -> Response {
    if is_hidden(request.uri().path()) {
        return (StatusCode::NOT_FOUND, "Not found\n").into_response();
    }
    simplify(request.headers_mut());
    let mut response = next.run(request).await;
    finish(response.headers_mut());
    response
}

/// Whether a part of the path begins with a dot. `.well-known` is meant to be seen.
fn is_hidden(path: &str) -> bool {
    let path = percent_decode_str(path).decode_utf8_lossy();
    path.split(['/', '\\']).any(|part| part.starts_with('.') && part != ".well-known")
}

/// The files have no dates, so conditions on dates are as good as absent, and so is a range that depends on one.
fn simplify(headers: &mut HeaderMap) {
    headers.remove(IF_MODIFIED_SINCE);
    headers.remove(IF_UNMODIFIED_SINCE);
    if headers.remove(IF_RANGE).is_some() {
        headers.remove(RANGE);
    }
}

fn finish(headers: &mut HeaderMap) {
    headers.remove(LAST_MODIFIED);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Kept by the browser, and asked for again each time: a 304 is cheap, and a new release shows at once.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    if headers.contains_key(CONTENT_ENCODING) {
        weaken_tag(headers);
    }
    if let Some(with_charset) = headers.get(CONTENT_TYPE).and_then(with_charset) {
        headers.insert(CONTENT_TYPE, with_charset);
    }
}

/// Compressed bytes are the same content and not the same bytes, which is what a strong tag would say.
fn weaken_tag(headers: &mut HeaderMap) {
    let strong = headers.get(ETAG).and_then(|tag| tag.to_str().ok()).filter(|tag| !tag.starts_with("W/"));
    if let Some(weak) = strong.and_then(|tag| HeaderValue::from_str(&format!("W/{tag}")).ok()) {
        headers.insert(ETAG, weak);
    }
}

fn with_charset(kind: &HeaderValue) -> Option<HeaderValue> {
    let kind = kind.to_str().ok().filter(|kind| kind.starts_with("text/") && !kind.contains("charset"))?;
    HeaderValue::from_str(&format!("{kind}; charset=utf-8")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotfiles_are_hidden_however_they_are_written() {
        for path in ["/.env", "/.git/config", "/a/.b/c", "/%2eenv", "/a/%2E%2e/b", "/a%2f.env", "/..%5c.env"]
        {
            assert!(is_hidden(path), "{path}");
        }
        for path in ["/", "/a.b", "/.well-known/security.txt", "/a/b.c/d"] {
            assert!(!is_hidden(path), "{path}");
        }
    }
}
