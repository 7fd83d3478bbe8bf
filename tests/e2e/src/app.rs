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

    /// A Rust program that buildpacks take this long to build, and that answers with a greeting.
    pub(crate) fn built_slowly(seconds: u32, greeting: &str) -> Self {
        let program = format!(
            r#"use std::{{io::{{Read, Write}}, net::TcpListener}};
            fn main() {{
                let port = std::env::var("PORT").unwrap().parse::<u16>().unwrap();
                for stream in TcpListener::bind(("0.0.0.0", port)).unwrap().incoming() {{
                    let mut stream = stream.unwrap();
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{greeting}");
                }}
            }}"#
        );
        let script =
            format!("fn main() {{ std::thread::sleep(std::time::Duration::from_secs({seconds})) }}\n");
        Self::empty()
            .with("Cargo.toml", "[package]\nname = \"slow\"\nversion = \"1.0.0\"\nedition = \"2021\"\n")
            .with("Cargo.lock", "version = 3\n\n[[package]]\nname = \"slow\"\nversion = \"1.0.0\"\n")
            .with("src/main.rs", program)
            .with("build.rs", script)
            .with("paastech.yaml", "build: buildpacks\n")
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
