//! Certificates that end soon.

use std::{fs, path::Path};

use paastech_runtime::TlsConfig;
use x509_parser::pem::Pem;

use super::{Facts, Finding};

const CHECK: &str = "certificates";
const DAY: i64 = 24 * 3600;
const RENEW: &str =
    "renew them: `cargo xtask install`, or `cargo xtask certs --dir <folder>`; no restart is needed";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(TlsConfig { ca, certificate, .. }) = &facts.installation.tls else { return Vec::new() };
    [ca, certificate].map(|path| examine(path, facts.now / 1000)).into()
}

fn examine(path: &Path, now: i64) -> Finding {
    let life = fs::read(path).map_err(|error| error.to_string()).and_then(|text| life(&text));
    let (from, to) = match life {
        Ok(life) => life,
        Err(why) => return Finding::error(CHECK, format!("{}: {why}", path.display()), RENEW),
    };
    let (left, path) = (to - now, path.display());
    let what = format!("{path} ends in {} days", left / DAY);
    match left {
        ..=0 => Finding::error(CHECK, format!("{path} has ended"), RENEW),
        _ if now < from => {
            Finding::error(CHECK, format!("{path} begins in {} s", from - now), "set this host's clock")
        }
        _ if left < 7 * DAY => Finding::error(CHECK, what, RENEW),
        _ if left < (to - from) / 3 => Finding::warning(CHECK, what, RENEW),
        _ => Finding::ok(CHECK, what),
    }
}

/// The life of the first to end, in seconds since 1970.
fn life(text: &[u8]) -> Result<(i64, i64), String> {
    let mut found = None;
    for pem in Pem::iter_from_buffer(text) {
        let pem = pem.map_err(|_| "is no certificate")?;
        let validity = pem.parse_x509().map_err(|_| "is no certificate")?.validity().clone();
        let life = (validity.not_before.timestamp(), validity.not_after.timestamp());
        found = Some(found.map_or(life, |other: (i64, i64)| if other.1 < life.1 { other } else { life }));
    }
    found.ok_or_else(|| "is no certificate".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use paastech_runtime::Peer;

    use super::{super::Level, *};

    #[test]
    fn a_certificate_is_good_then_due_then_urgent_then_over() {
        let dir = tempfile::tempdir().expect("a directory");
        paastech_certs::ensure(dir.path(), SystemTime::now().into(), false).expect("made");
        let path = paastech_certs::files(dir.path(), Peer::Api).certificate;
        let now = paastech_runtime::Clock::system().now_ms() / 1000;
        for (days, level) in [
            (0, Level::Ok),
            (58, Level::Ok),
            (62, Level::Warning),
            (84, Level::Error),
            (91, Level::Error),
            (-2, Level::Error),
        ] {
            assert_eq!(examine(&path, now + days * DAY).level, level, "after {days} days");
        }
        fs::write(dir.path().join("broken"), "nonsense").expect("written");
        assert_eq!(examine(&dir.path().join("broken"), now).level, Level::Error);
        assert_eq!(examine(&dir.path().join("absent"), now).level, Level::Error);
    }
}
