//! Ports by which Zeek guesses who the server is when no SYN was seen.

/// Zeek's default `likely_server_ports`, TCP only, sorted (base/init-bare.zeek and the protocol scripts that extend it).
pub const LIKELY_SERVER_PORTS: &[u16] = &[
    21, 22, 25, 53, 79, 80, 81, 88, 135, 139, 143, 443, 445, 502, 563, 585, 587, 614, 631, 636, 989, 990, 992, 993,
    995, 1080, 1883, 2811, 3128, 3389, 5222, 5223, 5269, 6666, 6667, 6668, 6669, 8000, 8080, 8888, 20000,
];

#[cfg(test)]
mod tests {
    use super::LIKELY_SERVER_PORTS;

    #[test]
    fn table_is_sorted_for_binary_search() {
        assert!(LIKELY_SERVER_PORTS.is_sorted_by(|a, b| a < b));
    }
}
