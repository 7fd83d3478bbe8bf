//! `/v1/operations/{operation}/log`.

use axum::{extract::State, response::Response};
use futures_util::{Stream, stream};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::{
    extract::Query,
    problem::Problem,
    stream::{Item, last_event_id, respond},
};
use crate::{
    app::{self, App},
    auth::{access::AuthorizedOperation, permission::need::Read},
    engine::follow::{Follower, Told},
    store::operation,
};

/// From where to read a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// The first line wanted: 1 when absent.
    #[param(minimum = 0, maximum = 4_294_967_295_i64)]
    from: Option<u32>,
    /// Whether to wait for more until the operation ends: true when absent.
    follow: Option<bool>,
}

/// Read an operation's log
///
/// Server-Sent Events (`line` with the line's number as id, `end`; `Last-Event-ID` resumes) where `Accept` asks for
/// them, JSON lines otherwise: `{seq, at, text}` for each line, at the end `{state, message, url}`.
#[utoipa::path(get, path = "/v1/operations/{operation}/log", tag = "operations",
    params(("operation" = Uuid, Path), LogQuery), extensions(("x-permission" = json!("Read"))),
    responses((status = 200, content((String = "application/x-ndjson"), (String = "text/event-stream")))))]
pub(crate) async fn log(
    State(app): State<App>,
    operation: AuthorizedOperation<Read>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = operation.row.id()?;
    let from = last_event_id(&headers).map_or(query.from.map_or(1, u64::from), |last| last.saturating_add(1));
    let follower = Follower::new(&app.engine, id, from).await?;
    let teller = Teller { app: app.clone(), follower, follow: query.follow.unwrap_or(true), over: false };
    Ok(respond(&headers, teller.stream(), app.stopping.clone()))
}

/// Walks a log to its end.
struct Teller {
    app: App,
    follower: Follower,
    follow: bool,
    over: bool,
}

impl Teller {
    fn stream(self) -> impl Stream<Item = Item> + Send + 'static {
        stream::unfold(self, |mut teller| async move {
            let item = teller.next().await?;
            Some((item, teller))
        })
    }

    /// None at the end, and when the log or the database fails: the client resumes.
    async fn next(&mut self) -> Option<Item> {
        while !self.over {
            let told = match self.follow {
                true => self.follower.next().await.ok()?,
                false => self.follower.now().await.ok()??,
            };
            match told {
                Told::Waiting => {}
                Told::Line(line) => {
                    let data = json!({ "seq": line.seq, "at": line.at, "text": line.text });
                    return Some(Item { id: Some(line.seq), event: "line", data });
                }
                Told::End(row) => {
                    self.over = true;
                    return Some(self.end(&row));
                }
            }
        }
        None
    }

    fn end(&self, row: &operation::Row) -> Item {
        let url =
            row.project_id().ok().filter(|_| row.made_live()).map(|id| app::app_url(&self.app.config, id));
        let data = json!({ "state": row.state, "message": row.error_text, "url": url });
        Item { id: None, event: "end", data }
    }
}
