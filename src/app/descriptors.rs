//! How many files and sockets the process may have open, and how they are shared out.
//!
//! What the process itself needs (database, nodes, venues, Redis) comes first, then a number of connections for REST,
//! health and metrics; sessions have the rest. So a process with too many clients refuses clients and works on.

use crate::config::Config;

/// Standard streams, the listener, what the runtime and TLS have open, files that are read now and then.
const OWN: usize = 48;
/// Connections of a writer beside the pools: its own and one that watches.
const A_WRITER: usize = 2;
/// Connections to a node beside its requests: `newHeads` and those that are being replaced.
const A_NODE: usize = 4;
/// Connections to Redis.
const REDIS: usize = 4;
/// Of what is left, at most this share is kept free of sessions: one part in three.
const FREE_SHARE: usize = 3;

/// How the descriptors are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// `RLIMIT_NOFILE`.
    pub limit: usize,
    /// Connections of clients, those of sessions included.
    pub connections: usize,
    /// Sessions.
    pub sessions: usize,
}

impl Descriptors {
    /// Raises the limit as far as the system lets this process; `None` when it cannot be read.
    pub fn of_process(config: &Config) -> Option<Self> {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let raised = getrlimit(Resource::RLIMIT_NOFILE)
            .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
        if let Err(error) = raised {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
        Some(Self::share_out(
            usize::try_from(soft).unwrap_or(usize::MAX),
            config,
        ))
    }

    fn share_out(limit: usize, config: &Config) -> Self {
        let connections = limit.saturating_sub(inner(config));
        let free = config
            .server
            .reserved_connections
            .min(connections / FREE_SHARE);
        Self {
            limit,
            connections,
            sessions: connections - free,
        }
    }

    /// What to tell an operator who allows more sessions than there can be.
    pub fn doubt(&self, config: &Config) -> Option<String> {
        let wanted = config.gateway.limits.connections;
        (wanted > self.sessions).then(|| {
            format!(
                "gateway.limits.connections is {wanted}, but this process may have {} files open (RLIMIT_NOFILE), which is \
                 enough for {} sessions: raise the limit (ulimit -n, LimitNOFILE of systemd, ulimits of Docker) or \
                 lower the key",
                self.limit, self.sessions
            )
        })
    }
}

/// What the process needs for itself.
fn inner(config: &Config) -> usize {
    let pool = config.database.max_connections as usize + crate::store::LIVE_CONNECTIONS as usize;
    // Readers that go through a pooler have pools of their own beside those on the server itself.
    let pools = match config.database.reader_url.is_empty() {
        true => pool,
        false => 2 * pool,
    };
    let nodes: usize = config
        .chains
        .iter()
        .map(|chain| chain.named_providers().len() * (chain.concurrency + A_NODE) + A_WRITER)
        .sum();
    OWN + pools + A_WRITER + nodes + config.prices.sources.len() + REDIS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Sources, model::Secret};

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
    fn shares_descriptors_out_within_the_limit() {
        let config = config();
        let own = inner(&config);
        assert!((60..150).contains(&own), "{own}");
        for limit in [0, 64, 256, 1_024, 20_000, 1_048_576] {
            let shared = Descriptors::share_out(limit, &config);
            assert!(shared.connections + own <= limit.max(own), "{shared:?}");
            let free = shared.connections - shared.sessions;
            assert!(free <= config.server.reserved_connections, "{shared:?}");
            assert!(shared.sessions == 0 || free > 0, "{shared:?}");
        }
        assert!(Descriptors::share_out(256, &config).sessions >= 50);
    }

    #[test]
    fn counts_the_pools_of_a_reader_url() {
        let mut config = config();
        config.database.max_connections = 90;
        let own = inner(&config);
        config.database.reader_url = Secret::new("postgres://pooler/x");
        let live = crate::store::LIVE_CONNECTIONS as usize;
        assert_eq!(inner(&config), own + 90 + live);
    }

    #[test]
    fn doubts_more_sessions_than_descriptors() {
        let mut config = config();
        config.gateway.limits.connections = 1_000;
        assert_eq!(Descriptors::share_out(20_000, &config).doubt(&config), None);
        let doubt = Descriptors::share_out(1_000, &config)
            .doubt(&config)
            .unwrap();
        for part in ["gateway.limits.connections is 1000", "1000 files"] {
            assert!(doubt.contains(part), "{doubt}");
        }
    }
}
