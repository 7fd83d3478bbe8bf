//! The app under test: a well-behaved server, and every way of not being one. Its first argument says which.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process, thread,
    time::Duration,
};

/// So many visitors are answered at once, and the others wait: an app that starts a thread for each is ended by its limit
/// of processes, 256, as soon as the machine is slow.
const WORKERS: usize = 50;

fn main() {
    if env::args().next().is_some_and(|name| name.ends_with("pre-push")) {
        return hold();
    }
    let mode = env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        // As an app.
        "serve" => serve("0.0.0.0", port()),
        "late" => {
            say("starting slowly");
            sleep_ms(argument(2));
            serve("0.0.0.0", port());
        }
        "deaf" => {
            say("I never listen");
            forever();
        }
        "elsewhere" => serve("0.0.0.0", port() + 1),
        "loopback" => serve("127.0.0.1", port()),
        "exit" => {
            say("no database, no app");
            process::exit(3);
        }
        "hungry" => {
            say("eating");
            eat();
        }
        // In a build.
        "fail" => {
            say("error[E0001]: this does not compile");
            process::exit(7);
        }
        "hang" => {
            say("hanging");
            forever();
        }
        "pause" => {
            say("building slowly");
            sleep_ms(argument(2));
            say("built slowly");
        }
        "flood" => (0..argument(2)).for_each(|at| say(&format!("flood line {at}"))),
        "long-line" => {
            let piece = vec![b'x'; 1 << 20];
            (0..20).for_each(|_| drop(io::stdout().write_all(&piece)));
            say("\nafter the long line");
        }
        "escapes" => say("\x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07 back\x08space \x1b[1;1Hend of escapes"),
        other => {
            say(&format!("unknown mode {other}"));
            process::exit(64);
        }
    }
}

/// As git's hook, which runs once the other side has let the push in: waits until its mark is taken away.
fn hold() {
    std::fs::write("held", "").expect("a writable repository");
    while Path::new("held").exists() {
        sleep_ms(20);
    }
}

fn argument(at: usize) -> u64 {
    env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn port() -> u16 {
    env::var("PORT").ok().and_then(|text| text.parse().ok()).unwrap_or(8080)
}

/// Whoever reads may have gone; that is no reason to end.
fn say(line: &str) {
    drop(writeln!(io::stdout(), "{line}"));
}

fn sleep_ms(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

fn forever() -> ! {
    loop {
        sleep_ms(1000);
    }
}

fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 8 << 20]);
        sleep_ms(5);
    }
}

fn serve(address: &str, port: u16) {
    let listener = TcpListener::bind((address, port)).expect("a free port");
    say(&format!("listening on {address}:{port}"));
    let work = || listener.incoming().flatten().for_each(|stream| drop(answer(stream)));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
}

fn dial(address: &str) -> &'static str {
    let connected = address
        .parse()
        .is_ok_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok());
    if connected { "connected" } else { "unreachable" }
}

/// Those of the addresses that can be dialled.
fn reached(addresses: &str) -> String {
    let dial = |address: &str| {
        let address = address.to_owned();
        thread::spawn(move || (dial(&address) == "connected").then_some(address))
    };
    let mut found = Vec::new();
    for some in addresses.split(',').collect::<Vec<_>>().chunks(100) {
        let dials: Vec<_> = some.iter().copied().map(dial).collect();
        found.extend(dials.into_iter().filter_map(|dial| dial.join().expect("dialled")));
    }
    found.join(",")
}

/// `/env/NAME` answers a variable, `/slow/MS` takes its time, `/dial/ADDRESS` connects, `/reaches/ADDRESSES` to many,
/// `/exists/PATH` looks, and anything else greets.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while !lines.next().transpose()?.unwrap_or_default().is_empty() {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    if let Some(ms) = path.strip_prefix("/slow/") {
        sleep_ms(ms.parse().unwrap_or(0));
    }
    let body = if let Some(address) = path.strip_prefix("/dial/") {
        dial(address).to_owned()
    } else if let Some(addresses) = path.strip_prefix("/reaches/") {
        reached(addresses)
    } else if let Some(file) = path.strip_prefix("/exists") {
        if Path::new(file).exists() { "yes" } else { "no" }.to_owned()
    } else {
        let name = path.strip_prefix("/env/").unwrap_or("GREETING");
        env::var(name).unwrap_or_else(|_| "hello".to_owned())
    };
    say(&format!("answered {path}"));
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
