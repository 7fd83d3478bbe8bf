//! Mutual TLS: who gets in, who does not, and what happens to a certificate that is replaced.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use http::Uri;
use paastech_proto::git::{
    git_controller_client::GitControllerClient, git_controller_server::GitControllerServer,
};
use paastech_runtime::{Peer, Shutdown, Tls, TlsConfig, Transport, serve::GrpcServer, transport};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
    string::Ia5String,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{odd::Odd, transport::inspect};

/// An authority, and a folder that each certificate of it gets its own files in.
struct Authority<'a> {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: &'a Path,
}

impl<'a> Authority<'a> {
    fn new(dir: &'a Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
        Self { issuer, dir }
    }

    fn issue(&self, peer: Peer) -> TlsConfig {
        self.issue_with(peer, |_| {})
    }

    fn issue_with(&self, peer: Peer, change: impl FnOnce(&mut CertificateParams)) -> TlsConfig {
        let mut params = CertificateParams::new([peer.name().to_owned()]).expect("a name");
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(peer.uri()).expect("ASCII")));
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        let file = |name: &str| self.dir.join(format!("{}-{name}.pem", peer.name()));
        let files = TlsConfig { ca: file("ca"), certificate: file("certificate"), key: file("key") };
        fs::write(&files.ca, self.issuer.pem()).expect("written");
        fs::write(&files.certificate, leaf.pem()).expect("written");
        // As an installer does it: whole, and private from the first moment.
        let aside = file("key-new");
        fs::write(&aside, key.serialize_pem()).expect("written");
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o400)).expect("private");
        fs::rename(aside, &files.key).expect("in place");
        files
    }
}

/// A git-controller that only the api may call.
async fn serve(files: &TlsConfig, shutdown: &Shutdown) -> Uri {
    let tls = Tls::open(files).expect("certificates");
    let server = GrpcServer::bind(([127, 0, 0, 1], 0).into(), Some(tls)).await.expect("bound");
    let uri = format!("https://{}", server.addr().expect("bound")).parse().expect("a URI");
    let odd = GitControllerServer::new(Odd::default());
    shutdown.spawn("grpc", server.run(odd, &[Peer::Api], shutdown.clone()));
    uri
}

fn client(uri: &Uri, files: &TlsConfig) -> GitControllerClient<Transport> {
    let tls = Tls::open(files).expect("certificates");
    GitControllerClient::new(transport::remote(uri, Some(&tls), Peer::GitController).expect("made"))
}

/// The code of a call, with this certificate.
async fn code(uri: &Uri, files: &TlsConfig) -> Code {
    client(uri, files)
        .inspect_repository(inspect("main"))
        .await
        .map_or_else(|error| error.code(), |_| Code::Ok)
}

