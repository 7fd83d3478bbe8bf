//! PostgreSQL over TLS, as the address says.

use std::time::SystemTime;

use paastech_db::Database;

#[tokio::test]
async fn the_address_says_whether_the_server_must_prove_itself() {
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
    let server = ["PAASTECH_TEST_POSTGRES", "PAASTECH_TEST_POSTGRES_CA"].map(std::env::var);
    let [Ok(url), Ok(authority)] = server else { return };
    let strangers = tempfile::tempdir().expect("a directory");
    paastech_certs::ensure(strangers.path(), SystemTime::now().into(), false).expect("made");
    let stranger = strangers.path().join("ca.pem").display().to_string();
    for (query, wanted) in [
        ("sslmode=disable".to_owned(), Some(false)),
        ("sslmode=require".to_owned(), Some(true)),
        (format!("sslmode=verify-ca&sslrootcert={authority}"), Some(true)),
        (format!("sslmode=verify-ca&sslrootcert={stranger}"), None),
        // It is nobody's certificate for this address.
        (format!("sslmode=verify-full&sslrootcert={authority}"), None),
    ] {
        assert_eq!(is_encrypted(&format!("{url}?{query}")).await, wanted, "{query}");
    }
}

/// Whether a connection to this address is; `None` where there is none.
async fn is_encrypted(url: &str) -> Option<bool> {
    let db = Database::connect(url).await.ok()?;
    let mut tx = db.begin().await.expect("a transaction");
    let text: String =
        sqlx::query_scalar("SELECT CAST(ssl AS TEXT) FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .fetch_one(&mut *tx)
            .await
            .expect("a row");
    drop(tx);
    db.close().await;
    Some(text == "true")
}
