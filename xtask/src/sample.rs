//! A sample, deployed as a user would: a key, a project, a `git push`, a look at the URL.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use http::{Method, StatusCode, Uri, header::HOST};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::{
    account::Account,
    http::{self as client, Server},
    interrupt,
    layout::Layout,
    paths,
    ports::Ports,
    process,
    progress::Step,
};

pub(crate) const SLUG: &str = "hello";
pub(crate) const SAMPLE: &str = "python-flask";
/// A push ends when its app is served; one that had nothing to push says nothing about that.
const SERVING_PATIENCE: Duration = Duration::from_secs(5);
const DEPLOY_PATIENCE: Duration = Duration::from_secs(90);

#[derive(Deserialize)]
struct Project {
    url: String,
}

/// Deploys it and returns the URL, which has answered 200.
pub(crate) async fn deploy(layout: &Layout, account: &Account, ports: &Ports) -> Result<String> {
    let project = prepare(layout, account).await?;
    push(layout, ports).await?;
    let url: Uri = project.url.parse().with_context(|| format!("the project's URL is {}", project.url))?;
    let step = Step::new(format!("waiting for {url}"));
    let greeting = match visit(&url, ports, SERVING_PATIENCE).await {
        Ok(greeting) => greeting,
        Err(_) => {
            interrupt::check()?;
            step.note("deploying it again");
            deploy_again(account).await?;
            visit(&url, ports, DEPLOY_PATIENCE).await?
        }
    };
    step.done(&greeting);
    Ok(project.url)
}

/// Pushes it once more, with a file that changes nothing.
pub(crate) async fn change(layout: &Layout, ports: &Ports) -> Result<()> {
    fs::write(layout.state.join(SLUG).join("CHANGED"), "once more\n")?;
    push(layout, ports).await
}

/// Pushed before, and its containers are gone: what `down --apps` does.
async fn deploy_again(account: &Account) -> Result<()> {
    let path = format!("/v1/projects/{SLUG}/deployments");
    let answer = account.call(Method::POST, &path, Some(json!({}))).await?;
    answer.json::<serde_json::Value>().context("the sample could not be deployed again")?;
    Ok(())
}

async fn prepare(layout: &Layout, account: &Account) -> Result<Project> {
    let step = Step::new("SSH key and project");
    let public_key = ensure_key(&layout.state).await?;
    let key = json!({ "name": "cargo xtask up", "public_key": public_key });
    let answer = account.call(Method::POST, "/v1/ssh-keys", Some(key)).await?;
    if answer.status != StatusCode::CONFLICT {
        answer.json::<serde_json::Value>().context("the SSH key was not taken")?;
    }
    let answer = account.call(Method::POST, "/v1/projects", Some(json!({ "slug": SLUG }))).await?;
    let project: Project = if answer.status == StatusCode::CONFLICT {
        account.call(Method::GET, &format!("/v1/projects/{SLUG}"), None).await?.json()?
    } else {
        answer.json().context("the project could not be made")?
    };
    step.done(SLUG);
    Ok(project)
}

async fn ensure_key(state: &Path) -> Result<String> {
    let key = state.join("id_ed25519");
    if !key.is_file() {
        let mut keygen =
            process::argv(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "paastech-up", "-f"]);
        process::stdout(keygen.arg(&key)).await.context("install openssh-client")?;
    }
    Ok(fs::read_to_string(key.with_extension("pub"))?.trim().to_owned())
}

/// A repository of its own: the checkout's history is none of the sample's business.
async fn push(layout: &Layout, ports: &Ports) -> Result<()> {
    let repository = layout.state.join(SLUG);
    if !repository.join(".git").is_dir() {
        process::stdout(git(&repository, ["init", "--quiet", "--initial-branch=main"])?.arg(&repository))
            .await?;
    }
    for entry in fs::read_dir(paths::workspace().join("samples").join(SAMPLE))? {
        let entry = entry?;
        fs::copy(entry.path(), repository.join(entry.file_name()))?;
    }
    process::stdout(&mut git(&repository, ["add", "--all"])?).await?;
    if !process::stdout(&mut git(&repository, ["status", "--porcelain"])?).await?.is_empty() {
        process::stdout(&mut git(&repository, ["commit", "--quiet", "--message=Say hello"])?).await?;
    }
    let url = format!("ssh://git@{}/{SLUG}.git", ports.ssh());
    eprintln!("… git push {url} main");
    let mut push = git(&repository, ["push", &url, "main"])?;
    push.env("GIT_SSH_COMMAND", ssh_command(&layout.state)?).stderr(Stdio::inherit());
    ensure!(process::status(&mut push).await?.success(), "the push failed: see above");
    Ok(())
}

fn git<'a>(repository: &Path, words: impl IntoIterator<Item = &'a str>) -> Result<Command> {
    fs::create_dir_all(repository)?;
    let mut command = process::argv(["git", "-c", "user.name=PaaSTech", "-c", "user.email=demo@example.org"]);
    command.args(["-c", "commit.gpgSign=false"]).args(words).current_dir(repository);
    Ok(command)
}

/// git reads this as a command line, so the path must need no quoting but the quotes around it.
fn ssh_command(state: &Path) -> Result<String> {
    let state =
        state.to_str().filter(|path| !path.contains(['\'', '\n'])).context("the data path has a quote")?;
    Ok(format!(
        "ssh -F none -i '{state}/id_ed25519' -o IdentitiesOnly=yes -o BatchMode=yes \
         -o UserKnownHostsFile='{state}/known_hosts' -o StrictHostKeyChecking=accept-new"
    ))
}

/// The first line of the app's answer. Asks the edge's address by the URL's name: not every resolver knows `*.localhost`.
async fn visit(url: &Uri, ports: &Ports, patience: Duration) -> Result<String> {
    let host = url.authority().context("the project's URL has no host")?.as_str();
    let deadline = Instant::now() + patience;
    let mut last = String::new();
    while Instant::now() < deadline {
        interrupt::check()?;
        let request = client::request(Method::GET, "/").header(HOST, host).body(client::empty())?;
        match Server::Tcp(ports.http()).call(request).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                return Ok(answer.text().lines().next().unwrap_or_default().to_owned());
            }
            Ok(answer) => last = format!("{}: {}", answer.status, answer.text()),
            Err(error) => last = format!("{error:#}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
    bail!("{url} did not answer 200 within {} s; the last answer: {last}", patience.as_secs())
}
