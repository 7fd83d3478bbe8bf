//! Who listens where in this network namespace, from `/proc/net/tcp` and `/proc/net/tcp6`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The engine's own name server, in every container on a named network.
const ENGINE_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// The kernel's number for a socket that listens.
const LISTEN: &str = "0A";

/// One listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listener {
    address: IpAddr,
    /// Its port.
    pub(crate) port: u16,
}

impl Listener {
    /// Whether only this container can reach it.
    pub(crate) fn is_loopback(self) -> bool {
        match self.address {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(address) => {
                address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
            }
        }
    }
}

/// All of them, but the engine's.
pub(crate) fn all() -> Vec<Listener> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| parse(&table))
        .collect()
}

fn parse(table: &str) -> Vec<Listener> {
    table.lines().filter_map(parse_line).filter(|listener| listener.address != ENGINE_RESOLVER).collect()
}

/// `  0: 0100007F:1F90 00000000:0000 0A …`: number, local address, remote address, state.
fn parse_line(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == LISTEN).then_some(Listener { address: parse_address(address)?, port })
}

/// Hex words of four bytes, each in the machine's byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    if ![8, 32].contains(&hex.len()) {
        return None;
    }
    let mut bytes = Vec::with_capacity(16);
    for word in hex.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes.as_slice()).ok().map(|v6| Ipv6Addr::from(v6).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100
   2: 0B00007F:A455 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100
   3: 020012AC:0050 010012AC:C350 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 100
";
    const V6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000
";

    #[test]
    fn finds_what_listens_and_leaves_the_engines_resolver_out() {
        let found: Vec<(u16, bool)> = parse(V4).iter().map(|l| (l.port, l.is_loopback())).collect();
        assert_eq!(found, [(8080, true), (80, false)]);
    }

    #[test]
    fn reads_version_6_and_mapped_addresses() {
        let found: Vec<(u16, bool)> = parse(V6).iter().map(|l| (l.port, l.is_loopback())).collect();
        assert_eq!(found, [(3000, true), (8081, false), (8082, true)]);
    }

    #[test]
    fn nonsense_is_no_listener() {
        assert!(parse("a b c\n\n0: zz:zz x 0A\n0: 0100:1 x 0A\n").is_empty());
    }
}
