//! Certificates that end soon.

use std::{fs, path::Path};

use paastech_runtime::{TlsConfig, is_due};
use x509_parser::pem::Pem;

use super::{Facts, Finding};

const CHECK: &str = "certificates";
const DAY: i64 = 24 * 3600;

/// Whose certificate it is.
#[derive(Debug, Clone, Copy)]
enum Whose {
    /// It signs the others, and is never renewed: another one takes its place.
    Authority,
    Service,
}

impl Whose {
    fn next(self) -> &'static str {
        match self {
            Self::Authority => {
                "make another: remove `ca-key.pem` from the certificates' folder, run `cargo xtask certs --dir \
                 <folder>`, and restart every service"
            }
            Self::Service => {
                "renew them: `cargo xtask install`, or `cargo xtask certs --dir <folder>`; no restart is needed"
            }
        }
    }

    fn is_due(self, life: (i64, i64), now: i64) -> bool {
        match self {
            // What it signs now must not outlive it.
            Self::Authority => life.1 - now <= 120 * DAY,
            Self::Service => is_due(life, now),
        }
    }

    /// In seconds before its end.
    fn urgent(self) -> i64 {
        match self {
            Self::Authority => 30 * DAY,
            Self::Service => 7 * DAY,
        }
    }
}

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(TlsConfig { ca, certificate, .. }) = &facts.installation.tls else { return Vec::new() };
    let now = facts.now / 1000;
    vec![examine(ca, Whose::Authority, now), examine(certificate, Whose::Service, now)]
}

fn examine(path: &Path, whose: Whose, now: i64) -> Finding {
    let life = fs::read(path).map_err(|error| error.to_string()).and_then(|text| life(&text));
    let (from, to) = match life {
        Ok(life) => life,
        // Each service has a copy of the authority's, which is written anew with its own.
        Err(why) => {
            return Finding::error(CHECK, format!("{}: {why}", path.display()), Whose::Service.next());
        }
    };
    let (left, path) = (to - now, path.display());
    let what = format!("{path} ends in {} days", left / DAY);
    match left {
        ..=0 => Finding::error(CHECK, format!("{path} has ended"), whose.next()),
        _ if now < from => {
            Finding::error(CHECK, format!("{path} begins in {} s", from - now), "set this host's clock")
        }
        _ if left < whose.urgent() => Finding::error(CHECK, what, whose.next()),
        _ if whose.is_due((from, to), now) => Finding::warning(CHECK, what, whose.next()),
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
            assert_eq!(examine(&path, Whose::Service, now + days * DAY).level, level, "after {days} days");
        }
        fs::write(dir.path().join("broken"), "nonsense").expect("written");
        assert_eq!(examine(&dir.path().join("broken"), Whose::Service, now).level, Level::Error);
        assert_eq!(examine(&dir.path().join("absent"), Whose::Service, now).level, Level::Error);
    }

    #[test]
    fn what_the_doctor_says_of_an_authority_makes_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let begun = time::OffsetDateTime::from(SystemTime::now());
        paastech_certs::ensure(dir.path(), begun, false).expect("made");
        let ca = paastech_certs::files(dir.path(), Peer::Api).ca;
        let now = begun.unix_timestamp();
        for (days, level) in [(2500, Level::Ok), (3600, Level::Warning), (3640, Level::Error)] {
            assert_eq!(examine(&ca, Whose::Authority, now + days * DAY).level, level, "after {days} days");
        }
        let late = begun + time::Duration::days(3600);
        paastech_certs::ensure(dir.path(), late, true).expect("made");
        let found = examine(&ca, Whose::Authority, late.unix_timestamp());
        assert_eq!(found.level, Level::Warning, "renewing the others does not help");
        assert!(found.next.contains("remove `ca-key.pem`"), "{found:?}");
        fs::remove_file(dir.path().join("ca-key.pem")).expect("removed");
        paastech_certs::ensure(dir.path(), late, false).expect("made");
        assert_eq!(examine(&ca, Whose::Authority, late.unix_timestamp()).level, Level::Ok);
    }
}
