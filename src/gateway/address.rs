//! Where a client comes from, and how many connections one place may hold.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::http::HeaderMap;
use ipnet::IpNet;
use parking_lot::Mutex;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Most hops of `X-Forwarded-For` that are followed back.
const MAX_HOPS: usize = 16;

/// The client's address: the peer's, or behind trusted proxies the nearest hop that is not one of them.
/// What further hops say is not believed, for a client can write it itself.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut nearest = peer.to_canonical();
    if !is_trusted(&nearest) {
        return nearest;
    }
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = values
        .map(|value| value.to_str().unwrap_or_default())
        .flat_map(|value| value.rsplit(','));
    for hop in hops.take(MAX_HOPS) {
        // Beyond a hop that cannot be read nothing can be believed.
        let Some(address) = parse_hop(hop.trim()) else {
            return nearest;
        };
        nearest = address;
        if !is_trusted(&nearest) {
            return nearest;
        }
    }
    nearest
}

/// An address, perhaps in brackets, perhaps with a port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|hop| hop.strip_suffix(']'))
        .unwrap_or(hop);
    bare.parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

/// Counts open connections, in all and by address.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    per_address: usize,
    total: usize,
    open: Mutex<Open>,
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

/// One open connection; it is counted until this is dropped.
#[derive(Debug)]
pub struct Permit {
    connections: Connections,
    key: IpAddr,
}

impl Connections {
    pub fn new(per_address: usize, total: usize) -> Self {
        Self(Arc::new(Inner {
            per_address,
            total,
            open: Mutex::default(),
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
    use axum::http::HeaderValue;

    use super::*;

    fn forwarded(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        headers
    }

    fn client(peer: &str, values: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client_address(peer.parse().unwrap(), &forwarded(values), &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_say_that_it_is_somebody_else() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn behind_proxies_the_nearest_hop_that_is_no_proxy_counts() {
        for (values, found) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (&["6.6.6.6", "198.51.100.1:4711"], "198.51.100.1"),
            (&["[2001:db8::1]:80"], "2001:db8::1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
            (&["6.6.6.6, nonsense, 10.0.0.8"], "10.0.0.8"),
            (&["nonsense"], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", values), found, "{values:?}");
        }
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    }

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
