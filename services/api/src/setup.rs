//! The first start: a one-time token with which the first administrator is made.

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use paastech_db::Database;
use paastech_runtime::Clock;

use crate::{auth::token, error::Error, store::setup};

/// Where the token can be read until it is used.
fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("setup-token")
}

/// Makes the token at the first start, or when its file is lost. While nobody has used it, a terminal is shown it, and
/// a log its file.
pub(crate) async fn ensure_token(db: &Database, data_dir: &Path, clock: &Clock) -> Result<(), Error> {
    let path = path(data_dir);
    let mut tx = db.begin().await?;
    let row = setup::get(&mut tx).await?;
    if row.as_ref().is_some_and(|row| row.used_at.is_some()) {
        forget(data_dir);
        return Ok(());
    }
    let kept = fs::read_to_string(&path).ok().map(|text| text.trim().to_owned());
    let kept = kept.filter(|text| row.is_some_and(|row| row.token_hash == token::hash(text)));
    let shown = match kept {
        Some(token) => token,
        None => {
            let fresh = token::opaque("pt_setup");
            write(&path, &fresh)
                .map_err(|source| Error::File { what: path.display().to_string(), source })?;
            setup::put(&mut tx, &token::hash(&fresh), clock.now_ms()).await?;
            tx.commit().await?;
            fresh
        }
    };
    // To whoever sits before it. What is collected gets the place alone.
    if io::stdout().is_terminal() {
        println!("setup token: {shown}");
    } else {
        tracing::info!(file = %path.display(), "the setup token, with which the first administrator is made");
    }
    Ok(())
}

/// Removes the file of a token that has been used.
pub(crate) fn forget(data_dir: &Path) {
    match fs::remove_file(path(data_dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "the used setup token's file cannot be removed");
        }
        _ => {}
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()
}
