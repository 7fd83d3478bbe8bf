//! Connections that say nothing.

use std::time::Duration;

use tokio::{io::AsyncReadExt as _, net::TcpStream};

use crate::harness::{Server, on_each_database_with};

/// So many connections that send nothing.
async fn silent(server: &Server, count: usize) -> Vec<TcpStream> {
    let address = server.url.strip_prefix("http://").unwrap();
    futures_util::future::join_all((0..count).map(async |_| TcpStream::connect(address).await.unwrap())).await
}

#[tokio::test]
async fn those_who_say_nothing_do_not_keep_others_out() {
    on_each_database_with(
        |config| config.max_connections = 3,
        async |server| {
            let silent = silent(server, 3).await;
            let answer = tokio::time::timeout(Duration::from_secs(20), server.nobody().get("/healthz")).await;
            assert_eq!(answer.expect("an answer").status(), 200);
            drop(silent);
        },
    )
    .await;
}

#[tokio::test]
async fn one_address_does_not_take_every_connection() {
    on_each_database_with(
        |config| config.max_connections_per_address = 2,
        async |server| {
            let mut silent = silent(server, 3).await;
            let mut byte = [0];
            let read = silent[2].read(&mut byte);
            let ended =
                tokio::time::timeout(Duration::from_secs(5), read).await.expect("it is closed at once");
            assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
            let neighbour =
                reqwest::Client::builder().local_address("127.0.0.2".parse().ok()).build().unwrap();
            let answer = neighbour.get(format!("{}/healthz", server.url)).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        },
    )
    .await;
}
