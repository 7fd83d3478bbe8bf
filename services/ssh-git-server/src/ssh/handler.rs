//! What the library calls: each callback parses, answers and forwards. Forwarding of ports, sockets and agents is
//! refused by the library's own defaults; a request on a channel also arrives as an event of that channel.

use std::{collections::HashSet, sync::Arc};

use russh::{
    Channel, ChannelId, ChannelOpenFailure, Pty,
    keys::{HashAlg, PublicKey},
    server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Session, VerifiedPublicKey},
};

use super::{ClientKey, algorithms, channel};
use crate::{
    connection::Connection,
    metrics::METRICS,
    server::{Account, Shared},
    session,
};

/// Why a connection ends at once.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Protocol(#[from] russh::Error),
    #[error("too many keys")]
    TooManyKeys,
    #[error("keys cannot be looked up: {0}")]
    Unavailable(String),
}

/// One connection's callbacks.
pub(super) struct Handler {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    /// Who has proved to hold a key. An offered key proves nothing and leaves no trace here.
    account: Option<Account>,
    /// Keys that were offered so far.
    offers: usize,
    /// How the log-in ended, for those who count.
    login: Login,
    /// Channels that have had their one command.
    busy: HashSet<ChannelId>,
}

/// How a log-in would end if the connection did now; counted when it does, unless it has been. None before the client
/// asks to log in: a check of health never does.
#[derive(Default)]
struct Login(Option<&'static str>);

impl Login {
    fn begin(&mut self) {
        self.0.get_or_insert("abandoned");
    }

    fn accept(&mut self) {
        self.0 = None;
        METRICS.logins.with(["accepted"]).inc();
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if let Some(outcome) = self.0 {
            METRICS.logins.with([outcome]).inc();
        }
    }
}

/// The one user name; who somebody is, their key says.
const USER: &str = "git";

impl Handler {
    pub(super) fn new(shared: Arc<Shared>, connection: Arc<Connection>) -> Self {
        Self { shared, connection, account: None, offers: 0, login: Login::default(), busy: HashSet::new() }
    }

    async fn account(&mut self, user: &str, key: ClientKey) -> Result<Option<Account>, Error> {
        self.login.0 = Some("refused");
        if user != USER {
            return Ok(None);
        }
        let found = self.shared.authenticate(key).await.map_err(|status| {
            self.login.0 = Some("unavailable");
            Error::Unavailable(status.message().to_owned())
        })?;
        if found.is_none() && !self.shared.permits.unknown_key(self.connection.ip) {
            return Err(Error::TooManyKeys);
        }
        Ok(found)
    }
}

impl server::Handler for Handler {
    type Error = Error;

    /// With this a client asks which methods there are.
    async fn auth_none(&mut self, _: &str) -> Result<Auth, Error> {
        self.login.begin();
        Ok(Auth::reject())
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Error> {
        self.login.begin();
        if !algorithms::is_taken(offer.algorithm) {
            return Ok(Auth::reject());
        }
        // A known key that is only offered is no failed attempt: the library counts none.
        self.offers += 1;
        if self.offers > algorithms::MAX_ATTEMPTS {
            return Err(Error::TooManyKeys);
        }
        let known = self.account(user, offered(offer.public_key)?).await?.is_some();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        self.login.begin();
        self.account = None;
        if !algorithms::is_taken(key.algorithm) {
            return Ok(Auth::reject());
        }
        let proven = ClientKey { proven: true, ..offered(key.public_key)? };
        self.account = self.account(user, proven).await?;
        Ok(if self.account.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), Error> {
        self.connection.log_in();
        self.login.accept();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        let (Some(account), Some(open)) = (self.account.clone(), self.connection.open()) else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let (events, writer) = channel::split(channel);
        let client = session::Client { account, connection: self.connection.clone(), open };
        self.shared.shutdown.track(session::run(self.shared.clone(), client, events, writer));
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.busy.remove(&channel);
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        answer(session, channel, session::takes_variable(name, value))
    }

    /// Refused, a terminal would be complained about before our greeting is read.
    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        answer(session, channel, true)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        answer(session, channel, self.busy.insert(channel))
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        answer(session, channel, self.busy.insert(channel))
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        answer(session, channel, false)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        answer(session, channel, false)
    }
}

fn offered(key: &PublicKey) -> Result<ClientKey, Error> {
    let blob = key.to_bytes().map_err(russh::Error::from)?;
    let fingerprint = key.fingerprint(HashAlg::Sha256).as_bytes().to_vec();
    Ok(ClientKey { blob, fingerprint, proven: false })
}

/// Answers the request that is being handled, if the client wants an answer.
fn answer(session: &mut Session, channel: ChannelId, granted: bool) -> Result<(), Error> {
    Ok(if granted { session.channel_success(channel) } else { session.channel_failure(channel) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_asks_to_log_in_is_not_counted() {
        let abandoned = || METRICS.logins.with(["abandoned"]).get();
        drop(Login::default());
        assert_eq!(abandoned(), 0);
        let mut login = Login::default();
        login.begin();
        drop(login);
        assert_eq!(abandoned(), 1);
        let mut login = Login(Some("refused"));
        login.begin();
        login.accept();
        drop(login);
        assert_eq!(abandoned(), 1);
    }
}
