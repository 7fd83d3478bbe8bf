//! `invite`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{context::Context, error::Result, target::Target};

/// Make an invitation: a token with which one person can sign up
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  paastech invite --email new@example.org")]
pub(crate) struct Invite {
    /// Only this address can use it
    #[arg(long)]
    email: Option<String>,
}

impl Invite {
    pub(crate) async fn run(&self, context: &Context) -> Result<()> {
        let request = self.email.as_ref().map_or(json!({}), |email| json!({ "email": email }));
        let body = context.client.send(Method::POST, "/v1/invitations", Some(&request)).await?;
        let token = body.get("token").and_then(Value::as_str).unwrap_or_default();
        context.output.answer(&body, || token.to_owned())?;
        let api = match context.client.target() {
            Target::Url(url) => url,
            Target::Socket(_) => "URL",
        };
        context.output.note(&format!("good for one sign-up: paastech signup {api} --invitation {token}"));
        Ok(())
    }
}