/// Runs a test with an authority, and a git-controller that it certified.
async fn with_server(test: impl AsyncFnOnce(&Authority<'_>, &TlsConfig, &Uri)) {
    let (dir, shutdown) = (tempfile::tempdir().expect("a directory"), Shutdown::new());
    let authority = Authority::new(dir.path());
    let files = authority.issue(Peer::GitController);
    let uri = serve(&files, &shutdown).await;
    test(&authority, &files, &uri).await;
    shutdown.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn who_may_call_is_answered_and_who_may_not_is_told_so() {
    with_server(async |authority, _, uri| {
        assert_eq!(code(uri, &authority.issue(Peer::Api)).await, Code::Ok);
        let other = authority.issue(Peer::SshGitServer);
        let refused = client(uri, &other).inspect_repository(inspect("main")).await.expect_err("refused");
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(refused.message(), "ssh-git-server may not call this service");
        let tls = Tls::open(&other).expect("certificates");
        let health = transport::remote(uri, Some(&tls), Peer::GitController).expect("made");
        HealthClient::new(health).check(HealthCheckRequest::default()).await.expect("health is everybody's");
    })
    .await;
}

#[tokio::test]
async fn strangers_are_not_let_in() {
    with_server(async |authority, _, uri| {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let mut stranger = Authority::new(elsewhere.path()).issue(Peer::Api);
        assert_eq!(
            code(uri, &stranger).await,
            Code::Unavailable,
            "it trusts the server no more than that one it"
        );
        stranger.ca = authority.issue(Peer::Api).ca;
        assert_eq!(code(uri, &stranger).await, Code::Unavailable, "another authority's");

        let old = |params: &mut CertificateParams| {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        };
        assert_eq!(code(uri, &authority.issue_with(Peer::Api, old)).await, Code::Unavailable, "expired");
        let nameless = |params: &mut CertificateParams| params.subject_alt_names.truncate(1);
        assert_eq!(code(uri, &authority.issue_with(Peer::Api, nameless)).await, Code::Unavailable, "no URI");
        assert_eq!(code(uri, &authority.issue(Peer::Api)).await, Code::Ok, "a good one still is");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_another_service_is_not_called() {
    let (dir, shutdown) = (tempfile::tempdir().expect("a directory"), Shutdown::new());
    let authority = Authority::new(dir.path());
    let uri = serve(&authority.issue(Peer::Pomegranate), &shutdown).await;
    assert_eq!(code(&uri, &authority.issue(Peer::Api)).await, Code::Unavailable);
    shutdown.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn who_shows_no_certificate_gets_no_answer() {
    with_server(async |_, files, uri| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&files.ca).expect("a certificate")).expect("an authority");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream =
            TcpStream::connect(uri.authority().expect("an address").as_str()).await.expect("connects");
        let name = ServerName::try_from(Peer::GitController.name()).expect("a name");
        // In TLS 1.3 the client's half is done before the server has looked.
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let error = connected.expect("its half").read_to_end(&mut Vec::new()).await.expect_err("refused");
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn plain_text_gets_no_answer() {
    with_server(async |_, _, uri| {
        let address = uri.authority().expect("an address").as_str();
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        // At most the alert that it is no TLS.
        assert!(read.is_err() || answer.len() < 16, "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn a_scheme_and_its_certificates_belong_together() {
    let dir = tempfile::tempdir().expect("a directory");
    let tls = Tls::open(&Authority::new(dir.path()).issue(Peer::Api)).expect("certificates");
    let uri = |text: &str| text.parse::<Uri>().expect("a URI");
    assert!(transport::remote(&uri("https://127.0.0.1:1"), None, Peer::GitController).is_err());
    assert!(transport::remote(&uri("http://127.0.0.1:1"), Some(&tls), Peer::GitController).is_err());
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused() {
    with_server(async |authority, _, uri| {
        let mut client = client(uri, &authority.issue(Peer::Api));
        let refused = client.inspect_repository(inspect(&"x".repeat(5 << 20))).await.expect_err("refused");
        assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused:?}");
        client.inspect_repository(inspect("main")).await.expect("the next one is answered");
    })
    .await;
}

#[tokio::test]
async fn a_replaced_certificate_is_taken_up_and_a_broken_one_is_not() {
    with_server(async |authority, files, uri| {
        let api = authority.issue(Peer::Api);
        let before = fs::read(&files.certificate).expect("there");
        fs::write(&files.certificate, "nonsense").expect("written");
        assert_eq!(code(uri, &api).await, Code::Ok, "the one before stays");
        fs::write(&files.certificate, before).expect("written");
        // The whole installation gets a new authority; the server is not restarted.
        let elsewhere = tempfile::tempdir().expect("a directory");
        let renewed = Authority::new(elsewhere.path());
        let theirs = renewed.issue(Peer::GitController);
        for (from, to) in
            [(&theirs.ca, &files.ca), (&theirs.certificate, &files.certificate), (&theirs.key, &files.key)]
        {
            fs::rename(from, to).expect("in place");
        }
        assert_eq!(code(uri, &renewed.issue(Peer::Api)).await, Code::Ok);
        assert_eq!(code(uri, &api).await, Code::Unavailable, "the old authority counts no more");
    })
    .await;
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = Authority::new(dir.path()).issue(Peer::Api);
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o444)).expect("open");
    let refused = Tls::open(&files).err().expect("refused").to_string();
    assert!(refused.contains("api-key.pem") && refused.contains("chmod 400"), "{refused}");
}
