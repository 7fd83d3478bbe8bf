//! The wildcard certificate, by DNS, of Traefik with our configuration from an authority of the test's own.

use std::{
    fs,
    net::{SocketAddr, TcpListener as Std},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::{go, install::place, process, test::tally::Tally};

const PEBBLE: &str = "github.com/letsencrypt/pebble/v2/cmd/pebble";
const DOMAIN: &str = "paas.test";
const PATIENCE: Duration = Duration::from_secs(60);

/// Has a Traefik program ask for the certificate, and asks it over HTTPS with that certificate.
pub(crate) async fn run(traefik: &Path, temporary: &Path, tally: &mut Tally) -> Result<()> {
    let module =
        go::Module { name: "pebble", source: "xtask/pebble", packages: &[PEBBLE.to_owned()], flags: "-s -w" };
    let pebble = module.ensure().await?.join("pebble");
    let dir = tempfile::Builder::new().prefix("acme-").tempdir_in(temporary)?;
    let dir = dir.path();
    let dns = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", dns.local_addr()?);
    let dns = tokio::spawn(take_records(dns));
    let [authority, management, http, https, inside, asked, api] = free()?;
    own_certificate(dir)?;
    let config = serde_json::json!({ "pebble": {
        "listenAddress": authority, "managementListenAddress": management,
        "certificate": dir.join("certificate.pem"), "privateKey": dir.join("key.pem"),
        "httpPort": 5002, "tlsPort": 5001,
    } });
    fs::write(dir.join("pebble.json"), config.to_string())?;
    // It asks no DNS: what is tried is what Traefik asks for, and what it does with the answer.
    let mut pebble = process::command(pebble);
    pebble.arg("-config").arg(dir.join("pebble.json"));
    pebble.env("PEBBLE_VA_ALWAYS_VALID", "1").env("PEBBLE_VA_NOSLEEP", "1");
    let log = fs::File::create(dir.join("pebble.log"))?;
    let mut pebble = pebble.stdout(log.try_clone()?).stderr(log).kill_on_drop(true).spawn()?;

    let values = [
        ("PAASTECH_INSTANCE", "none".to_owned()),
        ("PAASTECH_DOMAIN", DOMAIN.to_owned()),
        ("PAASTECH_LISTEN", "127.0.0.1".to_owned()),
        ("PAASTECH_HTTP_PORT", http.port().to_string()),
        ("PAASTECH_HTTPS_PORT", https.port().to_string()),
        ("PAASTECH_NETWORK", "127.0.0".to_owned()),
        ("PAASTECH_ACME_EMAIL", "root@example.org".to_owned()),
        ("PAASTECH_ACME_CA", format!("https://{authority}/dir")),
        ("PAASTECH_ACME_PROVIDER", "httpreq".to_owned()),
        ("PAASTECH_ACME_STORE", "/acme/acme.json".to_owned()),
        ("PAASTECH_API_PORT", api.port().to_string()),
        ("PAASTECH_EDGE_LISTEN", api.to_string()),
    ];
    let here = |text: String| {
        text.replace("/etc/traefik", &dir.display().to_string())
            .replace("/acme/", &format!("{}/", dir.display()))
            .replace("/run/gate/engine.sock", "/var/run/docker.sock")
            .replace("127.0.0.1:8082", &inside.to_string())
            .replace("127.0.0.1:8081", &asked.to_string())
            // The authority is nobody's, and no DNS server knows the domain.
            .replace(
                "storage:",
                &format!("caCertificates: [{}/certificate.pem]\n      storage:", dir.display()),
            )
            .replace("\"httpreq\" }", "\"httpreq\", propagation: { disableChecks: true } }")
    };
    for (from, to) in [("tls.yml", "static.yml"), ("dynamic.yml", "dynamic.yml")] {
        fs::write(dir.join(to), here(place::template(from, &values)?))?;
    }
    fs::write(dir.join("endpoint"), &endpoint)?;
    let mut traefik = process::command(traefik);
    traefik.arg(format!("--configFile={}", dir.join("static.yml").display()));
    traefik.env("HTTPREQ_ENDPOINT_FILE", dir.join("endpoint"));
    let log = fs::File::create(dir.join("traefik.log"))?;
    let mut traefik = traefik.stdout(log.try_clone()?).stderr(log).kill_on_drop(true).spawn()?;

    let outcome = async {
        served(dir, management, https).await?;
        redirected(http, https).await
    };
    let outcome = outcome.await;
    traefik.kill().await?;
    pebble.kill().await?;
    dns.abort();
    const WHAT: &str = "Traefik has one certificate for the API and the apps, by DNS";
    match outcome {
        Ok(()) => tally.pass(WHAT),
        Err(error) => {
            let log = fs::read(dir.join("traefik.log")).unwrap_or_default();
            tally.fail(WHAT, &format!("{error:#}\n{}", process::tail(&log, 20)));
        }
    }
    Ok(())
}

/// Both names are answered over HTTPS that the authority's root vouches for. Nothing is behind the proxy: 502 will do.
async fn served(dir: &Path, management: SocketAddr, https: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let root = dir.join("root.pem");
    loop {
        let mut ask = process::argv(["curl", "--silent", "--fail", "--cacert"]);
        ask.arg(dir.join("certificate.pem")).arg("--output").arg(&root);
        ask.arg(format!("https://{management}/roots/0"));
        let mut all = process::status(&mut ask).await?.success();
        for name in ["api", "any.user-app"] {
            let host = format!("{name}.{DOMAIN}");
            let mut visit = process::argv(["curl", "--silent", "--cacert"]);
            visit.arg(&root).args(["--resolve", &format!("{host}:{}:127.0.0.1", https.port())]);
            visit.args(["--output", "/dev/null", &format!("https://{host}:{}/", https.port())]);
            all = all && process::status(&mut visit).await?.success();
        }
        if all {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("no certificate after {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Plain HTTP leads to HTTPS.
async fn redirected(http: SocketAddr, https: SocketAddr) -> Result<()> {
    let host = format!("api.{DOMAIN}");
    let mut visit =
        process::argv(["curl", "--silent", "--output", "/dev/null", "--write-out", "%{redirect_url}"]);
    visit.args(["--resolve", &format!("{host}:{}:127.0.0.1", http.port())]);
    visit.arg(format!("http://{host}:{}/docs", http.port()));
    let to = process::stdout(&mut visit).await?;
    ensure!(to == format!("https://{host}:{}/docs", https.port()), "HTTP leads to {to:?}");
    Ok(())
}

/// A DNS service that takes every record.
async fn take_records(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = [0; 4096];
        drop(stream.read(&mut request).await);
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await);
    }
}

fn free() -> Result<[SocketAddr; 7]> {
    let held = [(); 7].map(|()| Std::bind("127.0.0.1:0"));
    let mut found = [SocketAddr::from(([127, 0, 0, 1], 0)); 7];
    for (found, held) in found.iter_mut().zip(held) {
        *found = held?.local_addr()?;
    }
    Ok(found)
}

/// The authority's own.
fn own_certificate(dir: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).context("a certificate")?;
    fs::write(dir.join("certificate.pem"), made.cert.pem())?;
    Ok(fs::write(dir.join("key.pem"), made.signing_key.serialize_pem())?)
}
