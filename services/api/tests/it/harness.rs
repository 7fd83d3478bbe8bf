//! The real service on a socket of its own, with a real database and fake neighbours.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use paastech_api::{
    Config, EngineConfig, Neighbours, Service,
    config::{BuildsConfig, DockerfilePolicy, Limits, PasswordConfig, Rate, SignUp},
};
use paastech_proto::{
    control::control_client::ControlClient,
    git::{git_controller_client::GitControllerClient, git_controller_server::GitControllerServer},
    pomegranate::{pomegranate_client::PomegranateClient, pomegranate_server::PomegranateServer},
};
use paastech_runtime::{Clock, Shutdown, Transport, transport::in_process};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::{database::Database, fakes::Fakes};

/// The password of every account here.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A running service.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) fakes: Fakes,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    pub(crate) control: ControlClient<Transport>,
    shutdown: Shutdown,
    dir: Option<tempfile::TempDir>,
}

/// Runs a test on each database there is, and cleans up behind it.
pub(crate) async fn on_each_database(test: impl AsyncFn(&Server)) {
    on_each_database_with(|_| {}, test).await;
}

/// The same, with a configuration of its own.
pub(crate) async fn on_each_database_with(configure: impl Fn(&mut Config), test: impl AsyncFn(&Server)) {
    for database in Database::each().await {
        let server = Server::start(&database, &configure).await;
        let outcome = AssertUnwindSafe(test(&server)).catch_unwind().await;
        server.shutdown.stop(Duration::from_secs(20)).await;
        drop(server);
        database.drop().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }
}

fn config() -> Config {
    let often = Rate { burst: 100_000, seconds: 1 };
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        sign_up: SignUp::Open,
        password: PasswordConfig { memory_kib: 64, iterations: 1, parallelism: 1, queue: 1000 },
        limits: Limits {
            login: often,
            login_address: often,
            register: often,
            anonymous: often,
            account: often,
            deploy: often,
        },
        builds: BuildsConfig { dockerfile: DockerfilePolicy::All, ..BuildsConfig::default() },
        engine: EngineConfig { drain_seconds: 0, ..EngineConfig::default() },
        ..Config::default()
    }
}

/// The fakes as the service reaches them.
pub(crate) fn neighbours(fakes: &Fakes) -> Neighbours {
    Neighbours {
        git: GitControllerClient::new(in_process(GitControllerServer::new(fakes.clone()))),
        pomegranate: PomegranateClient::new(in_process(PomegranateServer::new(fakes.clone()))),
    }
}

