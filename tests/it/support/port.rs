//! A port for a node that a test stops and restarts.

use std::net::{Ipv4Addr, TcpListener};

/// Below the ephemeral range, so no other process gets the port while the node is stopped.
pub fn reusable_port() -> u16 {
    std::iter::repeat_with(|| rand::random_range(10_000..16_000))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .unwrap()
}
