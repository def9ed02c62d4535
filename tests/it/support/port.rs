//! A port for a node that a test takes away and brings back.

use std::net::{Ipv4Addr, TcpListener};

/// Below those that systems give to connections, and to listeners without a wish: while the node is away, nobody else
/// takes it.
pub fn port_to_come_back_to() -> u16 {
    std::iter::repeat_with(|| rand::random_range(10_000..16_000))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .unwrap()
}
