//! `chaincast health`: asks a running server whether it is ready; what containers and scripts use in place of curl.

use std::time::Duration;

use alloy::transports::http::reqwest;
use clap::Args;

use super::Failure;

/// How long the server may take to answer. `/readyz` waits 2 s for its database.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most of an answer that is shown, in bytes.
const SHOWN: usize = 2_000;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:3000", value_name = "URL")]
    url: String,
    /// Only whether the process answers (/healthz), not whether it is ready (/readyz)
    #[arg(long)]
    alive: bool,
}

/// Prints the answer; an error when it is not 200.
pub(super) async fn run(args: HealthArgs) -> Result<(), Failure> {
    let path = match args.alive {
        true => "healthz",
        false => "readyz",
    };
    let url = format!("{}/{path}", args.url.trim_end_matches('/'));
    let asked = async {
        let answer = reqwest::get(&url).await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, answer.text().await?))
    };
    let failed = |reason: String| Failure::Failed(format!("{url}: {reason}"));
    match tokio::time::timeout(PATIENCE, asked).await {
        Err(_) => Err(failed(format!("no answer within {PATIENCE:?}"))),
        Ok(Err(error)) if error.is_builder() => Err(Failure::Usage(format!(
            "--url {:?} is not a URL; use http://HOST:PORT",
            args.url
        ))),
        Ok(Err(error)) => Err(failed(format!("cannot be reached: {}", cause_of(&error)))),
        Ok(Ok((status, text))) => {
            let text: String = text.trim().chars().take(SHOWN).collect();
            match status.is_success() {
                true => {
                    println!("{text}");
                    Ok(())
                }
                false => Err(failed(format!("answered {status}: {text}"))),
            }
        }
    }
}

/// The innermost cause, which says more than "error sending request".
fn cause_of(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
