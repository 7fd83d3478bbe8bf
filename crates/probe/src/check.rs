//! One check: a TCP connection, or an HTTP GET, to the container's own bridge address.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A status line is far shorter.
const HEAD_LIMIT: usize = 1024;

/// What to ask.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The port the app must listen on.
    pub(crate) port: u16,
    /// GET this and want 2xx or 3xx; without it a connection is enough.
    pub(crate) path: Option<String>,
}

/// Why a check failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Nobody took the connection.
    Connect,
    /// It was taken, but no HTTP answer came.
    NoAnswer,
    /// The answer was neither 2xx nor 3xx.
    Status(u16),
}

/// Asks once. Never over loopback: what listens only there is out of the proxy's reach.
pub(crate) fn check(target: &Target) -> Result<(), Failed> {
    let address = own_address().map_err(|_| Failed::Connect)?;
    check_at(target, SocketAddr::new(address, target.port))
}

/// The address that traffic from here comes from; a datagram socket's `connect` sends nothing.
fn own_address() -> io::Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip())
}

fn check_at(target: &Target, address: SocketAddr) -> Result<(), Failed> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(|_| Failed::Connect)?;
    let Some(path) = &target.path else { return Ok(()) };
    match get(&mut stream, path, address) {
        Ok(Some(200..=399)) => Ok(()),
        Ok(Some(status)) => Err(Failed::Status(status)),
        Ok(None) | Err(_) => Err(Failed::NoAnswer),
    }
}

fn get(stream: &mut TcpStream, path: &str, address: SocketAddr) -> io::Result<Option<u16>> {
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    // In one piece: simple apps take what the first read gives for the whole request.
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: paastech-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut buffer = [0; 256];
    while !head.contains(&b'\n') && head.len() < HEAD_LIMIT {
        match stream.read(&mut buffer)? {
            0 => break,
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(status_of(&head))
}

/// The code in a status line such as `HTTP/1.1 200 OK`.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok().filter(|status| (100..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    fn answered(path: Option<&str>, answer: &'static str) -> Result<(), Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(answer.as_bytes());
        });
        let target = Target { port: address.port(), path: path.map(str::to_owned) };
        let outcome = check_at(&target, address);
        server.join().expect("served");
        outcome
    }

    #[test]
    fn a_connection_is_enough_without_a_path() {
        assert_eq!(answered(None, ""), Ok(()));
    }

    #[test]
    fn with_a_path_the_status_decides() {
        assert_eq!(answered(Some("/"), "HTTP/1.1 204 No Content\r\n\r\n"), Ok(()));
        assert_eq!(answered(Some("/"), "HTTP/1.0 302 Found\r\n\r\n"), Ok(()));
        assert_eq!(answered(Some("/"), "HTTP/1.1 500 Oops\r\n\r\n"), Err(Failed::Status(500)));
        assert_eq!(answered(Some("/"), "SSH-2.0-x\r\n"), Err(Failed::NoAnswer));
        assert_eq!(answered(Some("/"), ""), Err(Failed::NoAnswer));
    }

    #[test]
    fn a_closed_port_is_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        assert_eq!(check_at(&Target { port: address.port(), path: None }, address), Err(Failed::Connect));
    }

    #[test]
    fn only_a_status_line_has_a_status() {
        assert_eq!(status_of(b"HTTP/1.1 200 OK\r\nx"), Some(200));
        for head in [&b""[..], b"HTTP/1.1", b"HTTP/1.1 9999", b"200", b"\xff\xfe 200", b"HTTP/1.1 abc"] {
            assert_eq!(status_of(head), None, "{head:?}");
        }
    }
}
