//! Mutual TLS between the services: TLS 1.3, both ends show a certificate of the installation's own CA, and a peer is who
//! the URI in its certificate says. Files that are replaced are taken up by the next connection.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use futures_util::Stream;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::TLS13,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::{
    metrics::{Gauge, single},
    secrets::read_private,
};

/// The longest that a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after the system could not give us a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const ALPN: &[u8] = b"h2";

static EXPIRY: LazyLock<Gauge> = LazyLock::new(|| {
    let help = "When the certificate in use expires, since 1970-01-01";
    single("certificate_expiry_seconds", help, Gauge::default())
});

/// Where a service's certificate is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The installation's CA, in PEM.
    pub ca: PathBuf,
    /// This service's certificate and what is between it and the CA, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM, readable by its owner alone.
    pub key: PathBuf,
}

/// Whether a service's certificate is to be renewed: two thirds of its life have passed. In seconds since 1970.
#[must_use]
pub fn is_due((from, to): (i64, i64), now: i64) -> bool {
    to - now <= (to - from) / 3
}

/// A service, as certificates name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The HTTP API and its control service.
    Api,
    /// The git-controller.
    GitController,
    /// The SSH server.
    SshGitServer,
    /// The deployment manager.
    Pomegranate,
}

impl Peer {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Api, Self::GitController, Self::SshGitServer, Self::Pomegranate];

    /// Its name; its certificate has it as a DNS name too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::GitController => "git-controller",
            Self::SshGitServer => "ssh-git-server",
            Self::Pomegranate => "pomegranate",
        }
    }

    /// The URI in its certificate: `paastech://svc/<name>`.
    #[must_use]
    pub fn uri(self) -> String {
        format!("paastech://svc/{}", self.name())
    }

    /// Whom a verified chain names.
    fn of(chain: Option<&[CertificateDer<'_>]>) -> io::Result<Self> {
        let leaf = chain.and_then(<[_]>::first).ok_or_else(|| refused("no certificate"))?;
        let leaf = webpki::EndEntityCert::try_from(leaf).map_err(refused)?;
        let mut names = leaf.valid_uri_names();
        names
            .find_map(|name| Self::ALL.into_iter().find(|peer| peer.uri() == name))
            .ok_or_else(|| refused("its certificate names no service"))
    }
}

/// A service's end of mutual TLS.
pub struct Tls {
    files: TlsConfig,
    loaded: Mutex<Loaded>,
}

#[derive(Clone)]
struct Loaded {
    stamps: [Option<SystemTime>; 3],
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One is absent, malformed or, if it is the key, open to others: the path is named.
    pub fn open(files: &TlsConfig) -> io::Result<Arc<Self>> {
        let loaded = Mutex::new(load(files)?);
        Ok(Arc::new(Self { files: files.clone(), loaded }))
    }

    /// What the files say now; what they said before, when they cannot be read.
    fn current(&self) -> Loaded {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.files);
        if stamps != loaded.stamps {
            match load(&self.files) {
                Ok(fresh) => {
                    tracing::info!("the certificate was replaced");
                    *loaded = fresh;
                }
                Err(error) => {
                    tracing::error!(%error, "the replaced certificate cannot be used; the one before stays");
                    loaded.stamps = stamps;
                }
            }
        }
        loaded.clone()
    }

    /// Connects to a service.
    pub(crate) async fn connect(&self, address: &str, to: Peer) -> io::Result<client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(to.name()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(self.current().client).connect(name, stream).await?;
        let is = Peer::of(stream.get_ref().1.peer_certificates())?;
        if is == to { Ok(stream) } else { Err(refused(format!("{} answers for {}", is.name(), to.name()))) }
    }

    /// The connections of services, their handshakes done; ends with its reader.
    pub(crate) fn accept(self: Arc<Self>, listener: TcpListener) -> impl Stream<Item = io::Result<Secured>> {
        let (send, receive) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let (stream, from) = tokio::select! {
                    () = send.closed() => return,
                    accepted = listener.accept() => match accepted {
                        Ok(accepted) => accepted,
                        Err(error) => {
                            tracing::warn!(%error, "a connection could not be accepted");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                            continue;
                        }
                    },
                };
                let (tls, send) = (Arc::clone(&self), send.clone());
                tokio::spawn(async move {
                    let handshake = timeout(HANDSHAKE, tls.secure(stream)).await;
                    match handshake.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
                        // Nobody reads on when the server has ended.
                        Ok(stream) => drop(send.send(Ok(stream)).await),
                        Err(error) => tracing::warn!(%from, %error, "a connection is refused"),
                    }
                });
            }
        });
        ReceiverStream::new(receive)
    }

    async fn secure(&self, stream: TcpStream) -> io::Result<Secured> {
        stream.set_nodelay(true)?;
        let stream = TlsAcceptor::from(self.current().server).accept(stream).await?;
        let peer = Peer::of(stream.get_ref().1.peer_certificates())?;
        Ok(Secured { stream, peer })
    }
}

fn load(files: &TlsConfig) -> io::Result<Loaded> {
    // Before the files: what changes while they are read is seen the next time.
    let stamps = stamps(files);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|error| named(&files.ca, error))?;
    }
    let (roots, chain) = (Arc::new(roots), certificates(&files.certificate)?);
    let expiry = expiry(&chain[0]).map_err(|error| named(&files.certificate, error))?;
    let key = PrivateKeyDer::from_pem_slice(read_private(&files.key)?.as_bytes());
    let key = key.map_err(|error| named(&files.key, error))?;
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .map_err(|error| named(&files.ca, error))?;
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(|error| named(&files.certificate, error))?;
    server.alpn_protocols = vec![ALPN.to_owned()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| named(&files.certificate, error))?;
    client.alpn_protocols = vec![ALPN.to_owned()];
    EXPIRY.set(expiry);
    Ok(Loaded { stamps, server: Arc::new(server), client: Arc::new(client) })
}

/// When a certificate ends, in seconds since 1970-01-01.
fn expiry(certificate: &CertificateDer<'_>) -> Result<i64, x509_parser::error::X509Error> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)?;
    Ok(parsed.validity().not_after.timestamp())
}

fn stamps(files: &TlsConfig) -> [Option<SystemTime>; 3] {
    [&files.ca, &files.certificate, &files.key]
        .map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| named(path, error))?;
    if all.is_empty() { Err(named(path, "there is no certificate in it")) } else { Ok(all) }
}

fn named(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", path.display()))
}

fn refused(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why.to_string())
}

/// A connection whose peer is known.
pub(crate) struct Secured {
    stream: server::TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for Secured {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Secured {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
