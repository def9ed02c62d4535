//! `chaincast watch`: a live terminal client over the WebSocket protocol.
//!
//! It follows each channel by seq, says when a seq is missing, and resumes with `since` and `epoch` when the
//! connection breaks.

mod follow;
mod line;
mod price;

use std::collections::BTreeMap;

use clap::Args;

use super::{Failure, terminal};
use follow::{End, Follower};

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Channels such as new-block, price:ETH, heartbeat
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    url: String,
    /// JWT, for private channels or servers that require one
    #[arg(long, env = "CHAINCAST_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Begin after this seq instead of with a snapshot (for every named channel)
    #[arg(long, value_name = "N")]
    since: Option<u64>,
    /// Print each message as it came, one JSON object a line: prices are not rounded
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: WatchArgs) -> Result<(), Failure> {
    let stop = terminal::stop_signal().map_err(Failure::failed)?;
    let since: BTreeMap<String, u64> = match args.since {
        Some(seq) => args
            .channels
            .iter()
            .map(|channel| (channel.clone(), seq))
            .collect(),
        None => BTreeMap::new(),
    };
    let url = follow::realtime_url(&args.url).map_err(Failure::Usage)?;
    let mut follower = Follower::new(url, args.channels, args.token, since, args.json);
    let end = tokio::select! {
        () = stop => None,
        end = follower.run() => Some(end),
    };
    match end {
        None => {
            if let Some(positions) = follower.positions_text() {
                eprintln!("stopped after {positions}; --since SEQ goes on from there");
            }
            Ok(())
        }
        Some(end) => match end {
            End::OutputClosed => Ok(()),
            End::Refused(reason) => Err(Failure::Failed(reason)),
        },
    }
}
