//! What detection chose, read back and kept where tenant code cannot change it.

use serde::{Deserialize, Serialize};

use crate::build::buildpack::{builder::Buildpack, stop::Stop};

/// `group.toml`; what else is in it is dropped.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    group: Vec<Member>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Member {
    id: String,
    version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    api: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    homepage: Option<String>,
}

impl Group {
    /// Reads it; every member must be a buildpack of the builder.
    pub(crate) fn parse(bytes: &[u8], known: &[Buildpack]) -> Result<Self, Stop> {
        let malformed = |why: &str| Stop::failed(format!("detection left a malformed group.toml: {why}"));
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("not UTF-8"))?;
        let group: Self = toml::from_str(text).map_err(|error| malformed(error.message()))?;
        for member in &group.group {
            let plain = |text: &str| {
                !text.is_empty()
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-+".contains(&byte))
                    && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
            };
            let is_known = known.iter().any(|pack| pack.id == member.id && pack.version == member.version);
            if !plain(&member.id) || !plain(&member.version) || !(is_known || known.is_empty()) {
                return Err(malformed("it names a buildpack that the builder does not have"));
            }
        }
        if group.group.is_empty() { Err(malformed("it is empty")) } else { Ok(group) }
    }

    /// As the next phases read it.
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string(self).expect("a list of plain strings is TOML")
    }

    /// `paastech/python 0.1.0, …`
    pub(crate) fn names(&self) -> String {
        let names: Vec<String> =
            self.group.iter().map(|member| format!("{} {}", member.id, member.version)).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Buildpack> {
        vec![Buildpack { id: "a/b".to_owned(), version: "0.1.0".to_owned() }]
    }

    #[test]
    fn what_detection_chose_survives_without_extras() {
        let text = "[[group]]\nid = \"a/b\"\nversion = \"0.1.0\"\napi = \"0.10\"\nextra = 1\n";
        let group = Group::parse(text.as_bytes(), &known()).expect("parses");
        assert_eq!(group.names(), "a/b 0.1.0");
        assert!(!group.to_toml().contains("extra"));
        assert!(Group::parse(group.to_toml().as_bytes(), &known()).is_ok());
    }

    #[test]
    fn what_leads_out_of_the_buildpacks_is_refused() {
        for (id, version) in
            [("../x", "0.1.0"), ("a/b", ".."), ("a/c", "0.1.0"), ("", "0.1.0"), ("a//b", "0.1.0")]
        {
            let text = format!("[[group]]\nid = \"{id}\"\nversion = \"{version}\"\n");
            assert!(Group::parse(text.as_bytes(), &known()).is_err(), "{id} {version}");
        }
        assert!(Group::parse(b"", &known()).is_err());
        assert!(Group::parse(b"group = 3", &known()).is_err());
    }
}
