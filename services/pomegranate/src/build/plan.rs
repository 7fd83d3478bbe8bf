//! How a source is to be built: as its `paastech.yaml` says, else by its Dockerfile, else by buildpacks.

use std::{fs::File, io, io::Read as _, path::Path};

use crate::build::manifest::{FILES, LIMIT, Manifest, Method};

/// What was decided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What builds it.
    pub(crate) how: How,
    /// The port that the app listens on, when the repository says.
    pub(crate) port: Option<u16>,
    /// Its health path, when the repository says.
    pub(crate) health: String,
}

/// What builds a source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The Dockerfile at this path.
    Dockerfile(String),
    /// Buildpacks.
    Buildpacks(Buildpacks),
}

/// What buildpacks are told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Buildpacks {
    /// The folder of the source; empty: all of it.
    pub(crate) path: String,
    /// The builder image; `None`: the platform's own.
    pub(crate) builder: Option<String>,
    /// Exactly these; empty: those that detect the app.
    pub(crate) buildpacks: Vec<String>,
    /// Variables of the build.
    pub(crate) env: Vec<(String, String)>,
}

/// What of the source the decision needs.
#[derive(Default)]
struct Seen {
    manifests: [Option<Vec<u8>>; FILES.len()],
    dockerfile: bool,
    folders: Vec<String>,
}

/// Decides; the inner error is for the source's author.
pub(crate) fn read(source: &Path) -> io::Result<Result<Plan, String>> {
    let seen = look(source)?;
    Ok(match seen {
        Ok(seen) => decide(&seen),
        Err(why) => Err(why),
    })
}

fn look(source: &Path) -> io::Result<Result<Seen, String>> {
    let mut seen = Seen::default();
    let mut archive = tar::Archive::new(File::open(source)?);
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Ok(Err("the source holds a path that leads out of it".to_owned()));
        }
        let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        let is_file = entry.header().entry_type().is_file();
        if let Some(index) = FILES.iter().position(|file| *file == path) {
            if !is_file || entry.size() > LIMIT {
                return Ok(Err(format!("{path}: not a regular file of at most {} KiB", LIMIT >> 10)));
            }
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            seen.manifests[index] = Some(text);
        }
        seen.dockerfile |= path == "Dockerfile";
        if entry.header().entry_type().is_dir() {
            seen.folders.push(path);
        } else if let Some((folder, _)) = path.rsplit_once('/') {
            seen.folders.push(folder.to_owned());
        }
    }
    Ok(Ok(seen))
}

fn decide(seen: &Seen) -> Result<Plan, String> {
    let found = FILES.iter().zip(&seen.manifests).find_map(|(name, text)| Some((*name, text.as_ref()?)));
    let Some((name, text)) = found else {
        let how = if seen.dockerfile {
            How::Dockerfile("Dockerfile".to_owned())
        } else {
            How::Buildpacks(Buildpacks::default())
        };
        return Ok(Plan { how, port: None, health: String::new() });
    };
    let text = std::str::from_utf8(text).map_err(|_| format!("{name}: not UTF-8"))?;
    let manifest = Manifest::parse(name, text)?;
    let asks_for_buildpacks = name == FILES[1] || manifest.buildpacks.is_some();
    let section = manifest.buildpacks.unwrap_or_default();
    let method = manifest.build.unwrap_or({
        let dockerfile = manifest.dockerfile.is_some() || (seen.dockerfile && !asks_for_buildpacks);
        if dockerfile { Method::Dockerfile } else { Method::Buildpacks }
    });
    let how = match method {
        Method::Dockerfile => {
            How::Dockerfile(manifest.dockerfile.clone().unwrap_or_else(|| "Dockerfile".to_owned()))
        }
        Method::Buildpacks => {
            let path = section.path.clone().unwrap_or_default();
            let below = format!("{path}/");
            if !path.is_empty()
                && !seen.folders.iter().any(|folder| *folder == path || folder.starts_with(&below))
            {
                return Err(format!("{name}: path: there is no folder {path} in the repository"));
            }
            How::Buildpacks(Buildpacks {
                path,
                builder: section.builder.clone(),
                buildpacks: section.names().to_vec(),
                env: section.variables()?,
            })
        }
    };
    let port = manifest.port.map(std::num::NonZeroU16::get);
    Ok(Plan { how, port, health: manifest.health.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(files: &[(&str, &str)]) -> Result<Plan, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut builder = tar::Builder::new(file.reopen().expect("reopens"));
        for (name, text) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).expect("appends");
        }
        builder.finish().expect("finishes");
        read(file.path()).expect("a readable tar")
    }

    fn dockerfile(path: &str) -> How {
        How::Dockerfile(path.to_owned())
    }

    #[test]
    fn the_file_wins_then_the_dockerfile_then_buildpacks() {
        let yaml = ("paastech.yaml", "build: buildpacks");
        let how = |files: &[(&str, &str)]| plan(files).expect("a plan").how;
        assert_eq!(how(&[("app.py", "")]), How::Buildpacks(Buildpacks::default()));
        assert_eq!(how(&[("Dockerfile", "")]), dockerfile("Dockerfile"));
        assert_eq!(how(&[("Dockerfile", ""), yaml]), How::Buildpacks(Buildpacks::default()));
        assert_eq!(how(&[("paastech.yaml", "dockerfile: a/B")]), dockerfile("a/B"));
        assert_eq!(how(&[("Dockerfile", ""), ("paastech.yaml", "port: 81")]), dockerfile("Dockerfile"));
        assert_eq!(how(&[("sub/Dockerfile", "")]), How::Buildpacks(Buildpacks::default()));
    }

    #[test]
    fn the_original_s_file_means_the_same() {
        let text = "buildpacks:\n  path: web\n  env:\n    - A=b\n";
        let plan = plan(&[("Dockerfile", ""), ("web/app.py", ""), ("paastech/buildpacks.yaml", text)]);
        let How::Buildpacks(found) = plan.expect("a plan").how else { panic!("buildpacks") };
        assert_eq!((found.path.as_str(), found.env.len()), ("web", 1));
    }

    #[test]
    fn a_path_that_is_no_folder_is_named() {
        let text = "buildpacks:\n  path: app.py\n";
        let error = plan(&[("app.py", ""), ("paastech.yaml", text)]).expect_err("an error");
        assert_eq!(error, "paastech.yaml: path: there is no folder app.py in the repository");
    }

    #[test]
    fn the_port_and_the_health_path_are_kept() {
        let plan = plan(&[("paastech.yaml", "port: 8080\nhealth: /up")]).expect("a plan");
        assert_eq!((plan.port, plan.health.as_str()), (Some(8080), "/up"));
    }
}
