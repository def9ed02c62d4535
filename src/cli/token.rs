//! `chaincast token`: creates a JWT.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::Failure;
use crate::config::{Config, Sources};
use chaincast_gateway::auth::{self, TokenRequest};

/// The configuration file that `chaincast dev` writes.
const DEV_CONFIG: &str = ".chaincast/chaincast.toml";

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Subject of the JWT (`sub`)
    #[arg(long, value_name = "ID")]
    sub: String,
    /// Channels that may be subscribed to, as patterns such as price:*; default: all public channels
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    channels: Option<Vec<String>>,
    /// Channels that may be published to, as patterns such as room:lobby or user:*; default: the rooms that are open to all
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    publish: Option<Vec<String>>,
    /// Role: admin, moderator or publisher
    #[arg(long)]
    role: Option<String>,
    /// Lifetime: 90s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    /// Configuration file (TOML) with gateway.auth; default: the configuration of `chaincast dev`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: TokenArgs) -> Result<(), Failure> {
    if args.sub.is_empty() {
        return Err(Failure::Usage(
            "--sub is empty: give the subject of the JWT".to_owned(),
        ));
    }
    let secret_is_in_environment = std::env::var_os("CHAINCAST__GATEWAY__AUTH__SECRET").is_some();
    let file = match args.config {
        Some(file) => Some(file),
        None if secret_is_in_environment => None,
        None if PathBuf::from(DEV_CONFIG).exists() => {
            eprintln!("using the key in {DEV_CONFIG}");
            Some(DEV_CONFIG.into())
        }
        None => {
            return Err(Failure::Usage(format!(
                "no key configured: give --config FILE or set CHAINCAST__GATEWAY__AUTH__SECRET ({DEV_CONFIG} does not \
                 exist here)"
            )));
        }
    };
    // Only the key is needed: the rest of the configuration may be incomplete.
    let config = Config::read(&Sources::from_process(file.as_deref()))?;
    let request = TokenRequest {
        sub: args.sub,
        role: args.role,
        channels: args.channels,
        publish: args.publish,
        ttl: args.ttl,
    };
    let token = auth::mint(&config.gateway.auth, &request)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    println!("{token}");
    Ok(())
}

/// `90s`, `15m`, `1h`, `7d`
fn ttl(text: &str) -> Result<Duration, String> {
    let hint = || format!("{text:?} is not a duration; use a form such as 90s, 15m, 1h or 7d");
    let unit = text.char_indices().next_back().ok_or_else(hint)?;
    let seconds = match unit.1 {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(hint()),
    };
    let count: u64 = text[..unit.0].parse().map_err(|_| hint())?;
    match count.checked_mul(seconds) {
        Some(seconds) if (1..=10 * 366 * 86_400).contains(&seconds) => {
            Ok(Duration::from_secs(seconds))
        }
        _ => Err(format!("{text:?} is not between 1 second and 10 years")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_needs_unit_and_range() {
        assert_eq!(ttl("15m").unwrap(), Duration::from_secs(900));
        for bad in [
            "",
            "1",
            "h",
            "1y",
            "0s",
            "-1s",
            "99999999999999999999d",
            "9999d",
            "1é",
        ] {
            assert!(ttl(bad).is_err(), "{bad:?}");
        }
    }
}
