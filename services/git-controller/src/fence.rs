//! The highest fence seen, in a file inside the repository: the git-controller's only state of its own.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use crate::Error;

const FILE: &str = "paastech-fence";

/// The highest fence seen; 0 before the first.
pub(crate) fn read(repository: &Path) -> Result<i64, Error> {
    match fs::read_to_string(repository.join(FILE)) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the fence file is damaged").into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Lets `fence` through if none higher was seen, and remembers it on disk before anything else happens.
pub(crate) fn admit(repository: &Path, fence: i64) -> Result<(), Error> {
    let seen = check(repository, fence)?;
    if fence > seen { write(repository, fence) } else { Ok(()) }
}

/// Lets `fence` through if none higher was seen, and gives the highest seen.
pub(crate) fn check(repository: &Path, fence: i64) -> Result<i64, Error> {
    let seen = read(repository)?;
    if fence < seen { Err(Error::Fenced { given: fence, seen }) } else { Ok(seen) }
}

fn write(repository: &Path, fence: i64) -> Result<(), Error> {
    let mut file = tempfile::NamedTempFile::new_in(repository)?;
    writeln!(file, "{fence}")?;
    file.as_file().sync_all()?;
    file.persist(repository.join(FILE)).map_err(|error| error.error)?;
    File::open(repository)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lower_fence_is_refused_and_the_highest_is_kept() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        admit(dir.path(), 4).expect("the first");
        admit(dir.path(), 4).expect("an equal one");
        let error = admit(dir.path(), 3).expect_err("a lower one");
        assert!(matches!(error, Error::Fenced { given: 3, seen: 4 }), "{error}");
        admit(dir.path(), 9).expect("a higher one");
        assert_eq!(read(dir.path()).expect("readable"), 9);
    }

    #[test]
    fn a_damaged_file_refuses_rather_than_starts_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::write(dir.path().join(FILE), "nonsense").expect("written");
        assert!(admit(dir.path(), 7).is_err());
    }
}
