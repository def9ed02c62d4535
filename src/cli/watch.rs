//! `chaincast watch`: a live terminal client over the WebSocket protocol.
//!
//! It follows each channel by seq, says when a seq is missing, and resumes with `since` and `epoch` when the
//! connection breaks.

mod follow;
mod line;
mod price;
mod since;

use clap::Args;

use super::{Failure, terminal};
use follow::{End, Follower};
use since::Since;

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
    /// Begin after this seq instead of with a snapshot: of one channel (new-block@7), or of all (7)
    #[arg(long, value_name = "CHANNEL@SEQ", value_delimiter = ',')]
    since: Vec<Since>,
    /// Print each message as it came, one JSON object a line: prices are not rounded
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: WatchArgs) -> Result<(), Failure> {
    let stop = terminal::stop_signal().map_err(Failure::failed)?;
    let since = since::positions(&args.channels, &args.since).map_err(Failure::Usage)?;
    let url = follow::realtime_url(&args.url).map_err(Failure::Usage)?;
    let mut follower = Follower::new(url, args.channels, args.token, since, args.json);
    let end = tokio::select! {
        () = stop => None,
        end = follower.run() => Some(end),
    };
    match end {
        None => {
            if let Some(arguments) = follower.arguments() {
                eprintln!("stopped; `chaincast watch {arguments}` goes on from there");
            }
            Ok(())
        }
        Some(end) => match end {
            End::OutputClosed => Ok(()),
            End::Refused(reason) => Err(Failure::Failed(reason)),
        },
    }
}
