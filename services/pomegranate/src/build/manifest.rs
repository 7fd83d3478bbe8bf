//! `paastech.yaml`, and the original's `paastech/buildpacks.yaml`: what a repository says about its own build.

use std::num::NonZeroU16;

use paastech_types::VariableName;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{error::Error, lines::clean_line};

/// Where it is looked for, in this order.
pub(crate) const FILES: [&str; 2] = ["paastech.yaml", "paastech/buildpacks.yaml"];
/// Larger is none.
pub(crate) const LIMIT: u64 = 2 << 20;
const VALUE_LIMIT: usize = 32 << 10;
const VALUES_LIMIT: usize = 128 << 10;
const MESSAGE_LIMIT: usize = 300;

/// How a repository wants to be built and run. Every field is optional.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// What builds it; without it a Dockerfile at the root does, and buildpacks where there is none.
    pub build: Option<Method>,
    /// The Dockerfile's path inside the repository; means `build: dockerfile`.
    pub dockerfile: Option<String>,
    /// The port that the app listens on, instead of the image's own.
    pub port: Option<NonZeroU16>,
    /// A path that answers 2xx or 3xx once the app is ready; without it an open port is enough.
    pub health: Option<String>,
    /// How buildpacks build it; means `build: buildpacks`.
    pub buildpacks: Option<BuildpacksSection>,
}

/// What builds a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Its Dockerfile.
    Dockerfile,
    /// Cloud Native Buildpacks.
    Buildpacks,
}

/// How buildpacks build it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BuildpacksSection {
    /// The folder that is built, inside the repository; the root without it.
    pub path: Option<String>,
    /// The builder image; the platform's own without it.
    pub builder: Option<String>,
    /// Exactly these buildpacks, as `id` or `id@version`, instead of those that detect the app.
    pub buildpack: Option<OneOrMore>,
    /// Variables of the build, as `NAME=value`.
    pub env: Vec<String>,
}

/// One name or a list of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// In this order.
    More(Vec<String>),
}

/// The JSON Schema of the file, as `docs/paastech.schema.json` has it.
#[must_use]
pub fn manifest_schema() -> String {
    serde_json::to_string_pretty(&schemars::schema_for!(Manifest)).expect("a schema is JSON")
}

impl Manifest {
    /// Reads and checks the file called `name`; the error names it, the line and the field.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        if text.contains('\0') {
            return Err(format!("{name}: it holds a NUL byte"));
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut field = String::new();
        let options = serde_saphyr::options! { with_snippet: false };
        let parsed = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                field = error.path().to_string();
                error.into_inner()
            })
        });
        let manifest: Self = parsed.map_err(|error| {
            let at = error.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
            let field = if matches!(&*field, "" | ".") { String::new() } else { format!("{field}: ") };
            format!("{name}{at}: {field}{}", clean_line(&error.without_snippet().to_string(), MESSAGE_LIMIT))
        })?;
        manifest.check().map_err(|(field, why)| format!("{name}{}: {field}: {why}", line_of(text, field)))?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(path) = &self.dockerfile {
            inside(path).map_err(|why| ("dockerfile", why))?;
            if self.build == Some(Method::Buildpacks) {
                return Err(("dockerfile", "`build: buildpacks` does not use it".to_owned()));
            }
        }
        if let Some(path) = &self.health
            && (!path.starts_with('/')
                || path.len() > 1024
                || !path.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(("health", "a path that begins with / and has no blanks".to_owned()));
        }
        let Some(section) = &self.buildpacks else { return Ok(()) };
        if let Some(path) = &section.path {
            inside(path).map_err(|why| ("path", why))?;
        }
        if section.builder.as_ref().is_some_and(|image| !is_reference(image)) {
            return Err(("builder", "not an image's name".to_owned()));
        }
        for name in section.names() {
            if !is_buildpack(name) {
                return Err(("buildpack", format!("{name:?} is not `id` or `id@version`")));
            }
        }
        section.variables().map(drop).map_err(|why| ("env", why))
    }
}

impl BuildpacksSection {
    /// The buildpacks that it names.
    pub(crate) fn names(&self) -> &[String] {
        match &self.buildpack {
            None => &[],
            Some(OneOrMore::One(name)) => std::slice::from_ref(name),
            Some(OneOrMore::More(names)) => names,
        }
    }

    /// Its variables, each checked.
    pub(crate) fn variables(&self) -> Result<Vec<(String, String)>, String> {
        let mut variables = Vec::new();
        let mut bytes = 0;
        for pair in &self.env {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("{:?} is not NAME=value", clean_line(pair, 80)))?;
            variable_name(name)?;
            if value.len() > VALUE_LIMIT {
                return Err(format!("the value of {name} is longer than {} KiB", VALUE_LIMIT >> 10));
            }
            if value.contains(['\0', '\n', '\r']) {
                return Err(format!("the value of {name} holds a line break"));
            }
            bytes += pair.len();
            if bytes > VALUES_LIMIT {
                return Err(format!("all variables together are longer than {} KiB", VALUES_LIMIT >> 10));
            }
            variables.push((name.to_owned(), value.to_owned()));
        }
        Ok(variables)
    }
}

