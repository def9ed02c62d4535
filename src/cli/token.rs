//! `chaincast token`

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::Failure;
use crate::{
    config::{Config, Sources},
    gateway::auth::{self, TokenRequest},
};

/// Where `chaincast dev` keeps the configuration it runs with.
const DEV_CONFIG: &str = ".chaincast/chaincast.toml";

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Who the token is for
    #[arg(long, value_name = "ID")]
    sub: String,
    /// Channels it may subscribe to, as patterns such as price:*; all public ones when left out
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    channels: Option<Vec<String>>,
    /// A role such as admin
    #[arg(long)]
    role: Option<String>,
    /// How long it is good for: 90s, 15m, 1h, 7d
    #[arg(long, default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    /// TOML file with gateway.auth; what `chaincast dev` runs with when left out
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(args: TokenArgs) -> Result<(), Failure> {
    if args.sub.is_empty() {
        return Err(Failure::Usage(
            "--sub is empty: name the user whom the token is for".to_owned(),
        ));
    }
    let named_by_variable = std::env::var_os("CHAINCAST__GATEWAY__AUTH__SECRET").is_some();
    let file = match args.config {
        Some(file) => Some(file),
        None if named_by_variable => None,
        None if PathBuf::from(DEV_CONFIG).exists() => {
            eprintln!("using the key of {DEV_CONFIG}");
            Some(DEV_CONFIG.into())
        }
        None => {
            return Err(Failure::Usage(format!(
                "name a configuration with --config FILE, or set CHAINCAST__GATEWAY__AUTH__SECRET; there is no \
                 {DEV_CONFIG} here either"
            )));
        }
    };
    // The key is all that is needed: the rest of the configuration may be incomplete.
    let config = Config::read(&Sources::from_process(file.as_deref()))?;
    let request = TokenRequest {
        sub: args.sub,
        role: args.role,
        channels: args.channels,
        ttl: args.ttl,
    };
    let token = auth::mint(&config.gateway.auth, &request)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    println!("{token}");
    Ok(())
}

/// `90s`, `15m`, `1h`, `7d`
fn ttl(text: &str) -> Result<Duration, String> {
    let hint = || format!("{text:?} is not a time; use something like 90s, 15m, 1h or 7d");
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
    fn a_time_to_live_has_a_unit_and_a_sane_length() {
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
