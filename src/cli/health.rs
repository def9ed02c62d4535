//! `chaincast health`: asks a running server whether it is alive or ready; what containers and scripts use in place of
//! curl.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use alloy::transports::http::reqwest;
use clap::Args;

use super::Failure;
use crate::{
    config::{Config, Sources},
    model::is_web_page,
    server::ServerConfig,
    tls,
};

/// How long the server may take to answer. `/readyz` waits 2 s for its database.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most of an answer that is shown, in bytes.
const SHOWN: usize = 2_000;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The server, as http://HOST:PORT or HOST:PORT; this machine's by default, at server.port as PORT or the configuration sets it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The server's TOML file, for its server.host and server.port
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Only whether the process answers (/healthz), not whether it is ready (/readyz)
    #[arg(long)]
    alive: bool,
}

/// Where a server with the configuration of this environment listens.
fn own_url(args: &HealthArgs) -> Result<String, Failure> {
    // What else is set may be of no use without the rest: only the section that matters is read.
    let sources = Sources::from_process(args.config.as_deref()).only("server");
    url_of(&Config::read(&sources)?.server)
}

fn url_of(server: &ServerConfig) -> Result<String, Failure> {
    if server.port == 0 {
        return Err(Failure::Usage(
            "server.port is 0, which any port may become: name the server with --url".to_owned(),
        ));
    }
    let host = match server.host.parse() {
        Ok(ip) if IpAddr::is_unspecified(&ip) => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        Ok(IpAddr::V4(_)) | Err(_) => server.host.clone(),
    };
    Ok(format!("http://{host}:{}", server.port))
}

/// The server of `--url`, which may be given as for `watch`: `HOST:PORT`, or with a scheme of HTTP or WebSocket.
fn base_url(given: &str) -> Result<String, Failure> {
    let (scheme, rest) = given.split_once("://").unwrap_or(("http", given));
    let rest = rest.trim_end_matches('/');
    let scheme = match scheme {
        "http" | "ws" => Some("http"),
        "https" | "wss" => Some("https"),
        _ => None,
    };
    match scheme {
        Some(scheme) if !rest.is_empty() => Ok(format!("{scheme}://{rest}")),
        _ => Err(Failure::Usage(format!(
            "--url {given:?} is not a URL; use http://HOST:PORT"
        ))),
    }
}

/// Prints the answer; an error when it is not 200.
pub(super) async fn run(args: HealthArgs) -> Result<(), Failure> {
    let base = match &args.url {
        Some(url) => base_url(url)?,
        None => own_url(&args)?,
    };
    let path = match args.alive {
        true => "healthz",
        false => "readyz",
    };
    let url = format!("{}/{path}", base.trim_end_matches('/'));
    let asked = async {
        let answer = reqwest::get(&url).await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, answer.text().await?))
    };
    let failed = |reason: String| Failure::Failed(format!("{url}: {reason}"));
    match tokio::time::timeout(PATIENCE, asked).await {
        Err(_) => Err(failed(format!("no answer within {PATIENCE:?}"))),
        Ok(Err(error)) if error.is_builder() => Err(Failure::Usage(format!(
            "--url {base:?} is not a URL; use http://HOST:PORT"
        ))),
        Ok(Err(error)) => {
            let cause = tls::advised(cause_of(&error), tls::AUTHORITIES);
            Err(failed(format!("cannot be reached: {cause}")))
        }
        Ok(Ok((status, text))) if is_web_page(&text) => Err(failed(format!(
            "answered {status} with a web page (HTML): is this the URL of a chaincast server?"
        ))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_server_with_or_without_a_scheme() {
        for (given, expected) in [
            ("h:3000", Some("http://h:3000")),
            ("http://h:3000/", Some("http://h:3000")),
            ("wss://h", Some("https://h")),
            ("ftp://h", None),
            ("http://", None),
            ("", None),
        ] {
            assert_eq!(base_url(given).ok().as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn asks_where_the_configuration_listens() {
        for (host, port, expected) in [
            ("0.0.0.0", 8080, Some("http://127.0.0.1:8080")),
            ("::", 3000, Some("http://127.0.0.1:3000")),
            ("::1", 3000, Some("http://[::1]:3000")),
            ("10.1.2.3", 3000, Some("http://10.1.2.3:3000")),
            ("inner.example", 3000, Some("http://inner.example:3000")),
            ("0.0.0.0", 0, None),
        ] {
            let server = ServerConfig {
                host: host.to_owned(),
                port,
                ..ServerConfig::default()
            };
            let found = url_of(&server).ok();
            assert_eq!(found.as_deref(), expected, "{host}:{port}");
        }
    }
}
