//! Pages of our own, for when no app answers: a sentence, no internals.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

use crate::{body::Download, headers::OURS};

const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// The page for `status`, in HTML where the client takes that.
pub(crate) fn page(status: StatusCode, request_headers: &HeaderMap) -> Response<Download> {
    let wants_html = request_headers
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/html")));
    let (title, text) = words(status);
    let (kind, page) = if wants_html {
        ("text/html; charset=utf-8", html(status, title, text))
    } else {
        ("text/plain; charset=utf-8", format!("{} {title}: {text}\n", status.as_u16()))
    };
    let mut response = Response::new(Download::page(page));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(OURS, HeaderValue::from(status.as_u16()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, RETRY_SECONDS);
    }
    response
}

fn words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::NOT_FOUND => ("Not found", "no app is served at this address."),
        StatusCode::METHOD_NOT_ALLOWED => ("Method not allowed", "this method is not for apps."),
        StatusCode::REQUEST_TIMEOUT => ("Request timeout", "the request took too long to arrive."),
        StatusCode::PAYLOAD_TOO_LARGE => ("Payload too large", "the request is larger than allowed."),
        StatusCode::MISDIRECTED_REQUEST => ("Misdirected request", "the request names two hosts."),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("Header too large", "the request has too many headers.")
        }
        StatusCode::BAD_GATEWAY => ("Bad gateway", "the app could not be reached."),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("Not available", "the app is starting or stopped; try again soon.")
        }
        StatusCode::GATEWAY_TIMEOUT => ("Gateway timeout", "the app took too long to answer."),
        _ => ("Bad request", "the request cannot be understood."),
    }
}

fn html(status: StatusCode, title: &str, text: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\n\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem;\
         color-scheme:light dark}}</style>\n<h1>{code} {title}</h1>\n<p>Sorry: {text}</p>\n</html>\n",
        code = status.as_u16(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_html_and_others_text() {
        let mut browser = HeaderMap::new();
        browser.insert(ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"));
        let kind = |headers| page(StatusCode::BAD_GATEWAY, headers).headers()[CONTENT_TYPE].clone();
        assert_eq!(kind(&browser), "text/html; charset=utf-8");
        assert_eq!(kind(&HeaderMap::new()), "text/plain; charset=utf-8");
    }

    #[test]
    fn a_page_says_that_it_is_ours() {
        assert_eq!(page(StatusCode::NOT_FOUND, &HeaderMap::new()).headers()[OURS], "404");
    }

    #[test]
    fn only_503_asks_to_come_back() {
        let retry = |status| page(status, &HeaderMap::new()).headers().contains_key(RETRY_AFTER);
        assert!(retry(StatusCode::SERVICE_UNAVAILABLE));
        assert!(!retry(StatusCode::BAD_GATEWAY));
    }
}
