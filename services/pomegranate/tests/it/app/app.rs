//! A static app that behaves as its first argument says. Compiled by the tests, so that they need no base image.

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpListener,
    process, thread,
    time::Duration,
};

fn main() {
    let port: u16 = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(80);
    let mut words = env::args().skip(1);
    match words.next().as_deref() {
        Some("serve") => serve("0.0.0.0", port),
        Some("serve-once") => {
            if fs::exists("/served").expect("a file system") {
                println!("not again");
                process::exit(4);
            }
            fs::write("/served", "").expect("writable");
            serve("0.0.0.0", port);
        }
        Some("loopback") => serve("127.0.0.1", port),
        Some("other-port") => serve("0.0.0.0", 9999),
        Some("never") => loop {
            thread::sleep(Duration::from_secs(60));
        },
        Some("pause") => thread::sleep(Duration::from_secs(3)),
        Some("exit") => {
            println!("about to exit");
            eprintln!("for a reason");
            process::exit(words.next().and_then(|code| code.parse().ok()).unwrap_or(1));
        }
        Some("eat") => {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            loop {
                kept.push(vec![1; 1 << 20]);
            }
        }
        Some("flood") => {
            let line = "x".repeat(200) + "\n";
            for _ in 0..120_000 {
                print!("{line}");
            }
        }
        Some("long-line") => {
            let piece = "y".repeat(1 << 20);
            for _ in 0..20 {
                print!("{piece}");
            }
            println!();
            println!("after the long line");
        }
        Some("escapes") => {
            println!("\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07plain");
            println!("10%\r20%\r30%");
        }
        Some("unfinished") => print!("a line\nand half a"),
        Some("uid") => println!("caps {}", status_field("CapEff:")),
        other => panic!("unknown behaviour {other:?}"),
    }
}

fn serve(address: &str, port: u16) {
    let listener = TcpListener::bind((address, port)).expect("binds");
    println!("listening on {address}:{port}");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap_or(0);
            let request = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if request.starts_with("GET /crash ") {
                process::exit(7);
            }
            if let Some(rest) = request.strip_prefix("GET /slow/") {
                let seconds = rest.split(' ').next().and_then(|seconds| seconds.parse().ok());
                thread::sleep(Duration::from_secs(seconds.expect("a number")));
            }
            let status = if request.starts_with("GET /bad ") { "500 Oops" } else { "200 OK" };
            let body = format!(
                "caps={} nnp={} seccomp={} greeting={}\n",
                status_field("CapEff:"),
                status_field("NoNewPrivs:"),
                status_field("Seccomp:"),
                env::var("GREETING").unwrap_or_default(),
            );
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        });
    }
}

fn status_field(name: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned()
}
