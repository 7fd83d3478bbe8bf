//! Logs of operations: one file of JSON lines per operation, followed while it grows.

use std::{
    collections::HashMap,
    io::SeekFrom,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use paastech_types::OperationId;
use serde::{Deserialize, Serialize};
use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, BufReader},
    sync::watch,
};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// From 1, without holes.
    pub(crate) seq: u64,
    /// Milliseconds since the epoch.
    pub(crate) at: i64,
    /// Without its end.
    pub(crate) text: String,
    /// The sequence number that the build gave it, to go on from after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) build_seq: Option<u64>,
}

/// Where the logs are, and who follows which.
#[derive(Clone)]
pub(crate) struct Logs {
    folder: PathBuf,
    growing: Arc<Mutex<HashMap<OperationId, Weak<watch::Sender<u64>>>>>,
}

impl Logs {
    pub(crate) fn new(folder: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, growing: Arc::default() })
    }

    fn path(&self, id: OperationId) -> PathBuf {
        self.folder.join(format!("{id}.jsonl"))
    }

    /// Opens a log for appending, after the last whole line of what a killed process left.
    pub(crate) async fn writer(&self, id: OperationId) -> std::io::Result<Writer> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path(id))
            .await?;
        let (mut whole, mut seq, mut build_seq) = (0, 0, 0);
        let mut reader = BufReader::new(&mut file);
        let mut text = String::new();
        while reader.read_line(&mut text).await? > 0 && text.ends_with('\n') {
            let Ok(line) = serde_json::from_str::<Line>(&text) else { break };
            whole += text.len() as u64;
            seq = line.seq;
            build_seq = line.build_seq.unwrap_or(build_seq);
            text.clear();
        }
        file.set_len(whole).await?;
        file.seek(SeekFrom::End(0)).await?;
        Ok(Writer { file, len: whole, seq, build_seq, grown: self.sender(id, seq) })
    }

    /// The lines from `from` on that are there now.
    #[cfg(test)]
    pub(crate) async fn read(&self, id: OperationId, from: u64) -> std::io::Result<Vec<Line>> {
        self.reader(id, from).await?.more().await
    }

    /// A reader that can wait for more.
    pub(crate) async fn reader(&self, id: OperationId, from: u64) -> std::io::Result<Reader> {
        let sender = self.sender(id, 0);
        let file = match File::open(self.path(id)).await {
            Ok(file) => Some(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let grown = sender.subscribe();
        Ok(Reader { path: self.path(id), file, rest: Vec::new(), next: from.max(1), grown, _sender: sender })
    }

    /// Removes the log of an operation whose project is gone.
    pub(crate) async fn remove(&self, id: OperationId) {
        if let Err(error) = fs::remove_file(self.path(id)).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(operation.id = %id, %error, "a log cannot be removed");
        }
    }

    /// What tells readers of a log's growth, there as long as somebody writes or reads it.
    fn sender(&self, id: OperationId, seq: u64) -> Arc<watch::Sender<u64>> {
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        growing.retain(|_, sender| sender.strong_count() > 0);
        if let Some(sender) = growing.get(&id).and_then(Weak::upgrade) {
            return sender;
        }
        let sender = Arc::new(watch::channel(seq).0);
        growing.insert(id, Arc::downgrade(&sender));
        sender
    }
}

/// Appends; one per operation at a time, which the claim sees to.
pub(crate) struct Writer {
    file: File,
    /// Bytes of whole lines.
    len: u64,
    seq: u64,
    build_seq: u64,
    grown: Arc<watch::Sender<u64>>,
}

impl Writer {
    /// The last line that came from a build.
    pub(crate) fn build_seq(&self) -> u64 {
        self.build_seq
    }

    /// Forgets where the build was, when it starts anew.
    pub(crate) fn reset_build(&mut self) {
        self.build_seq = 0;
    }

    pub(crate) async fn line(&mut self, at: i64, text: &str) -> std::io::Result<()> {
        self.append(at, text, None).await
    }

    pub(crate) async fn build_line(&mut self, at: i64, text: &str, build_seq: u64) -> std::io::Result<()> {
        self.append(at, text, Some(build_seq)).await?;
        self.build_seq = build_seq;
        Ok(())
    }

