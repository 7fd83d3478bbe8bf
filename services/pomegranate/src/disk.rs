//! What volumes take on the engine's disk. Asked for without bollard, which reads only the newest engines' answer.

use bytes::Bytes;
use http::{Request, header::HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use crate::{engine::Engine, error::Error};

/// The answer names every image, container and volume of the engine.
const ANSWER_LIMIT: usize = 64 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    #[serde(default)]
    volumes: Option<Vec<Volume>>,
    volume_usage: Option<Items>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Items {
    items: Option<Vec<Volume>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    usage_data: Option<Size>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    size: i64,
}

/// Every volume of the engine and its bytes.
pub(crate) async fn volumes(engine: &Engine) -> Result<Vec<(String, u64)>, Error> {
    let version = engine.docker().await?.client_version();
    let path =
        format!("/v{}.{}/system/df?type=volume&verbose=1", version.major_version, version.minor_version);
    let answer = get(engine, &path).await.map_err(std::io::Error::other)?;
    let usage: Usage = serde_json::from_slice(&answer).map_err(std::io::Error::other)?;
    let items = usage.volume_usage.and_then(|usage| usage.items).or(usage.volumes).unwrap_or_default();
    let size = |volume: &Volume| volume.usage_data.as_ref().map_or(0, |data| data.size);
    Ok(items
        .into_iter()
        .map(|volume| {
            let bytes = u64::try_from(size(&volume)).unwrap_or_default();
            (volume.name, bytes)
        })
        .collect())
}

async fn get(engine: &Engine, path: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let stream = UnixStream::connect(engine.socket()).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, "engine").body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    Ok(Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await?.to_bytes())
}
