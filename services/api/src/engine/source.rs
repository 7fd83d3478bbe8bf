//! Handing a source tree on to Pomegranate, whoever it comes from.

use futures_util::{StreamExt as _, stream::BoxStream};
use paastech_proto::pomegranate::{
    PutSourceRequest, SourceHeader, pomegranate_client::PomegranateClient, put_source_request::Part,
};
use paastech_runtime::Transport;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::step::within;

/// A tree of some size takes its time.
const PUT_SECONDS: u32 = 600;

/// Sends the chunks under the header. A stream that breaks off is an error, not a shorter tree.
pub(crate) async fn put(
    mut pomegranate: PomegranateClient<Transport>,
    header: SourceHeader,
    mut chunks: BoxStream<'static, Result<Vec<u8>, Status>>,
) -> Result<(), Status> {
    let (send, receive) = mpsc::channel(4);
    let forward = async move {
        let mut next = Ok(Part::Header(header));
        loop {
            // Whoever receives has what it wants, or has failed and says so itself.
            if send.send(PutSourceRequest { part: Some(next?) }).await.is_err() {
                return Ok(());
            }
            match chunks.next().await {
                Some(chunk) => next = chunk.map(Part::Chunk),
                None => return Ok(()),
            }
        }
    };
    let put = pomegranate.put_source(within(PUT_SECONDS, ReceiverStream::new(receive)));
    let (forwarded, put): (Result<(), Status>, _) = tokio::join!(forward, put);
    forwarded?;
    put.map(drop)
}