impl Server {
    async fn start(database: &Database, configure: impl Fn(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut config = Config {
            data_dir: dir.path().join("data"),
            admin_socket: Some(dir.path().join("admin.sock")),
            database: database.address(),
            ..config()
        };
        configure(&mut config);
        Self { dir: Some(dir), ..Self::on(config, Fakes::default()).await }
    }

    /// One on a configuration, which may have been used before.
    pub(crate) async fn on(config: Config, fakes: Fakes) -> Self {
        let neighbours = neighbours(&fakes);
        let clock = Clock::manual(Clock::system().now_ms());
        let service = Service::build(config.clone(), neighbours, clock.clone()).await.expect("the service");
        let url = format!("http://{}", service.addr());
        let control = ControlClient::new(in_process(service.control_server()));
        let shutdown = Shutdown::new();
        service.run(&shutdown);
        Self { url, fakes, clock, config, control, shutdown, dir: None }
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        self.shutdown.stop(Duration::from_secs(20)).await;
    }

    /// Begins to stop.
    pub(crate) fn start_drain(&self) {
        self.shutdown.start_drain();
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.as_ref().expect("a server with a directory of its own").path()
    }

    /// Somebody who has not logged in.
    pub(crate) fn nobody(&self) -> Client {
        Client { url: self.url.clone(), token: None, http: reqwest::Client::new() }
    }

    /// The first administrator, logged in.
    pub(crate) async fn administrator(&self) -> Client {
        let token =
            std::fs::read_to_string(self.config.data_dir.join("setup-token")).expect("the setup token");
        let body = json!({
            "token": token.trim(), "email": "root@example.org", "name": "Root", "password": PASSWORD,
        });
        self.nobody().post("/v1/setup", &body).await.expect(StatusCode::CREATED).await;
        self.log_in("root@example.org").await
    }

    /// An account of this name, signed up and logged in.
    pub(crate) async fn user(&self, name: &str) -> Client {
        let email = format!("{name}@example.org");
        let body = json!({ "email": email, "name": name, "password": PASSWORD });
        self.nobody().post("/v1/accounts", &body).await.expect(StatusCode::CREATED).await;
        self.log_in(&email).await
    }

    /// Gives an account a role in a project: a row, until there are routes for members.
    pub(crate) async fn add_member(&self, project: &str, account: &str, role: &str) {
        self.execute(format!(
            "INSERT INTO membership (project_id, account_id, role_id, created_at) \
             SELECT '{project}', '{account}', id, 0 FROM role WHERE name = '{role}'"
        ))
        .await;
    }

    /// Changes a row behind its back.
    pub(crate) async fn execute(&self, statement: String) {
        let db = paastech_db::Database::connect(self.config.database_url().expose()).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        db.close().await;
    }

    /// A new session of an account.
    pub(crate) async fn log_in(&self, email: &str) -> Client {
        let body = json!({ "email": email, "password": PASSWORD });
        let session = self.nobody().post("/v1/sessions", &body).await.expect(StatusCode::CREATED).await;
        let token = session["access_token"].as_str().expect("a token").to_owned();
        Client { token: Some(token), ..self.nobody() }
    }
}

/// Somebody who calls.
#[derive(Clone)]
pub(crate) struct Client {
    url: String,
    token: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// The same, with this access token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request to add to.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        Reply::of(self.request(method, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::DELETE, path)).await
    }

    /// A new project's id.
    pub(crate) async fn project(&self, slug: &str) -> String {
        let project =
            self.post("/v1/projects", &json!({ "slug": slug })).await.expect(StatusCode::CREATED).await;
        project["id"].as_str().expect("an id").to_owned()
    }

    /// Deploys the project's one commit and waits for the end.
    pub(crate) async fn deploy(&self, project: &str) {
        let path = format!("/v1/projects/{project}/deployments");
        let accepted = self.post(&path, &json!({})).await.expect(StatusCode::ACCEPTED).await;
        self.finished(accepted["id"].as_str().expect("an id")).await;
    }

    /// Waits until an operation is done.
    pub(crate) async fn finished(&self, operation: &str) {
        let mut row = Value::Null;
        for _ in 0..400 {
            row = self.get(&format!("/v1/operations/{operation}")).await.expect(StatusCode::OK).await;
            match row["state"].as_str().expect("a state") {
                "queued" | "running" | "undoing" => tokio::time::sleep(Duration::from_millis(25)).await,
                "done" => return,
                _ => panic!("{row}"),
            }
        }
        let log = self.get(&format!("/v1/operations/{operation}/log?follow=false")).await;
        panic!("the operation did not end: {row}\n{}", log.0.text().await.expect("a log"));
    }
}

/// An answer.
pub(crate) struct Reply(pub(crate) Response);

impl Reply {
    /// Sends.
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        Self(request.send().await.expect("an answer"))
    }

    pub(crate) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.0.headers().get(name).map(|value| value.to_str().expect("text").to_owned())
    }

    /// The body as JSON, if this is the status.
    pub(crate) async fn expect(self, status: StatusCode) -> Value {
        let found = self.0.status();
        let text = self.0.text().await.expect("a body");
        assert_eq!(found, status, "{text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// The problem, if it is one of this status and code.
    pub(crate) async fn refused(self, status: u16, code: &str) -> Value {
        let kind = self.header("content-type");
        let problem = self.expect(StatusCode::from_u16(status).expect("a status")).await;
        assert_eq!(kind.as_deref(), Some("application/problem+json"));
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        problem
    }
}