/// A name that may become a variable of a build: not one that changes what programs load or where they look.
fn variable_name(name: &str) -> Result<(), String> {
    name.parse::<VariableName>().map(drop).map_err(|why| format!("{:?} {why}", clean_line(name, 80)))
}

/// The variables that a call brings for a build.
pub(crate) fn build_variables(
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Vec<(String, String)>, Error> {
    variables
        .map(|(name, value)| match variable_name(&name) {
            Ok(()) if !value.contains('\0') => Ok((name, value)),
            Ok(()) => Err(Error::Invalid("variables: no NUL in a value".to_owned())),
            Err(why) => Err(Error::Invalid(format!("variables: {why}"))),
        })
        .collect()
}

/// A relative path that stays inside.
fn inside(path: &str) -> Result<(), String> {
    let part = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    if path.len() <= 255 && path.split('/').all(part) {
        Ok(())
    } else {
        Err("a relative path inside the repository, without . and ..".to_owned())
    }
}

fn is_reference(image: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"./:@_-".contains(&byte);
    (1..=255).contains(&image.len())
        && image.bytes().all(fits)
        && image.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !image.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn is_buildpack(name: &str) -> bool {
    let (id, version) = name.split_once('@').unwrap_or((name, "0"));
    let plain = |text: &str| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-+".contains(&byte))
            && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
    };
    plain(id) && plain(version)
}

/// Where a field stands: `:3`, for errors that the parser does not find.
fn line_of(text: &str, field: &str) -> String {
    let starts = |line: &str| line.trim_start().trim_start_matches('"').starts_with(field);
    text.lines().position(starts).map(|line| format!(":{}", line + 1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_this_one() {
        let published = include_str!("../../../../docs/paastech.schema.json");
        assert_eq!(
            published.trim(),
            manifest_schema(),
            "cargo run -p pomegranate --example schema > docs/paastech.schema.json"
        );
    }

    fn error(text: &str) -> String {
        Manifest::parse("paastech.yaml", text).expect_err("an error")
    }

    #[test]
    fn every_field_is_optional() {
        for text in ["", "\n# nothing\n", "buildpacks: {}", "buildpacks:\n  env: []\n"] {
            let manifest = Manifest::parse("paastech.yaml", text).expect(text);
            assert!(manifest.build.is_none() && manifest.dockerfile.is_none());
        }
    }

    #[test]
    fn a_whole_one_is_read() {
        let text = "build: buildpacks\nport: 8080\nhealth: /healthz\nbuildpacks:\n  path: web\n  \
                    builder: heroku/builder:24\n  buildpack: [a/b@0.1.0, c/d]\n  env:\n    - A=b=c\n";
        let manifest = Manifest::parse("paastech.yaml", text).expect("parses");
        let section = manifest.buildpacks.expect("a section");
        assert_eq!(section.names(), ["a/b@0.1.0", "c/d"]);
        assert_eq!(section.variables(), Ok(vec![("A".to_owned(), "b=c".to_owned())]));
        assert_eq!(
            (manifest.port.map(NonZeroU16::get), manifest.build),
            (Some(8080), Some(Method::Buildpacks))
        );
    }

    #[test]
    fn errors_name_the_file_the_line_and_the_field() {
        let unknown = error("build: buildpacks\nbuildpacks:\n  pth: web\n");
        assert!(unknown.starts_with("paastech.yaml:3:") && unknown.contains("pth"), "{unknown}");
        let kind = error("port: many\n");
        assert!(kind.starts_with("paastech.yaml:1:") && kind.contains("port"), "{kind}");
        let malformed = error("buildpacks: [unclosed\n");
        assert!(malformed.starts_with("paastech.yaml:"), "{malformed}");
        let path = error("buildpacks:\n  path: ../x\n");
        assert_eq!(path, "paastech.yaml:2: path: a relative path inside the repository, without . and ..");
    }

    #[test]
    fn what_could_do_harm_is_refused() {
        for text in [
            "buildpacks:\n  env: [\"LD_PRELOAD=/x\"]",
            "buildpacks:\n  env: [\"CNB_PLATFORM_API=1\"]",
            "buildpacks:\n  env: [\"PATH=/x\"]",
            "buildpacks:\n  env: [\"A=b\\nc\"]",
            "buildpacks:\n  env: [\"A=b\\0c\"]",
            "buildpacks:\n  env: [\"../x=b\"]",
            "buildpacks:\n  env: [novalue]",
            "buildpacks:\n  path: /etc",
            "buildpacks:\n  path: a/../b",
            "buildpacks:\n  builder: \"x; rm -rf /\"",
            "buildpacks:\n  builder: ../x",
            "buildpacks:\n  buildpack: docker://x",
            "buildpacks:\n  buildpack: a/../b",
            "dockerfile: ../Dockerfile",
            "health: healthz",
            "port: 0",
            "port: 70000",
            "build: buildpacks\ndockerfile: Dockerfile",
            "a: b\0",
        ] {
            error(text);
        }
        let big = format!("buildpacks:\n  env: [\"A={}\"]", "x".repeat(1 << 20));
        assert!(error(&big).contains("longer than 32 KiB"));
    }
}
