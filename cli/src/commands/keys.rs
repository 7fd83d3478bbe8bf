//! `keys`: the SSH keys with which one may push.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use crate::{
    api::{Key, Page},
    context::Context,
    environment,
    error::{Error, Result},
    output::table,
    prompt,
    when::ago,
};

/// The usual files, the best first.
const USUAL: [&str; 3] = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];

/// Manage the SSH keys with which you push
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech keys add ~/.ssh/id_ed25519.pub")]
pub(crate) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(Add),
    List(List),
    Remove(Remove),
}

/// Add a public key
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech keys add\n  paastech keys add ~/.ssh/work.pub --name work")]
struct Add {
    /// The public key's file, or - for stdin [default: ~/.ssh/id_{ed25519,ecdsa,rsa}.pub, the first there is]
    path: Option<PathBuf>,
    /// What to call it [default: the key's comment]
    #[arg(long)]
    name: Option<String>,
}

/// List your keys
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech keys list")]
struct List {}

/// Remove a key: whoever holds it can push no more
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech keys remove work")]
struct Remove {
    /// Its name, fingerprint or id
    key: String,
}

impl Keys {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        match &self.command {
            Command::Add(command) => command.run(context).await,
            Command::List(_) => list(context).await,
            Command::Remove(command) => command.run(context).await,
        }
    }
}

impl Add {
    async fn run(&self, context: &Context) -> Result<()> {
        let (text, origin) = match &self.path {
            Some(path) if path == Path::new("-") => (prompt::read_stdin()?, "stdin".to_owned()),
            Some(path) => (read(path)?, path.display().to_string()),
            None => find_usual()?,
        };
        let key = public_key(&text, &origin)?;
        let name = self.name.clone().or_else(|| comment(key)).unwrap_or_else(|| "key".to_owned());
        let request = json!({ "name": name, "public_key": key });
        let body = context.client.send(Method::POST, "/v1/ssh-keys", Some(&request)).await?;
        let added: Key = context.client.decode(&body)?;
        context.output.answer(&body, || format!("added '{}' {} from {origin}", added.name, added.fingerprint))
    }
}

impl Remove {
    async fn run(&self, context: &Context) -> Result<()> {
        let body = context.client.list("/v1/ssh-keys").await?;
        let keys: Page<Key> = context.client.decode(&body)?;
        let is_meant = |key: &&Key| [&key.id, &key.name, &key.fingerprint].contains(&&self.key);
        let found: Vec<&Key> = keys.items.iter().filter(is_meant).collect();
        let key = match found.as_slice() {
            [key] => key,
            [] => return Err(Error::NotFound(format!("you have no key '{}'", self.key))),
            several => {
                return Err(Error::usage_hint(
                    format!("{} of your keys are called '{}'", several.len(), self.key),
                    "name it by its fingerprint: paastech keys list",
                ));
            }
        };
        context.client.send(Method::DELETE, &format!("/v1/ssh-keys/{}", key.id), None).await?;
        let removed = json!({ "removed": key.id });
        context.output.answer(&removed, || format!("removed '{}' {}", key.name, key.fingerprint))
    }
}

async fn list(context: &Context) -> Result<()> {
    let body = context.client.list("/v1/ssh-keys").await?;
    let keys: Page<Key> = context.client.decode(&body)?;
    context.output.answer(&body, || {
        let row = |key: &Key| {
            [key.name.clone(), key.algorithm.clone(), key.fingerprint.clone(), ago(key.created_at)]
        };
        let rows = keys.items.iter().map(row).collect();
        table(["NAME", "TYPE", "FINGERPRINT", "ADDED"], rows, "no keys: `paastech keys add` adds one")
    })
}

fn find_usual() -> Result<(String, String)> {
    let folder = environment::home().map(|home| home.join(".ssh")).unwrap_or_default();
    for name in USUAL {
        let path = folder.join(name);
        if path.is_file() {
            return Ok((read(&path)?, path.display().to_string()));
        }
    }
    Err(Error::usage_hint(
        format!("no public key in {} ({})", folder.display(), USUAL.join(", ")),
        "ssh-keygen -t ed25519 makes one; or name the file of another",
    ))
}

fn read(path: &Path) -> Result<String> {
    let text = fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The one line of a public key. A private key never leaves this machine, whatever file was named.
fn public_key<'a>(text: &'a str, origin: &str) -> Result<&'a str> {
    if text.contains("PRIVATE KEY") {
        return Err(Error::usage_hint(
            format!("{origin} holds a private key: it stays where it is"),
            "the public one is in the file whose name ends in .pub",
        ));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_key = |line: &&str| {
        let mut parts = line.split_whitespace();
        let algorithm = parts.next().unwrap_or_default();
        ["ssh-", "ecdsa-", "sk-"].iter().any(|start| algorithm.starts_with(start)) && parts.next().is_some()
    };
    match (lines.next().filter(is_key), lines.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => {
            Err(Error::usage(format!("{origin} holds more than one line: add one key at a time")))
        }
        (None, _) => Err(Error::usage(format!("{origin} holds no SSH public key"))),
    }
}

fn comment(key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split_whitespace().skip(2).collect();
    let comment: String = parts.join(" ").chars().filter(|c| !c.is_control()).take(100).collect();
    (!comment.is_empty()).then_some(comment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_never_sent() {
        let text = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY-----\n";
        assert!(public_key(text, "id_ed25519").unwrap_err().to_string().contains("private key"));
    }

    #[test]
    fn one_public_key_is_taken_from_the_text() {
        assert_eq!(
            public_key("\n# mine\nssh-ed25519 AAAA me@box\n", "x").unwrap(),
            "ssh-ed25519 AAAA me@box"
        );
        for text in ["", "hello world", "ssh-ed25519", "ssh-rsa AAAA a\nssh-rsa BBBB b\n"] {
            assert_eq!(public_key(text, "x").unwrap_err().exit_code(), 2, "{text}");
        }
    }

    #[test]
    fn the_comment_names_the_key() {
        assert_eq!(comment("ssh-ed25519 AAAA me at home").as_deref(), Some("me at home"));
        assert_eq!(comment("ssh-ed25519 AAAA"), None);
    }
}
