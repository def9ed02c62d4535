//! A port for a test that leaves it and comes back to it.

use std::net::{Ipv4Addr, TcpListener};

/// Below those that systems give to connections, and to listeners without a wish: while the test is away, nobody else
/// takes it.
pub(crate) fn port_to_come_back_to() -> u16 {
    std::iter::repeat_with(|| rand::random_range(10_000..16_000))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("an endless iterator ends with what is looked for")
}
