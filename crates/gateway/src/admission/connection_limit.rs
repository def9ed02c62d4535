//! Limits open connections, in total and per address, and counts the sockets taken over from the HTTP server.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::http::StatusCode;
use parking_lot::Mutex;

/// Retry delay for a refused client, in ms.
const RETRY_AFTER_MS: u64 = 5_000;

/// Counts open connections, in total and per address.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    per_address: usize,
    total: usize,
    open: Mutex<Open>,
    sockets: AtomicUsize,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    // A map with a keyed hash: clients choose the keys.
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitReached {
    #[error("Too many connections from this address: at most {0}")]
    Address(usize),
    #[error("This server is full: it accepts at most {0} connections")]
    Total(usize),
}

impl LimitReached {
    /// The HTTP status of the refusal.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Address(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Total(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The retry delay, in ms.
    pub(crate) fn retry_after_ms(&self) -> u64 {
        RETRY_AFTER_MS
    }
}

/// One open connection, counted until dropped.
#[derive(Debug)]
pub struct Permit {
    connections: ConnectionLimit,
    key: IpAddr,
}

/// The client's address, and its connection, which counts until this is dropped.
#[derive(Debug)]
pub struct Admission {
    pub address: IpAddr,
    #[expect(dead_code, reason = "counts the connection until it is dropped")]
    pub permit: Permit,
}

/// A socket that a transport took over from the HTTP server, with or without a session, counted until dropped. A polled
/// session has none: its requests use HTTP connections.
#[derive(Debug)]
pub(crate) struct SocketGuard(ConnectionLimit);

impl ConnectionLimit {
    pub(crate) fn new(per_address: usize, total: usize) -> Self {
        Self(Arc::new(Inner {
            per_address,
            total,
            open: Mutex::default(),
            sockets: AtomicUsize::new(0),
        }))
    }

    /// Counts one more connection from `address`. IPv6 addresses are counted per /64, the usual size of one customer's
    /// network.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Permit, LimitReached> {
        let key = client_network(address);
        let mut open = self.0.open.lock();
        if open.all >= self.0.total {
            return Err(LimitReached::Total(self.0.total));
        }
        let here = open.by_address.get(&key).copied().unwrap_or(0);
        if here >= self.0.per_address {
            return Err(LimitReached::Address(self.0.per_address));
        }
        open.by_address.insert(key, here + 1);
        open.all += 1;
        Ok(Permit {
            connections: self.clone(),
            key,
        })
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.0.open.lock().all
    }

    /// Counts one more socket. Call it before the upgrade, so that the socket is counted at any time.
    pub(crate) fn socket(&self) -> SocketGuard {
        self.0.sockets.fetch_add(1, Ordering::Relaxed);
        SocketGuard(self.clone())
    }

    /// Sockets held by transports now.
    pub(crate) fn sockets(&self) -> usize {
        self.0.sockets.load(Ordering::Relaxed)
    }
}

impl Drop for SocketGuard {
    fn drop(&mut self) {
        self.0.0.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.connections.0.open.lock();
        open.all -= 1;
        if let Some(here) = open.by_address.get_mut(&self.key) {
            *here -= 1;
            if *here == 0 {
                open.by_address.remove(&self.key);
            }
        }
    }
}

/// The unit that is counted: an IPv4 address, or an IPv6 /64.
pub(super) fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_connections_per_address_and_in_total() {
        let connections = ConnectionLimit::new(2, 3);
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        let first = connections.admit(here).unwrap();
        let _second = connections.admit(here).unwrap();
        assert_eq!(
            connections.admit(here).unwrap_err(),
            LimitReached::Address(2)
        );
        drop(first);
        let _third = connections.admit(here).unwrap();
        let _other = connections.admit("192.0.2.2".parse().unwrap()).unwrap();
        assert_eq!(
            connections.admit("192.0.2.3".parse().unwrap()).unwrap_err(),
            LimitReached::Total(3)
        );
    }

    #[test]
    fn counts_ipv6_per_64_and_forgets_closed_connections() {
        let connections = ConnectionLimit::new(1, 10);
        let permit = connections.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert!(connections.admit("2001:db8::2".parse().unwrap()).is_err());
        assert!(
            connections
                .admit("2001:db8:0:1::2".parse().unwrap())
                .is_ok()
        );
        drop(permit);
        assert!(connections.0.open.lock().by_address.is_empty());
        assert_eq!(connections.open(), 0);
    }
}
