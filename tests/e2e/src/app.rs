//! Source trees that are pushed: an app that is one static file, and a Dockerfile that says how it behaves.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// The program in every image here.
pub(crate) const APP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/app"));

/// A Dockerfile `FROM scratch`.
#[derive(Debug, Clone)]
pub(crate) struct Dockerfile(String);

impl Dockerfile {
    /// An image that runs the app in this mode.
    pub(crate) fn running(mode: &str) -> Self {
        let text = "FROM scratch\nCOPY app /app\nEXPOSE 8080\n".to_owned();
        Self(text).line(&format!("CMD [\"/app\", {}]", words(mode)))
    }

    /// The same, but for a step of the build in this mode. It is like no other build's, so that no cache has it.
    pub(crate) fn building(mode: &str) -> Self {
        let nonce = uuid::Uuid::new_v4();
        Self::running("serve").line(&format!("ENV NONCE={nonce}\nRUN [\"/app\", {}]", words(mode)))
    }

    /// One line more.
    pub(crate) fn line(mut self, line: &str) -> Self {
        self.0.push_str(line);
        self.0.push('\n');
        self
    }
}

/// So many bytes that do not compress.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut noise = Vec::new();
    while noise.len() < size {
        noise.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    noise
}

fn words(mode: &str) -> String {
    mode.split(' ').map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// A source tree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    files: Vec<(String, Vec<u8>)>,
}

impl Source {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// An app that answers with a greeting.
    pub(crate) fn greeting(greeting: &str) -> Self {
        Self::of(&Dockerfile::running("serve").line(&format!("ENV GREETING=\"{greeting}\"")))
    }

    /// What this Dockerfile needs.
    pub(crate) fn of(dockerfile: &Dockerfile) -> Self {
        Self::empty().with("Dockerfile", &dockerfile.0).with("app", APP)
    }

    /// One file more.
    pub(crate) fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// Writes the files; all of them may be run.
    pub(crate) fn write(&self, folder: &Path) {
        for (path, content) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
            fs::write(&path, content).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
    }
}