    async fn append(&mut self, at: i64, text: &str, build_seq: Option<u64>) -> std::io::Result<()> {
        let line = Line { seq: self.seq + 1, at, text: text.to_owned(), build_seq };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        if let Err(error) = self.write(&bytes).await {
            // A full disk takes half a line, which the next one must not run into.
            self.mend().await?;
            return Err(error);
        }
        self.len += bytes.len() as u64;
        self.seq += 1;
        self.grown.send_replace(self.seq);
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes).await?;
        self.file.flush().await
    }

    /// Back to the end of the last whole line.
    async fn mend(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.len).await?;
        self.file.seek(SeekFrom::Start(self.len)).await.map(drop)
    }

    /// On disk for good: before a step that relies on it is recorded.
    pub(crate) async fn sync(&mut self) -> std::io::Result<()> {
        self.file.sync_data().await
    }
}

/// Reads from where it was.
pub(crate) struct Reader {
    path: PathBuf,
    file: Option<File>,
    rest: Vec<u8>,
    next: u64,
    grown: watch::Receiver<u64>,
    _sender: Arc<watch::Sender<u64>>,
}

impl Reader {
    /// What has come since the last call.
    pub(crate) async fn more(&mut self) -> std::io::Result<Vec<Line>> {
        self.grown.borrow_and_update();
        if self.file.is_none() {
            self.file = File::open(&self.path).await.ok();
        }
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        file.read_to_end(&mut self.rest).await?;
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let bytes: Vec<u8> = self.rest.drain(..whole).collect();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<Line> = lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .filter(|line: &Line| line.seq >= self.next)
            .collect();
        if let Some(last) = lines.last() {
            self.next = last.seq + 1;
        }
        Ok(lines)
    }

    /// Until there may be more, or the operation has ended.
    pub(crate) async fn grown(&mut self) {
        if self.grown.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_torn_last_line_is_dropped_and_numbers_go_on() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let logs = Logs::new(dir.path().to_owned()).expect("logs");
        let id = OperationId::new();
        let mut writer = logs.writer(id).await.expect("a writer");
        writer.line(1, "one").await.expect("written");
        writer.build_line(2, "two", 7).await.expect("written");
        drop(writer);
        let path = logs.path(id);
        let mut text = std::fs::read_to_string(&path).expect("the log");
        text.push_str("{\"seq\":3,\"at\":3,\"te");
        std::fs::write(&path, text).expect("torn");
        let mut writer = logs.writer(id).await.expect("a writer");
        assert_eq!(writer.build_seq(), 7);
        writer.line(4, "three").await.expect("written");
        let lines = logs.read(id, 2).await.expect("read");
        assert_eq!(
            lines.iter().map(|l| (l.seq, l.text.as_str())).collect::<Vec<_>>(),
            [(2, "two"), (3, "three")]
        );
    }

    #[tokio::test]
    async fn a_line_that_came_half_onto_a_full_disk_leaves_no_trace() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let logs = Logs::new(dir.path().to_owned()).expect("logs");
        let id = OperationId::new();
        let mut writer = logs.writer(id).await.expect("a writer");
        writer.line(1, "one").await.expect("written");
        writer.write(b"{\"seq\":2,\"at\":2,\"te").await.expect("half a line");
        writer.mend().await.expect("mended");
        writer.line(3, "two").await.expect("written");
        let lines = logs.read(id, 1).await.expect("read");
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[tokio::test]
    async fn who_has_read_a_log_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let logs = Logs::new(dir.path().to_owned()).expect("logs");
        for _ in 0..5 {
            logs.reader(OperationId::new(), 0).await.expect("a reader");
        }
        assert_eq!(logs.growing.lock().expect("growing").len(), 1, "the last one only");
    }

    #[tokio::test]
    async fn a_reader_that_came_first_sees_what_is_written_later() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let logs = Logs::new(dir.path().to_owned()).expect("logs");
        let id = OperationId::new();
        let mut reader = logs.reader(id, 0).await.expect("a reader");
        assert!(reader.more().await.expect("nothing yet").is_empty());
        let mut writer = logs.writer(id).await.expect("a writer");
        writer.line(1, "hello").await.expect("written");
        reader.grown().await;
        assert_eq!(reader.more().await.expect("a line")[0].text, "hello");
    }
}
