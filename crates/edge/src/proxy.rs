//! A request's way: checked, sent to a server of the release that has its host, and answered.

use std::{pin::pin, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, UPGRADE},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use paastech_runtime::{Shutdown, trace::Trace};
use tokio::time::sleep_until;

use crate::{
    EdgeConfig, RouteTable,
    accept::{ClientConnection, Handler},
    access::Access,
    body::{Cut, Download, Upload},
    config::ms,
    headers::{self, Forward, REQUEST_ID},
    host,
    metrics::METRICS,
    page::page,
    server::{InFlight, Server},
    synced::Synced,
    table::Way,
    tunnel::{self, Tunnel},
};

/// Connections tried for one request before the pause; after it the table is read again, once.
const CONNECTS: usize = 3;
/// How long a container that was just replaced takes to be known as such.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers clients.
pub(crate) struct Proxy {
    pub(crate) table: Arc<RouteTable>,
    pub(crate) synced: Synced,
    pub(crate) config: Arc<EdgeConfig>,
    pub(crate) shutdown: Shutdown,
}

/// Why one attempt failed.
enum Failure {
    /// No connection: nothing was sent.
    Connect,
    /// Whatever it was, it is the answer.
    Final(StatusCode),
}

impl Handler for Proxy {
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Arc<ClientConnection>,
    ) -> Response<Download> {
        let busy = client.pulse.begin(request.version());
        let request_id = Trace::random().to_string();
        let log = self.config.access_log;
        let mut access = log.then(|| Access::begin(request.method(), request.uri(), request_id.clone()));
        let request_id = HeaderValue::try_from(request_id).expect("hex digits are a header value");
        let (version, wanted) = (request.version(), request.headers().clone());
        let outcome = self.answer(request, &client, &request_id, &mut access).await;
        let mut response = outcome.unwrap_or_else(|status| {
            let mut response = page(status, &wanted);
            // Of a request that was not understood nobody knows where the next one begins.
            if status.is_client_error() && status != StatusCode::NOT_FOUND && version != Version::HTTP_2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        response.headers_mut().entry(REQUEST_ID).or_insert(request_id);
        METRICS.answered(response.status());
        if let Some(access) = &mut access {
            access.status(response.status());
        }
        response.map(|body| body.ending(access, busy))
    }
}

impl Proxy {
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        client: &Arc<ClientConnection>,
        request_id: &HeaderValue,
        access: &mut Option<Access>,
    ) -> Result<Response<Download>, StatusCode> {
        let on_upgrade = hyper::upgrade::on(&mut request);
        let (mut parts, body) = request.into_parts();
        let target = host::target(&parts)?;
        if let Some(access) = access {
            access.host(target.host.as_str());
        }
        self.check(&parts)?;
        let protocol = headers::wanted_upgrade(&parts.headers).filter(|_| parts.version == Version::HTTP_11);
        let forward = Forward {
            client: client.peer.ip(),
            authority: &target.authority,
            request_id,
            upgrade: protocol.as_ref(),
        };
        headers::to_app(&mut parts.headers, &forward);
        let upload = Upload::new(body, &self.config, Arc::clone(&client.pulse));
        let (mut response, in_flight) = self.send(&target.host, &parts, &upload).await?;
        if let Some(access) = access {
            access.release(in_flight.server().release.to_string());
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            protocol.ok_or(StatusCode::BAD_GATEWAY)?;
            let ends = (on_upgrade, hyper::upgrade::on(&mut response));
            return Ok(self.switch(response.headers(), ends, client, in_flight, access.take()));
        }
        headers::to_client(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        let idle = ms(self.config.timeouts.response_idle_ms);
        Ok(response.map(|body| Download::app(body, idle, in_flight)))
    }

    /// What is refused before anything is sent on.
    fn check(&self, parts: &Parts) -> Result<(), StatusCode> {
        if parts.method == Method::CONNECT {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        if parts.headers.len() > self.config.limits.headers {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        let length =
            parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let limit = self.config.limits.body_bytes;
        if limit > 0 && length.is_some_and(|length| length > limit) {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        Ok(())
    }

    /// Sends the request to a server of the host's release: to another one when it cannot be reached, and once more
    /// to whatever the table says after a pause.
    async fn send(
        &self,
        host: &paastech_labels::HostName,
        parts: &Parts,
        upload: &Upload,
    ) -> Result<(Response<Incoming>, InFlight), StatusCode> {
        let mut tried: Vec<Arc<Server>> = Vec::new();
        let mut paused = false;
        loop {
            let in_flight = match self.table.way(host, &tried) {
                Way::To(in_flight) if tried.len() < CONNECTS => in_flight,
                Way::To(_) | Way::Tried if !paused => {
                    paused = true;
                    tried.clear();
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Way::To(_) | Way::Tried => return Err(StatusCode::BAD_GATEWAY),
                Way::Waiting => return Err(StatusCode::SERVICE_UNAVAILABLE),
                Way::Unknown if !self.synced.get() => return Err(StatusCode::SERVICE_UNAVAILABLE),
                Way::Unknown => return Err(StatusCode::NOT_FOUND),
            };
            let server = in_flight.server();
            match self.attempt(server, parts, upload).await {
                Ok(response) => return Ok((response, in_flight)),
                Err(Failure::Connect) => {
                    server.avoid();
                    tried.push(Arc::clone(server));
                }
                Err(Failure::Final(status)) => return Err(status),
            }
        }
    }

    async fn attempt(
        &self,
        server: &Server,
        parts: &Parts,
        upload: &Upload,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(upload.clone());
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri(server, parts.uri.path_and_query())?;
        *request.headers_mut() = parts.headers.clone();
        let began = tokio::time::Instant::now();
        let mut sent = pin!(server.client.request(request));
        loop {
            let deadline = upload.moved_at().max(began) + ms(self.config.timeouts.response_ms);
            let outcome = tokio::select! {
                outcome = &mut sent => outcome,
                () = sleep_until(deadline) => {
                    if upload.moved_at() + ms(self.config.timeouts.response_ms) > deadline {
                        continue;
                    }
                    return Err(Failure::Final(StatusCode::GATEWAY_TIMEOUT));
                }
            };
            return outcome.map_err(|error| match upload.cut() {
                Some(Cut::TooLarge) => Failure::Final(StatusCode::PAYLOAD_TOO_LARGE),
                Some(Cut::Idle) => Failure::Final(StatusCode::REQUEST_TIMEOUT),
                Some(Cut::Lost) => Failure::Final(StatusCode::BAD_REQUEST),
                None if error.is_connect() => Failure::Connect,
                // Some of it may have reached the app, and be what it died of: never again.
                None => Failure::Final(StatusCode::BAD_GATEWAY),
            });
        }
    }

    /// Lets client and app talk in the protocol they agreed on.
    fn switch(
        &self,
        app_headers: &HeaderMap,
        (client, app): (OnUpgrade, OnUpgrade),
        connection: &Arc<ClientConnection>,
        in_flight: InFlight,
        mut access: Option<Access>,
    ) -> Response<Download> {
        let mut response = Response::new(Download::page(""));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = app_headers.clone();
        headers::to_client(response.headers_mut());
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = app_headers.get(UPGRADE) {
            response.headers_mut().insert(UPGRADE, protocol.clone());
        }
        if let Some(access) = &mut access {
            access.status(StatusCode::SWITCHING_PROTOCOLS);
        }
        let tunnel = Tunnel { client, app, connection: Arc::clone(connection), in_flight, access };
        let idle = ms(self.config.timeouts.tunnel_idle_ms);
        drop(self.shutdown.track(tunnel::run(tunnel, idle, self.shutdown.clone())));
        response
    }
}

fn uri(server: &Server, path: Option<&PathAndQuery>) -> Result<Uri, Failure> {
    let authority = Authority::try_from(server.addr.to_string()).expect("an address is an authority");
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path.cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|_| Failure::Final(StatusCode::BAD_REQUEST))
}
