//! How many connections are open, in all and from one address, and how many sockets are no longer HTTP's.

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

/// When a client that found no place is to try again, in ms.
const RETRY_AFTER_MS: u64 = 5_000;

/// Counts open connections, in all and by address.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Inner>);

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
    // The standard map's keyed hash: clients choose these keys.
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("Too many connections from this address: at most {0}")]
    Address(usize),
    #[error("This server is full: it holds at most {0} connections")]
    Total(usize),
}

impl Refused {
    /// What a refused request is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Address(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Total(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When a place may be free, in ms.
    pub fn retry_after_ms(&self) -> u64 {
        RETRY_AFTER_MS
    }
}

/// One open connection; it is counted until this is dropped.
#[derive(Debug)]
pub struct Permit {
    connections: Connections,
    key: IpAddr,
}

/// A socket that a transport has from HTTP, with a session or without; it is counted until this is dropped. A session
/// that is polled has none: each of its requests comes over a connection of HTTP.
#[derive(Debug)]
pub struct Socket(Connections);

impl Connections {
    pub fn new(per_address: usize, total: usize) -> Self {
        Self(Arc::new(Inner {
            per_address,
            total,
            open: Mutex::default(),
            sockets: AtomicUsize::new(0),
        }))
    }

    /// Counts one more connection from `address`. IPv6 addresses are counted by /64, which is what one
    /// customer gets.
    pub fn admit(&self, address: IpAddr) -> Result<Permit, Refused> {
        let key = network(address);
        let mut open = self.0.open.lock();
        if open.all >= self.0.total {
            return Err(Refused::Total(self.0.total));
        }
        let here = open.by_address.get(&key).copied().unwrap_or(0);
        if here >= self.0.per_address {
            return Err(Refused::Address(self.0.per_address));
        }
        open.by_address.insert(key, here + 1);
        open.all += 1;
        Ok(Permit {
            connections: self.clone(),
            key,
        })
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.0.open.lock().all
    }

    /// Counts one more socket; before HTTP gives it away, so that it is counted all the time.
    pub fn socket(&self) -> Socket {
        self.0.sockets.fetch_add(1, Ordering::Relaxed);
        Socket(self.clone())
    }

    /// Sockets that transports have now.
    pub fn sockets(&self) -> usize {
        self.0.sockets.load(Ordering::Relaxed)
    }
}

impl Drop for Socket {
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

/// What counts as one place: an IPv4 address, or an IPv6 /64.
pub fn network(address: IpAddr) -> IpAddr {
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
    fn an_address_holds_only_so_many_connections_until_some_are_dropped() {
        let connections = Connections::new(2, 3);
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        let first = connections.admit(here).unwrap();
        let _second = connections.admit(here).unwrap();
        assert_eq!(connections.admit(here).unwrap_err(), Refused::Address(2));
        drop(first);
        let _third = connections.admit(here).unwrap();
        let _other = connections.admit("192.0.2.2".parse().unwrap()).unwrap();
        assert_eq!(
            connections.admit("192.0.2.3".parse().unwrap()).unwrap_err(),
            Refused::Total(3)
        );
    }

    #[test]
    fn ipv6_is_counted_by_network_and_nothing_is_kept_of_who_left() {
        let connections = Connections::new(1, 10);
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
