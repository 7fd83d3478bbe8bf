//! One directory as a site: its files, the pages for what is not there, and compression.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    extract::Request,
    http::{
        Extensions, HeaderMap, Method, StatusCode, Version,
        header::{ACCEPT, CONTENT_TYPE},
    },
    middleware,
    response::{IntoResponse, Response},
};
use tower::{Service, ServiceExt, service_fn};
use tower_http::{compression::CompressionLayer, services::ServeDir};

use crate::{content::Contents, headers};

/// The routes of the site under `root`, which must be absolute.
pub(crate) fn router(root: &Path, single_page: bool) -> Router {
    let contents = Contents::default();
    let absent = Absent { root: root.to_owned(), contents: contents.clone(), single_page };
    let files = ServeDir::with_backend(root, contents)
        .precompressed_br()
        .precompressed_gzip()
        .fallback(service_fn(move |request| answer_absent(absent.clone(), request)));
    Router::new()
        .fallback_service(files)
        .layer(CompressionLayer::new().compress_when(is_text))
        .layer(middleware::from_fn(headers::treat))
}

/// What answers for a path that no file has.
#[derive(Clone)]
struct Absent {
    root: PathBuf,
    contents: Contents,
    single_page: bool,
}

async fn answer_absent(absent: Absent, request: Request) -> Result<Response, Infallible> {
    if absent.single_page && asks_for_page(&request) {
        let (mut parts, body) = request.into_parts();
        parts.uri = "/index.html".parse().expect("a constant path is a URI");
        let page = absent.file(Request::from_parts(parts, body)).await;
        return Ok(if page.status() == StatusCode::NOT_FOUND { plain_not_found() } else { page });
    }
    let method = request.method().clone();
    let mut request = Request::new(axum::body::Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = "/404.html".parse().expect("a constant path is a URI");
    let mut page = absent.file(request).await;
    if page.status() != StatusCode::OK {
        return Ok(plain_not_found());
    }
    *page.status_mut() = StatusCode::NOT_FOUND;
    Ok(page)
}

impl Absent {
    async fn file(&self, request: Request) -> Response {
        let mut files = ServeDir::with_backend(&self.root, self.contents.clone());
        let Ok(ready) = ServiceExt::<Request>::ready(&mut files).await;
        let Ok(response) = ready.call(request).await;
        response.into_response()
    }
}

/// A page of the app, not one of its scripts or images: a missing one of those must not look like a page.
fn asks_for_page(request: &Request) -> bool {
    let headers = request.headers();
    let last = request.uri().path().rsplit('/').next().unwrap_or_default();
    let wants_html = headers
        .get(ACCEPT)
        .and_then(|kinds| kinds.to_str().ok())
        .is_none_or(|kinds| kinds.contains("text/html") || kinds.contains("*/*"));
    matches!(*request.method(), Method::GET | Method::HEAD) && wants_html && !last.contains('.')
}

fn plain_not_found() -> Response {
    (StatusCode::NOT_FOUND, "Not found\n").into_response()
}

/// Kinds of content that are not compressed already.
fn is_text(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    const ALSO_TEXT: [&str; 7] = ["json", "javascript", "xml", "wasm", "font/ttf", "font/otf", "manifest"];
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/") || ALSO_TEXT.iter().any(|text| kind.contains(text))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use axum::{
        body::Body,
        http::header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, LAST_MODIFIED, LOCATION},
    };
    use http_body_util::BodyExt;
    use tempfile::TempDir;

    use super::*;

    const SCRIPT: &str = "console.log('a script that is long enough to be worth compressing');\n";

    fn site() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("site/docs")).unwrap();
        fs::create_dir_all(root.join("site/.well-known")).unwrap();
        fs::write(root.join("secret"), "outside").unwrap();
        for (path, text) in [
            ("index.html", "<p>Hello</p>"),
            ("docs/index.html", "docs"),
            ("app.js", &SCRIPT.repeat(20)),
            ("logo.png", "0123456789"),
            (".env", "hidden"),
            (".well-known/security.txt", "Contact: us"),
        ] {
            fs::write(root.join("site").join(path), text).unwrap();
        }
        dir
    }

    struct Answer {
        status: StatusCode,
        headers: HeaderMap,
        body: Vec<u8>,
    }

    impl Answer {
        fn header(&self, name: impl axum::http::header::AsHeaderName) -> &str {
            self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
        }
    }

    async fn ask(root: &Path, single_page: bool, request: Request) -> Answer {
        let response = router(root, single_page).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(site: &TempDir, path: &str, headers: &[(&str, &str)]) -> Answer {
        call(site, Method::GET, path, headers).await
    }

    async fn call(site: &TempDir, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        ask(&site.path().join("site"), false, request.body(Body::empty()).unwrap()).await
    }

    #[tokio::test]
    async fn files_are_served_with_their_type() {
        let site = site();
        for (path, kind) in [
            ("/", "text/html; charset=utf-8"),
            ("/docs/", "text/html; charset=utf-8"),
            ("/app.js", "text/javascript; charset=utf-8"),
            ("/logo.png", "image/png"),
            ("/.well-known/security.txt", "text/plain; charset=utf-8"),
        ] {
            let answer = get(&site, path, &[]).await;
            assert_eq!((answer.status, answer.header(CONTENT_TYPE)), (StatusCode::OK, kind), "{path}");
        }
        let redirect = get(&site, "/docs", &[]).await;
        assert_eq!((redirect.status, redirect.header(LOCATION)), (StatusCode::TEMPORARY_REDIRECT, "/docs/"));
    }

    #[tokio::test]
    async fn text_is_compressed_as_the_client_likes_and_images_are_not() {
        let site = site();
        let plain = get(&site, "/app.js", &[]).await;
        for coding in ["gzip", "br"] {
            let answer = get(&site, "/app.js", &[("accept-encoding", coding)]).await;
            assert_eq!(answer.header(CONTENT_ENCODING), coding);
            assert!(answer.body.len() < plain.body.len() / 2);
            assert!(answer.header(ETAG).starts_with("W/"), "{}", answer.header(ETAG));
            let again = [("accept-encoding", coding), ("if-none-match", answer.header(ETAG))];
            assert_eq!(get(&site, "/app.js", &again).await.status, StatusCode::NOT_MODIFIED);
        }
        let image = get(&site, "/logo.png", &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(image.header(CONTENT_ENCODING), "");
    }

    #[tokio::test]
    async fn the_tag_follows_the_content_and_not_the_date() {
        let site = site();
        let path = site.path().join("site/logo.png");
        let date = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(315_532_801);
        let tag_of = async |text: &str| {
            fs::write(&path, text).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
            get(&site, "/logo.png", &[]).await.header(ETAG).to_owned()
        };
        let (first, second) = (tag_of("release one").await, tag_of("release two").await);
        assert_ne!(first, second);
        assert_eq!(first, tag_of("release one").await);
        let answer = get(&site, "/logo.png", &[("if-none-match", &first)]).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
        let dated = get(&site, "/logo.png", &[("if-modified-since", "Tue, 01 Jan 2030 00:00:00 GMT")]).await;
        assert_eq!((dated.status, dated.header(LAST_MODIFIED)), (StatusCode::OK, ""));
    }

    #[tokio::test]
    async fn ranges_are_served_and_impossible_ones_refused() {
        let site = site();
        let part = get(&site, "/logo.png", &[("range", "bytes=2-4")]).await;
        assert_eq!((part.status, part.body.as_slice()), (StatusCode::PARTIAL_CONTENT, b"234".as_slice()));
        let none = get(&site, "/logo.png", &[("range", "bytes=20-")]).await;
        assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
        let conditional = get(&site, "/logo.png", &[("range", "bytes=2-4"), ("if-range", "\"old\"")]).await;
        assert_eq!((conditional.status, conditional.body.len()), (StatusCode::OK, 10));
    }

    #[tokio::test]
    async fn head_says_what_get_would_without_a_body() {
        let site = site();
        let answer = call(&site, Method::HEAD, "/logo.png", &[]).await;
        assert_eq!(
            (answer.status, answer.header(CONTENT_LENGTH), answer.body.len()),
            (StatusCode::OK, "10", 0)
        );
        assert_eq!(answer.header(ETAG), get(&site, "/logo.png", &[]).await.header(ETAG));
        let post = call(&site, Method::POST, "/logo.png", &[]).await;
        assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn nothing_is_listed_hidden_files_stay_hidden_and_no_path_leads_out() {
        let site = site();
        fs::create_dir(site.path().join("site/empty")).unwrap();
        for path in [
            "/empty/",
            "/.env",
            "/%2eenv",
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/docs/..%2f..%2fsecret",
            "//etc/passwd",
            "/%00",
            "/app.js/",
            "/..%5csecret",
        ] {
            let answer = get(&site, path, &[]).await;
            assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
            assert!(!answer.body.windows(7).any(|part| part == b"outside"), "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_absent_is_answered_with_the_sites_own_page() {
        let site = site();
        let plain = get(&site, "/absent", &[]).await;
        assert_eq!((plain.status, plain.body.as_slice()), (StatusCode::NOT_FOUND, b"Not found\n".as_slice()));
        fs::write(site.path().join("site/404.html"), "lost").unwrap();
        let own = get(&site, "/absent", &[("if-none-match", "*"), ("range", "bytes=0-1")]).await;
        assert_eq!((own.status, own.body.as_slice()), (StatusCode::NOT_FOUND, b"lost".as_slice()));
    }

    #[tokio::test]
    async fn a_single_page_app_gets_its_page_for_its_own_routes_only() {
        let site = site();
        let visit = async |path: &str, accept: &str| {
            let request = Request::builder().uri(path).header("accept", accept).body(Body::empty());
            ask(&site.path().join("site"), true, request.unwrap()).await
        };
        let page = visit("/users/7", "text/html,*/*;q=0.8").await;
        assert_eq!((page.status, page.body.as_slice()), (StatusCode::OK, b"<p>Hello</p>".as_slice()));
        assert_eq!(page.header(CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(visit("/assets/gone.js", "*/*").await.status, StatusCode::NOT_FOUND);
        assert_eq!(visit("/users/7", "application/json").await.status, StatusCode::NOT_FOUND);
        assert_eq!(visit("/.env", "text/html").await.status, StatusCode::NOT_FOUND);
    }
}
