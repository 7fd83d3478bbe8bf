//! `await`: blocks until the app answers, or says in one line why it does not.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    check::{Failed, Target, check},
    listeners::{self, Listener},
};

const SHORTEST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Answers in a row that count as one: some apps answer once and end.
const ANSWERS: u32 = 3;
const BETWEEN_ANSWERS: Duration = Duration::from_millis(100);

/// Asks until the answer is yes or the time is up.
pub(crate) fn until_ready(target: &Target, timeout: Duration) -> Result<(), String> {
    let deadline = Instant::now() + timeout;
    let mut pause = SHORTEST_PAUSE;
    let mut answers = 0;
    loop {
        let Err(failed) = check(target) else {
            answers += 1;
            if answers == ANSWERS {
                return Ok(());
            }
            thread::sleep(BETWEEN_ANSWERS);
            continue;
        };
        answers = 0;
        if Instant::now() + pause > deadline {
            return Err(diagnose(target, &failed, &listeners::all()));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn diagnose(target: &Target, failed: &Failed, listeners: &[Listener]) -> String {
    let path = target.path.as_deref().unwrap_or("/");
    match failed {
        Failed::Status(status) => return format!("GET {path} answered {status}, wanted 2xx or 3xx"),
        Failed::NoAnswer => return format!("GET {path} on port {} got no HTTP answer", target.port),
        Failed::Connect => {}
    }
    let port = target.port;
    if listeners.iter().any(|listener| listener.port == port && listener.is_loopback()) {
        return format!("the app listens on 127.0.0.1:{port} only: listen on 0.0.0.0");
    }
    let mut others: Vec<u16> = listeners.iter().map(|listener| listener.port).collect();
    others.sort_unstable();
    others.dedup();
    match others.as_slice() {
        [] => format!("nothing listens on port {port}"),
        [other] => format!(
            "nothing listens on port {port}, but something does on port {other}: listen on $PORT, or EXPOSE {other}"
        ),
        several => {
            let several: Vec<String> = several.iter().take(8).map(u16::to_string).collect();
            format!(
                "nothing listens on port {port}, but something does on ports {}: listen on $PORT",
                several.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn one_answer_is_none() {
        let app = TcpListener::bind("0.0.0.0:0").expect("a port");
        let target = Target { port: app.local_addr().expect("bound").port(), path: None };
        let lives = thread::spawn(move || app.accept().map(drop));
        assert!(until_ready(&target, Duration::from_secs(1)).is_err());
        lives.join().expect("ends").expect("was asked");
        let app = TcpListener::bind("0.0.0.0:0").expect("a port");
        let target = Target { port: app.local_addr().expect("bound").port(), path: None };
        assert_eq!(until_ready(&target, Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn an_http_failure_names_the_path() {
        let target = Target { port: 80, path: Some("/up".to_owned()) };
        assert_eq!(diagnose(&target, &Failed::Status(500), &[]), "GET /up answered 500, wanted 2xx or 3xx");
        assert_eq!(diagnose(&target, &Failed::NoAnswer, &[]), "GET /up on port 80 got no HTTP answer");
    }

    #[test]
    fn nothing_at_all_listens() {
        let target = Target { port: 80, path: None };
        assert_eq!(diagnose(&target, &Failed::Connect, &[]), "nothing listens on port 80");
    }
}
