//! Somebody with an account and a key, and their projects.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    Api, Ended, Platform, Repository, Source,
    api::PASSWORD,
    binaries, eventually,
    push::capture_with,
    web::{Page, Site},
};

/// Somebody with an account and a key.
pub(crate) struct Developer {
    pub(crate) api: Api,
    pub(crate) email: String,
    home: PathBuf,
}

impl Developer {
    /// Somebody without an account.
    pub(crate) fn newcomer(platform: &Platform) -> Self {
        let name = format!("dev-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let email = format!("{name}@example.org");
        let home = platform.directory().join(name);
        fs::create_dir_all(home.join(".ssh")).expect("a home");
        Self { api: platform.api.clone(), email, home }
    }

    /// Signs up, logs in and adds a key.
    pub(crate) async fn join(platform: &Platform) -> Self {
        let mut developer = Self::newcomer(platform);
        let body = json!({ "email": developer.email, "name": "Dev", "password": PASSWORD });
        platform.api.post("/v1/accounts", body).await.ok();
        developer.api = platform.api.log_in(&developer.email).await;
        let public_key = developer.make_key("id_ed25519").await;
        developer.api.post("/v1/ssh-keys", json!({ "name": "laptop", "public_key": public_key })).await.ok();
        developer
    }

    /// Makes a key pair in their home; the public half.
    pub(crate) async fn make_key(&self, name: &str) -> String {
        let mut keygen = self.command("ssh-keygen");
        let path = self.home.join(".ssh").join(name);
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "laptop", "-f"]).arg(&path);
        assert!(keygen.status().await.expect("ssh-keygen runs").success());
        let public = fs::read_to_string(path.with_extension("pub")).expect("a public key");
        public.trim().to_owned()
    }

    /// A program run by them at home, whose git finds their key.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = crate::process::command(program, &self.home);
        command.env("GIT_SSH_COMMAND", format!("ssh {}", self.ssh_options("id_ed25519").join(" ")));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_AUTHOR_NAME", "Dev").env("GIT_AUTHOR_EMAIL", &self.email);
        command.env("GIT_COMMITTER_NAME", "Dev").env("GIT_COMMITTER_EMAIL", &self.email);
        command
    }

    /// What ssh is told, to use this key and no other.
    pub(crate) fn ssh_options(&self, key: &str) -> Vec<String> {
        let home = self.home.display();
        ["-F", "none", "-i", &format!("{home}/.ssh/{key}"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
            .into_iter()
            .chain([
                "-o",
                "StrictHostKeyChecking=accept-new",
                "-o",
                &format!("UserKnownHostsFile={home}/known"),
            ])
            .map(str::to_owned)
            .collect()
    }

    /// `ssh` to the platform, with words before and behind the address.
    pub(crate) fn ssh(&self, platform: &Platform, key: &str, options: &[&str], exec: &[&str]) -> Command {
        let address = platform.place.ports.ssh;
        let mut ssh = self.command("ssh");
        ssh.args(self.ssh_options(key)).args(options);
        ssh.args(["-p", &address.port().to_string(), &format!("git@{}", address.ip())]).args(exec);
        ssh
    }

    /// The command line client, to its end; `stdin` is what it reads.
    pub(crate) async fn paastech(&self, folder: Option<&Path>, words: &[&str], stdin: &str) -> Ended {
        let program = binaries::find("paastech").expect("the client is built");
        let mut command = self.command(&program.to_string_lossy());
        command.args(words).current_dir(folder.unwrap_or(&self.home));
        capture_with(command, stdin).await
    }

    /// A new project.
    pub(crate) async fn project(&self, platform: &Platform) -> Project {
        self.project_with(platform, json!({})).await
    }

    /// A new project with these settings.
    pub(crate) async fn project_with(&self, platform: &Platform, mut settings: Value) -> Project {
        settings["slug"] = format!("p{}", &uuid::Uuid::new_v4().simple().to_string()[..12]).into();
        let view = self.api.post("/v1/projects", settings).await.ok();
        let text = |key: &str| view[key].as_str().unwrap_or_else(|| panic!("{key} in {view}")).to_owned();
        Project {
            id: text("id"),
            slug: text("slug"),
            git_url: text("git_url"),
            url: text("url"),
            site: platform.site(&text("url")),
            api: self.api.clone(),
        }
    }

    /// A new repository with one commit of this source.
    pub(crate) async fn repository(&self, source: &Source) -> Repository<'_> {
        let folder = self.home.join(uuid::Uuid::new_v4().simple().to_string());
        Repository::create(self, folder, source).await
    }

    /// A repository in this folder, which is there already.
    pub(crate) fn repository_at(&self, folder: &Path) -> Repository<'_> {
        Repository::open(self, folder.to_owned())
    }

    /// A project that serves this greeting, and the repository it was pushed from.
    pub(crate) async fn live(&self, platform: &Platform, greeting: &str) -> (Project, Repository<'_>) {
        let project = self.project(platform).await;
        let repository = self.repository(&Source::greeting(greeting)).await;
        repository.push(&project).await.succeeded();
        project.serves(greeting).await;
        (project, repository)
    }
}

/// A project, as its owner has it.
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) slug: String,
    pub(crate) git_url: String,
    pub(crate) url: String,
    pub(crate) site: Site,
    pub(crate) api: Api,
}

impl Project {
    /// A path of the project in the API.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/projects/{}{rest}", self.id)
    }

    /// One visit.
    pub(crate) async fn visit(&self) -> Page {
        self.site.get("/").await.expect("the proxy answers")
    }

    /// It answers with this greeting, at once.
    pub(crate) async fn serves(&self, greeting: &str) {
        let page = self.visit().await;
        assert_eq!((page.status, page.body.as_str()), (StatusCode::OK, greeting));
    }

    /// It comes to answer with this greeting.
    pub(crate) async fn comes_to_serve(&self, greeting: &str, seconds: u64) {
        let what = format!("{} serves {greeting}", self.url);
        eventually(&what, seconds, || async {
            let page = self.site.get("/").await.ok()?;
            (page.status == StatusCode::OK && page.body == greeting).then_some(())
        })
        .await;
    }

    /// Its newest operations.
    pub(crate) async fn operations(&self) -> Vec<Value> {
        let list = self.api.get(&self.path("/operations")).await.ok();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// An accepted operation, once it has ended.
    pub(crate) async fn ended(&self, accepted: &Value) -> Value {
        let accepted = accepted.get("operation").unwrap_or(accepted);
        let id = accepted["id"].as_str().unwrap_or_else(|| panic!("no operation: {accepted}"));
        eventually(&format!("operation {id} ends"), 60, || async {
            let row = self.api.get(&format!("/v1/operations/{id}")).await.ok();
            (!is_open(&row)).then_some(row)
        })
        .await
    }

    /// An accepted operation, once it has ended well.
    pub(crate) async fn done(&self, accepted: &Value) -> Value {
        let row = self.ended(accepted).await;
        assert_eq!(row["state"], "done", "{row}");
        row
    }

    /// Once every operation has ended; all of them.
    pub(crate) async fn settled(&self, seconds: u64) -> Vec<Value> {
        eventually("every operation ends", seconds, || async {
            let all = self.operations().await;
            (!all.iter().any(is_open)).then_some(all)
        })
        .await
    }
}

fn is_open(operation: &Value) -> bool {
    matches!(operation["state"].as_str(), Some("queued" | "running" | "undoing"))
}
