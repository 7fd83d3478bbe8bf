//! The one pkt-line that we write ourselves: an error that git shows as it is.

/// An `ERR` packet: the client prints `fatal: remote error: PaaSTech: <text>` and nothing else.
pub(crate) fn error(text: &str) -> Vec<u8> {
    let line = format!("ERR PaaSTech: {text}\n");
    format!("{:04x}{line}", line.len() + 4).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_counts_itself() {
        let packet = error("no");
        assert_eq!(packet, b"0015ERR PaaSTech: no\n");
        assert_eq!(packet.len(), 0x15);
    }
}
