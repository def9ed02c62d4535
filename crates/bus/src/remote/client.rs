//! Connections to the configured Redis, and what its errors mean for an operator.

use std::{path::Path, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, TlsCertificates,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use socket2::TcpKeepalive;
use tokio::time::timeout;

use crate::{BusConfig, BusError};
use chaincast_base::tls;

/// Timeout for connecting, and for the reply to a command.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between TCP keepalive probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Checks that Redis answers a PING.
pub async fn ping(config: &BusConfig) -> Result<(), BusError> {
    let client = client(config)?;
    let ping = async {
        let mut connection = open_connection(&client).await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await
    };
    match timeout(TIMEOUT, ping).await {
        Ok(answer) => answer.map_err(|error| unreachable(config, &error)),
        Err(_) => Err(BusError::Redis {
            url: config.redis_url.redacted_url(),
            reason: format!("no answer within {TIMEOUT:?}"),
        }),
    }
}

/// Opens a connection for commands. Callers set timeouts.
pub(super) async fn open_connection(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let unlimited = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&unlimited)
        .await
}

/// The result of `work`; an error if it takes longer than [`TIMEOUT`].
pub(super) async fn with_timeout<T>(
    work: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    match timeout(TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// A client of the configured Redis, not yet connected. Fails only for an invalid configuration.
pub(super) fn client(config: &BusConfig) -> Result<Client, BusError> {
    tls::install_provider();
    let invalid = |error: RedisError| BusError::RedisUrl(error.to_string());
    let url = config.redis_url.expose().into_connection_info();
    let url = url.map_err(invalid)?.set_tcp_settings(tcp_settings());
    let client = match &config.redis_ca {
        None => Client::open(url),
        Some(path) => {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(ca_file(path)?),
            };
            Client::build_with_tls(url, certificates)
        }
    };
    client.map_err(invalid)
}

/// Makes the kernel drop an unresponsive peer after 10 s instead of about 15 min.
fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_INTERVAL)
        .with_interval(KEEPALIVE_INTERVAL);
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(2 * KEEPALIVE_INTERVAL);
    settings
}

fn ca_file(path: &Path) -> Result<Vec<u8>, BusError> {
    tls::read_ca_file(path).map_err(|reason| BusError::CaFile {
        path: path.display().to_string(),
        reason,
    })
}

pub(super) fn unreachable(config: &BusConfig, error: &RedisError) -> BusError {
    let (url, reason) = (config.redis_url.redacted_url(), error.to_string());
    if let Some(advice) = tls::advice(&reason, "bus.redis_ca") {
        let reason = format!("{reason}: {advice}");
        return BusError::RedisRefused { url, reason };
    }
    if error.kind() == redis::ErrorKind::Parse {
        let reason = "the server does not speak the Redis protocol".to_owned();
        return BusError::Redis { url, reason };
    }
    match error.kind() == redis::ErrorKind::AuthenticationFailed {
        true => BusError::RedisRefused {
            url,
            reason: format!("{reason}; check user and password in bus.redis_url"),
        },
        false => BusError::Redis { url, reason },
    }
}
