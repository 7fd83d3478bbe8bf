//! Files with a stamp of their content instead of their date.
//!
//! The files of an image are all dated 1980, so neither their dates nor tags made of them tell one release from the
//! next. `ServeDir` makes its tags of date and size; it is given a "date" that is a digest.

use std::{
    collections::HashMap,
    fs::{self, Metadata as FileMetadata},
    future::Future,
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncSeek, ReadBuf},
    task,
};
use tower_http::services::fs::{Backend, File, Metadata};

type Answer<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// The file system, each file read once for its stamp.
#[derive(Clone, Default)]
pub(crate) struct Contents {
    stamps: Arc<Mutex<HashMap<PathBuf, Known>>>,
}

struct Known {
    size: u64,
    modified: Option<SystemTime>,
    stamp: SystemTime,
}

/// An open file and its stamp.
pub(crate) struct Stamped {
    file: tokio::fs::File,
    metadata: Stamp,
}

/// What is known of a file without reading it again.
#[derive(Clone)]
pub(crate) struct Stamp {
    directory: bool,
    size: u64,
    stamp: SystemTime,
}

impl Contents {
    fn open_now(&self, path: &Path) -> io::Result<(fs::File, Stamp)> {
        let mut file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let stamp = Stamp { directory: metadata.is_dir(), size: 0, stamp: SystemTime::UNIX_EPOCH };
            return if stamp.directory { Ok((file, stamp)) } else { Err(io::ErrorKind::NotFound.into()) };
        }
        let stamp = match self.known(path, &metadata) {
            Some(stamp) => stamp,
            None => {
                let stamp = digest(&mut file)?;
                file.rewind()?;
                self.remember(path, &metadata, stamp);
                stamp
            }
        };
        Ok((file, Stamp { directory: false, size: metadata.len(), stamp }))
    }

    fn known(&self, path: &Path, metadata: &FileMetadata) -> Option<SystemTime> {
        let stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let known = stamps.get(path)?;
        let same = known.size == metadata.len() && known.modified == metadata.modified().ok();
        same.then_some(known.stamp)
    }

    fn remember(&self, path: &Path, metadata: &FileMetadata, stamp: SystemTime) {
        let known = Known { size: metadata.len(), modified: metadata.modified().ok(), stamp };
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        stamps.insert(path.to_owned(), known);
    }
}

/// 66 bits of a SHA-256 in the shape of a time that an HTTP date can show (37 bits of seconds end before year 9999).
fn digest(file: &mut fs::File) -> io::Result<SystemTime> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => hasher.update(&piece[..length]),
        }
    }
    let hash = hasher.finalize();
    let number = |at: usize| hash[at..at + 8].iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let seconds = Duration::from_secs(number(0) >> (64 - 37));
    Ok(SystemTime::UNIX_EPOCH + seconds + Duration::from_nanos(number(8) >> (64 - 29)))
}

impl Backend for Contents {
    type File = Stamped;
    type Metadata = Stamp;
    type OpenFuture = Answer<Stamped>;
    type MetadataFuture = Answer<Stamp>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let contents = self.clone();
        Box::pin(async move {
            let (file, metadata) = task::spawn_blocking(move || contents.open_now(&path)).await??;
            Ok(Stamped { file: file.into(), metadata })
        })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let contents = self.clone();
        Box::pin(async move {
            let (_, metadata) = task::spawn_blocking(move || contents.open_now(&path)).await??;
            Ok(metadata)
        })
    }
}

impl File for Stamped {
    type Metadata = Stamp;
    type MetadataFuture<'a> = std::future::Ready<io::Result<Stamp>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        std::future::ready(Ok(self.metadata.clone()))
    }
}

impl AsyncRead for Stamped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_read(context, buffer)
    }
}

impl AsyncSeek for Stamped {
    fn start_seek(mut self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.file).start_seek(position)
    }

    fn poll_complete(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<u64>> {
        Pin::new(&mut self.file).poll_complete(context)
    }
}

impl Metadata for Stamp {
    fn is_dir(&self) -> bool {
        self.directory
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(self.stamp)
    }

    fn len(&self) -> u64 {
        self.size
    }
}
