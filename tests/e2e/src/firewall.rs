//! The rules that keep apps off this host, loaded as `up` loads them, and what was there before put back.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::AsyncWriteExt as _,
    sync::{Mutex, MutexGuard},
};

use crate::{binaries, process};

/// The host has one table: who has loaded the rules keeps others from taking them away.
static TURN: Mutex<()> = Mutex::const_new(());
const TABLE: [&str; 3] = ["table", "inet", "paastech"];

/// The loaded rules.
pub(crate) struct Firewall {
    /// The table as it was; empty where there was none.
    before: String,
    _turn: MutexGuard<'static, ()>,
    home: std::path::PathBuf,
}

impl Firewall {
    /// Loads them.
    pub(crate) async fn load(home: &std::path::Path) -> Result<Self> {
        let turn = TURN.lock().await;
        let mut xtask = process::command(binaries::find("xtask")?, home);
        let before = list(home).await?;
        ensure!(xtask.arg("firewall").status().await?.success(), "the rules cannot be loaded");
        Ok(Self { before, _turn: turn, home: home.to_owned() })
    }

    /// How many packets the first rule with these words has dropped.
    pub(crate) async fn dropped(&self, rule: &str) -> Result<u64> {
        let table = list(&self.home).await?;
        let line = table.lines().find(|line| line.contains(rule) && line.contains("counter packets "));
        let count = line.and_then(|line| line.split("counter packets ").nth(1)?.split(' ').next());
        Ok(count.with_context(|| format!("no rule counts {rule}: {table}"))?.parse()?)
    }

    /// Puts back what was there.
    pub(crate) async fn restore(&self) -> Result<()> {
        let table = TABLE.join(" ");
        let mut nft = process::command("nft", &self.home).args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
        let mut stdin = nft.stdin.take().context("stdin is piped")?;
        stdin.write_all(format!("delete {table}\n{}", self.before).as_bytes()).await?;
        drop(stdin);
        ensure!(nft.wait().await?.success(), "the rules of before cannot be loaded");
        Ok(())
    }
}

/// The table as text; empty where there is none.
async fn list(home: &std::path::Path) -> Result<String> {
    let mut nft = process::command("nft", home);
    // Where nothing was ever loaded the program itself may be absent.
    let Ok(output) = nft.arg("list").args(TABLE).output().await else { return Ok(String::new()) };
    Ok(String::from_utf8(output.stdout)?)
}
