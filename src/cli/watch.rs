//! `chaincast watch`: a live terminal client over the WebSocket protocol.
//!
//! It tracks the seq of each channel, reports missing updates, and resumes with `since` and `epoch` after a reconnect.

mod connection;
mod format;
mod price;
mod since;

use clap::Args;

use super::{Failure, terminal};
use connection::{End, Watcher};
use since::Since;

/// The default address of `chaincast serve` and `chaincast dev`.
const DEFAULT_URL: &str = "http://127.0.0.1:3000";

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Channels to watch, such as new-block, price:ETH, heartbeat
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// URL of the server
    #[arg(long, default_value = DEFAULT_URL)]
    url: String,
    /// JWT, for private channels or if the server requires one
    #[arg(long, env = "CHAINCAST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Resume after this seq instead of starting with a snapshot: for one channel (new-block@7) or for all (7)
    #[arg(long, value_name = "CHANNEL@SEQ", value_delimiter = ',')]
    since: Vec<Since>,
    /// Print each message unchanged, one JSON object per line (prices are not rounded)
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: WatchArgs) -> Result<(), Failure> {
    let stop = terminal::stop_signal().map_err(Failure::failed)?;
    let since = since::positions(&args.channels, &args.since).map_err(Failure::Usage)?;
    let url = connection::realtime_url(&args.url).map_err(Failure::Usage)?;
    let resume = Resume::from_args(&args);
    let mut watcher = Watcher::new(url, args.channels, args.token, since, args.json);
    let end = tokio::select! {
        () = stop => None,
        end = watcher.run() => Some(end),
    };
    match end {
        None => {
            if let Some(arguments) = watcher.arguments() {
                eprintln!(
                    "stopped; to continue from here, run {}",
                    resume.command(&arguments)
                );
            }
            Ok(())
        }
        Some(end) => match end {
            End::OutputClosed => Ok(()),
            End::Refused(reason) => Err(Failure::Failed(reason)),
        },
    }
}

/// What a command needs to resume, besides channels and positions.
struct Resume {
    /// `--url` and `--json`, if they were given.
    options: String,
    /// Options that must be given again, and are never printed.
    secrets: Vec<&'static str>,
}

impl Resume {
    fn from_args(args: &WatchArgs) -> Self {
        let (mut options, mut secrets) = (String::new(), Vec::new());
        if args.url.contains('@') {
            // It may contain a password.
            secrets.push("--url");
        } else if args.url != DEFAULT_URL {
            options = format!(" --url {}", connection::shell_quote(&args.url));
        }
        if args.json {
            options.push_str(" --json");
        }
        if args.token.is_some() {
            secrets.push("token");
        }
        Self { options, secrets }
    }

    fn command(&self, arguments: &str) -> String {
        let command = format!("`chaincast watch {arguments}{}`", self.options);
        match self.secrets.is_empty() {
            true => command,
            false => format!("{command} with the same {}", self.secrets.join(" and ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(url: &str, token: Option<&str>, json: bool) -> String {
        let args = WatchArgs {
            channels: vec!["new-block".to_owned()],
            url: url.to_owned(),
            token: token.map(str::to_owned),
            since: Vec::new(),
            json,
        };
        Resume::from_args(&args).command("new-block --since new-block@7")
    }

    #[test]
    fn resume_command_keeps_server() {
        let plain = "`chaincast watch new-block --since new-block@7";
        assert_eq!(command(DEFAULT_URL, None, false), format!("{plain}`"));
        assert_eq!(
            command("https://chain.example", None, true),
            format!("{plain} --url https://chain.example --json`")
        );
        assert_eq!(
            command("http://[::1]:4000", None, false),
            format!("{plain} --url 'http://[::1]:4000'`")
        );
    }

    #[test]
    fn resume_command_omits_secrets() {
        let shown = command("https://me:secret@chain.example", Some("ey.secret"), false);
        assert!(!shown.contains("secret"), "{shown}");
        assert!(
            shown.ends_with("` with the same --url and token"),
            "{shown}"
        );
    }
}
