//! A client that does what no honest one does: the library's own, call by call.

use std::{sync::Arc, time::Duration};

pub(crate) use russh::client::Config;
use russh::{
    Channel, ChannelMsg, Signer,
    client::{self, Handle, Msg},
    keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate, agent::AgentIdentity, load_secret_key},
};

use crate::world::{Person, World};

pub(crate) struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// A connection that has logged in.
pub(crate) async fn connect(world: &World, person: &Person, config: Config) -> Handle<Trusting> {
    let mut client = greet(world, config).await;
    let key = load_secret_key(&person.key, None).expect("a key");
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let outcome = client.authenticate_publickey("git", key).await.expect("answered");
    assert!(outcome.success());
    client
}

/// A connection that has not.
pub(crate) async fn greet(world: &World, config: Config) -> Handle<Trusting> {
    let to = ("127.0.0.1", world.port);
    client::connect(Arc::new(config), to, Trusting).await.expect("connected")
}

/// Signs nothing: a key is only offered.
pub(crate) struct NoKey;

#[derive(Debug)]
pub(crate) struct Unsigned;

impl From<russh::SendError> for Unsigned {
    fn from(_: russh::SendError) -> Self {
        Self
    }
}

impl Signer for NoKey {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        _: Option<HashAlg>,
        _: Vec<u8>,
    ) -> Result<Vec<u8>, Unsigned> {
        Err(Unsigned)
    }
}

/// Reads a channel to its end, at most half a minute, and gives the exit status.
pub(crate) async fn status(channel: &mut Channel<Msg>) -> Option<u32> {
    let read = async {
        let mut status = None;
        while let Some(message) = channel.wait().await {
            if let ChannelMsg::ExitStatus { exit_status } = message {
                status = Some(exit_status);
            }
        }
        status
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.expect("the channel ends")
}
