//! `create-admin` and `reset-password`.

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use paastech_db::DbError;
use paastech_runtime::{Clock, Secret};
use paastech_types::{AccountId, DisplayName, EmailAddress};

use super::{Installation, read_password};
use crate::{
    auth::password::{self, Passwords},
    setup as first_start,
    store::{account, role, session, setup},
};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech-admin create-admin --email ada@example.org --name Ada")]
pub struct CreateAdmin {
    /// Whom it logs in as
    #[arg(long)]
    email: EmailAddress,
    /// What it is called
    #[arg(long)]
    name: DisplayName,
    /// Read the password, one line, from standard input; else one is made and printed
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech-admin reset-password ada@example.org")]
pub struct ResetPassword {
    /// Whose
    email: EmailAddress,
    /// Read the password, one line, from standard input; else one is made and printed
    #[arg(long)]
    password_stdin: bool,
}

impl CreateAdmin {
    pub(super) async fn run(self, installation: &Installation) -> Result<()> {
        let password = Password::get(self.password_stdin)?;
        let hash = password.hash(installation).await?;
        let (db, now) = (installation.database().await?, Clock::system().now_ms());
        let email = self.email.as_str().to_lowercase();
        let mut tx = db.begin().await?;
        let role =
            role::by_name(&mut tx, "administrator").await?.context("the administrator's role is missing")?;
        let new = account::New {
            id: AccountId::new(),
            email: &email,
            name: self.name.as_str(),
            password_hash: &hash,
            role_id: role.id,
            now,
        };
        match account::insert(&mut tx, new).await {
            Err(DbError::Duplicate(_)) => {
                bail!("{email} has an account: `reset-password {email}` sets its password")
            }
            other => other?,
        }
        // There is an administrator: the token that makes the first one is of no use any more.
        setup::spend(&mut tx, now).await?;
        tx.commit().await?;
        first_start::forget(&installation.config.data_dir);
        db.close().await;
        println!("{email} is an administrator");
        password.print();
        Ok(())
    }
}

impl ResetPassword {
    pub(super) async fn run(self, installation: &Installation) -> Result<()> {
        let password = Password::get(self.password_stdin)?;
        let hash = password.hash(installation).await?;
        let (db, now) = (installation.database().await?, Clock::system().now_ms());
        let email = self.email.as_str().to_lowercase();
        let mut tx = db.begin().await?;
        let Some(row) = account::by_email(&mut tx, &email).await? else {
            bail!("no account has the address {email}: `create-admin` makes one")
        };
        account::set_password(&mut tx, row.id, &hash, now).await?;
        session::revoke_all(&mut tx, row.id, None, now).await?;
        tx.commit().await?;
        db.close().await;
        println!("{email} has a new password, and its sessions have ended; its SSH keys are as they were");
        password.print();
        Ok(())
    }
}

/// A new password: given, or made here and to be shown.
struct Password {
    text: Secret,
    made: bool,
}

impl Password {
    fn get(given: bool) -> Result<Self> {
        if !given {
            let text = Secret::new(hex::encode(rand::random::<[u8; 12]>()));
            return Ok(Self { text, made: true });
        }
        let text = read_password()?;
        password::check_rule(&text).map_err(|why| anyhow!("the password {why}"))?;
        Ok(Self { text, made: false })
    }

    async fn hash(&self, installation: &Installation) -> Result<String> {
        let passwords = Passwords::new(&installation.config.password).map_err(anyhow::Error::msg)?;
        passwords.hash(self.text.clone()).await.map_err(|_| anyhow!("the password cannot be hashed"))
    }

    /// Shows the one that was made, this once.
    fn print(&self) {
        if self.made {
            println!("password (shown this once; change it after the first log-in): {}", self.text.expose());
        }
    }
}
