//! Allocation of the process's file descriptors.
//!
//! First come the process's own (database, nodes, venues, Redis), then connections reserved for REST, health and metrics;
//! sessions get the rest. So a process with too many clients rejects clients and keeps working.

use crate::config::Config;

/// Standard streams, the listener, descriptors of the runtime and TLS, files that are read occasionally.
const BASE: usize = 48;
/// Database connections of a writer outside the pools: its own, and one that listens.
const PER_WRITER: usize = 2;
/// Connections to a provider besides its requests: `newHeads`, and ones that are being replaced.
const PER_PROVIDER: usize = 4;
/// Connections to Redis.
const REDIS: usize = 4;
/// At most one in this many client connections is reserved.
const MAX_RESERVED_FRACTION: usize = 3;

/// The allocation of the file descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// `RLIMIT_NOFILE`.
    pub limit: usize,
    /// Client connections, sessions included.
    pub connections: usize,
    /// Sessions.
    pub sessions: usize,
}

impl Descriptors {
    /// Raises the soft limit to the hard limit and allocates; `None` if the limit cannot be read.
    pub fn of_process(config: &Config) -> Option<Self> {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let raised = getrlimit(Resource::RLIMIT_NOFILE)
            .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
        if let Err(error) = raised {
            tracing::warn!(%error, "cannot raise the open file limit");
        }
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        Some(Self::allocate(
            usize::try_from(soft).unwrap_or(usize::MAX),
            config,
        ))
    }

    fn allocate(limit: usize, config: &Config) -> Self {
        let connections = limit.saturating_sub(own_descriptors(config));
        let reserved = config
            .server
            .reserved_connections
            .min(connections / MAX_RESERVED_FRACTION);
        Self {
            limit,
            connections,
            sessions: connections - reserved,
        }
    }

    /// A warning for the operator if more sessions are configured than possible.
    pub fn warning(&self, config: &Config) -> Option<String> {
        let wanted = config.gateway.limits.connections;
        (wanted > self.sessions).then(|| {
            format!(
                "gateway.limits.connections is {wanted}, but the open file limit of {} (RLIMIT_NOFILE) allows only \
                 {} sessions: raise the limit (ulimit -n, LimitNOFILE of systemd, ulimits of Docker) or \
                 lower the setting",
                self.limit, self.sessions
            )
        })
    }
}

/// The descriptors that the process itself needs.
fn own_descriptors(config: &Config) -> usize {
    let pool =
        config.database.max_connections as usize + chaincast_store::LIVE_CONNECTIONS as usize;
    // With `reader_url` (a pooler) reads use additional pools.
    let pools = match config.database.reader_url.is_empty() {
        true => pool,
        false => 2 * pool,
    };
    let nodes: usize = config
        .chains
        .iter()
        .map(|chain| {
            chain.named_providers().len() * (chain.concurrency + PER_PROVIDER) + PER_WRITER
        })
        .sum();
    BASE + pools + PER_WRITER + nodes + config.prices.sources.len() + REDIS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use chaincast_base::Secret;

    fn config() -> Config {
        let file = std::env::temp_dir().join(format!("chaincast-{}.toml", rand::random::<u64>()));
        let text = "[database]\nurl = \"postgres://localhost/x\"\n[[chains]]\nchain_id = 1\nrpc_url = \"http://a\"\n";
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&Sources {
            file: Some(file.clone()),
            environment: vec![],
        });
        std::fs::remove_file(&file).unwrap();
        config.unwrap()
    }

    #[test]
    fn allocates_within_the_limit() {
        let config = config();
        let own = own_descriptors(&config);
        assert!((60..150).contains(&own), "{own}");
        for limit in [0, 64, 256, 1_024, 20_000, 1_048_576] {
            let allocated = Descriptors::allocate(limit, &config);
            assert!(
                allocated.connections + own <= limit.max(own),
                "{allocated:?}"
            );
            let reserved = allocated.connections - allocated.sessions;
            assert!(
                reserved <= config.server.reserved_connections,
                "{allocated:?}"
            );
            assert!(allocated.sessions == 0 || reserved > 0, "{allocated:?}");
        }
        assert!(Descriptors::allocate(256, &config).sessions >= 50);
    }

    #[test]
    fn counts_pools_of_reader_url() {
        let mut config = config();
        config.database.max_connections = 90;
        let own = own_descriptors(&config);
        config.database.reader_url = Secret::new("postgres://pooler/x");
        let live = chaincast_store::LIVE_CONNECTIONS as usize;
        assert_eq!(own_descriptors(&config), own + 90 + live);
    }

    #[test]
    fn warns_of_more_sessions_than_descriptors() {
        let mut config = config();
        config.gateway.limits.connections = 1_000;
        assert_eq!(
            Descriptors::allocate(20_000, &config).warning(&config),
            None
        );
        let warning = Descriptors::allocate(1_000, &config)
            .warning(&config)
            .unwrap();
        for part in ["gateway.limits.connections is 1000", "limit of 1000"] {
            assert!(warning.contains(part), "{warning}");
        }
    }
}
