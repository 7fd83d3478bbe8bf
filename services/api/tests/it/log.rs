//! What the process writes to its log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{PASSWORD, on_each_database};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_password_token_or_secret_is_logged() {
    let written = Written::default();
    let sink = written.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(move || sink.clone());
    // For the whole process: the service's tasks run on threads of their own.
    tracing::subscriber::set_global_default(subscriber.finish()).expect("no other test sets one");
    on_each_database(async |server| {
        let ada = server.user("ada").await;
        let project = ada.project("shop").await;
        let secret = json!({ "value": "s3cret-for-the-log", "kind": "secret" });
        let path = format!("/v1/projects/{project}/variables/KEY");
        ada.send(Method::PUT, &path, &secret).await.expect(StatusCode::OK).await;
        ada.deploy(&project).await;
        let log_in = json!({ "email": "ada@example.org", "password": PASSWORD });
        let session = server.nobody().post("/v1/sessions", &log_in).await.expect(StatusCode::CREATED).await;
        let again = json!({ "refresh_token": session["refresh_token"] });
        server.nobody().post("/v1/sessions/refresh", &again).await.expect(StatusCode::OK).await;
        server.nobody().post("/v1/sessions/refresh", &again).await.refused(401, "unauthenticated").await;

        let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("answered") && log.contains("used twice"), "the log is on");
        let tokens =
            [&session["access_token"], &session["refresh_token"]].map(|token| token.as_str().unwrap());
        for text in [PASSWORD, "s3cret-for-the-log", tokens[0], tokens[1]] {
            let line = log.lines().find(|line| line.contains(text));
            assert!(line.is_none(), "{line:?}");
        }
    })
    .await;
}
