//! Answers on the port that the platform gives it.

use std::{
    env,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

fn main() -> io::Result<()> {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    println!("listening on {port}");
    for connection in listener.incoming() {
        let connection = connection?;
        thread::spawn(move || {
            if let Err(error) = answer(connection) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

fn answer(mut connection: TcpStream) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = Vec::new();
    let path = loop {
        let mut piece = [0; 1024];
        let length = connection.read(&mut piece)?;
        request.extend_from_slice(&piece[..length]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(&request) {
            Ok(httparse::Status::Complete(_)) => break parsed.path.map(str::to_owned),
            Ok(httparse::Status::Partial) if length > 0 && request.len() < 64 * 1024 => {}
            _ => break None,
        }
    };
    let (status, body) = match path.as_deref() {
        Some("/") => ("200 OK", "Hello from rust\n"),
        Some(_) => ("404 Not Found", "Not found\n"),
        None => ("400 Bad Request", "Bad request\n"),
    };
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
