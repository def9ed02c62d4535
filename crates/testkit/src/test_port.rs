//! A port that a test can release and bind again.

use std::net::{Ipv4Addr, TcpListener};

/// A TCP port of 127.0.0.1 that nothing listens on now, from 10000 to 15999: below the range of ephemeral ports, so
/// that no other program takes it while the test does not use it.
pub fn reusable_port() -> u16 {
    std::iter::repeat_with(|| rand::random_range(10_000..16_000))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("an endless iterator finds a free port")
}
