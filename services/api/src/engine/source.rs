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

/// Sends the parts under the header, to the one that ends them. A stream that breaks off, whether it says so or not, is
/// an error, not a shorter tree.
pub(crate) async fn put(
    mut pomegranate: PomegranateClient<Transport>,
    header: SourceHeader,
    mut parts: BoxStream<'static, Result<Part, Status>>,
) -> Result<(), Status> {
    let (send, receive) = mpsc::channel(4);
    let forward = async move {
        let mut next = Ok(Part::Header(header));
        loop {
            let part = next?;
            let last = matches!(part, Part::End(_));
            // Whoever receives has what it wants, or has failed and says so itself.
            if send.send(PutSourceRequest { part: Some(part) }).await.is_err() || last {
                return Ok(());
            }
            next = parts.next().await.unwrap_or_else(|| Err(Status::unavailable("the source was cut off")));
        }
    };
    let put = pomegranate.put_source(within(PUT_SECONDS, ReceiverStream::new(receive)));
    let (forwarded, put): (Result<(), Status>, _) = tokio::join!(forward, put);
    forwarded?;
    put.map(drop)
}
