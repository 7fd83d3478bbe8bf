//! Following an operation, from a line of its log to its end.

use std::collections::VecDeque;

use paastech_types::{Failure, Kind, OperationId};

use super::{
    Engine,
    log::{Line, Reader},
};
use crate::{error::Error, store::operation};

/// Something a follower is told.
pub(crate) enum Told {
    Line(Line),
    /// The operation waits for its source.
    Waiting,
    End(Box<operation::Row>),
}

/// Walks an operation's log to its end.
pub(crate) struct Follower {
    engine: Engine,
    id: OperationId,
    reader: Reader,
    pending: VecDeque<Line>,
    told_waiting: bool,
}

impl Follower {
    /// From the line `from` on.
    pub(crate) async fn new(engine: &Engine, id: OperationId, from: u64) -> Result<Self, Error> {
        let reader = engine.logs.reader(id, from).await.map_err(unreadable)?;
        Ok(Self { engine: engine.clone(), id, reader, pending: VecDeque::new(), told_waiting: false })
    }

    /// What comes next, once there is something.
    pub(crate) async fn next(&mut self) -> Result<Told, Error> {
        loop {
            if let Some(told) = self.now().await? {
                return Ok(told);
            }
            tokio::select! {
                () = self.reader.grown() => {}
                () = self.engine.changed() => {}
            }
        }
    }

    /// What there is to tell without waiting for it.
    pub(crate) async fn now(&mut self) -> Result<Option<Told>, Error> {
        if let Some(line) = self.pending.pop_front() {
            return Ok(Some(Told::Line(line)));
        }
        // The row first: what is logged before its end is read after it.
        let mut tx = self.engine.db.read().await?;
        let row = operation::get(&mut tx, self.id).await?;
        drop(tx);
        let row = row.ok_or_else(|| Failure::new(Kind::NotFound, "no such operation"))?;
        self.pending.extend(self.reader.more().await.map_err(unreadable)?);
        if let Some(line) = self.pending.pop_front() {
            return Ok(Some(Told::Line(line)));
        }
        if !row.is_open() {
            return Ok(Some(Told::End(Box::new(row))));
        }
        let told = std::mem::replace(&mut self.told_waiting, row.state == "queued" && row.step == "source");
        Ok((self.told_waiting && !told).then_some(Told::Waiting))
    }
}

fn unreadable(source: std::io::Error) -> Error {
    Error::File { what: "the log of an operation".to_owned(), source }
}
