//! What the platform may ask: which releases are routed. Never on the clients' address.

use std::{io, net::SocketAddr, sync::Arc};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use hyper::body::Incoming;
use paastech_labels::Routes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    RouteTable,
    accept::{ClientConnection, Handler},
    body::Download,
    synced::Synced,
};

/// Answers the platform.
pub(crate) struct Internal {
    pub(crate) table: Arc<RouteTable>,
    pub(crate) synced: Synced,
}

impl Handler for Internal {
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Arc<ClientConnection>,
    ) -> Response<Download> {
        let busy = client.pulse.begin(request.version());
        self.answer(&request).map(|body| body.ending(None, busy))
    }
}

/// Asks the edge at this internal address whether it has seen what there is to route.
///
/// # Errors
/// It does not answer, or not yet.
pub async fn check_health(internal: SocketAddr) -> io::Result<()> {
    const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(internal).await?;
    stream.write_all(REQUEST).await?;
    let mut answer = String::new();
    stream.take(1024).read_to_string(&mut answer).await?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(io::Error::other(answer.lines().last().unwrap_or("no answer").to_owned())),
    }
}

impl Internal {
    fn answer(&self, request: &Request<Incoming>) -> Response<Download> {
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        match request.uri().path() {
            "/healthz" if self.synced.get() => text(StatusCode::OK, "ok\n"),
            "/healthz" => text(StatusCode::SERVICE_UNAVAILABLE, "the engine has not answered yet\n"),
            "/routes" => self.routes(request.uri().query()),
            _ => text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn routes(&self, query: Option<&str>) -> Response<Download> {
        let host =
            query.into_iter().flat_map(|query| query.split('&')).find_map(|pair| pair.strip_prefix("host="));
        let body = Routes { routes: self.table.routes(host), draining: self.table.draining(host) };
        let json = serde_json::to_string(&body).expect("texts and numbers are JSON");
        let mut response = text(StatusCode::OK, json);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

fn text(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<Download> {
    let mut response = Response::new(Download::page(text));
    *response.status_mut() = status;
    response
}
