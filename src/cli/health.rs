//! `chaincast health`: checks whether a running server is alive or ready. Containers and scripts use it instead of
//! curl.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use alloy::transports::http::reqwest;
use clap::Args;

use super::Failure;
use crate::config::{Config, Sources};
use chaincast_base::{is_web_page, tls};
use chaincast_http::server::ServerConfig;

/// Limit for the answer. `/readyz` itself waits up to 2 s for its database.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Characters of an answer that are printed at most.
const MAX_PRINTED: usize = 2_000;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Server URL, http://HOST:PORT or HOST:PORT; by default the local server at the configured server.port (or PORT)
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Configuration file of the server (TOML), for server.host and server.port
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Check only that the process answers (/healthz), not that it is ready (/readyz)
    #[arg(long)]
    alive: bool,
}

/// The URL at which a server with this configuration listens.
fn own_url(args: &HealthArgs) -> Result<String, Failure> {
    // Only the [server] section is read: the other sections may be incomplete here.
    let sources = Sources::from_process(args.config.as_deref()).only("server");
    url_of(&Config::read(&sources)?.server)
}

fn url_of(server: &ServerConfig) -> Result<String, Failure> {
    if server.port == 0 {
        return Err(Failure::Usage(
            "server.port is 0, so the port is unknown: name the server with --url".to_owned(),
        ));
    }
    let host = match server.host.parse() {
        Ok(ip) if IpAddr::is_unspecified(&ip) => "127.0.0.1".to_owned(),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        Ok(IpAddr::V4(_)) | Err(_) => server.host.clone(),
    };
    Ok(format!("http://{host}:{}", server.port))
}

/// The base URL from `--url`, which has the same forms as in `watch`: `HOST:PORT`, or a URL with an HTTP or WebSocket
/// scheme.
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

/// Prints the answer. Fails if the status is not 2xx.
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
    let request = async {
        let answer = reqwest::get(&url).await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, answer.text().await?))
    };
    let failed = |reason: String| Failure::Failed(format!("{url}: {reason}"));
    match tokio::time::timeout(TIMEOUT, request).await {
        Err(_) => Err(failed(format!("no answer within {TIMEOUT:?}"))),
        Ok(Err(error)) if error.is_builder() => Err(Failure::Usage(format!(
            "--url {base:?} is not a URL; use http://HOST:PORT"
        ))),
        Ok(Err(error)) => {
            let cause = tls::with_advice(cause_of(&error), tls::CA_FILE_VARIABLE);
            Err(failed(format!("cannot connect: {cause}")))
        }
        Ok(Ok((status, text))) if is_web_page(&text) => Err(failed(format!(
            "answered {status} with a web page (HTML): is this the URL of a chaincast server?"
        ))),
        Ok(Ok((status, text))) => {
            let text: String = text.trim().chars().take(MAX_PRINTED).collect();
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

/// The innermost cause: more specific than "error sending request".
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
    fn url_scheme_is_optional() {
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
    fn url_defaults_to_configured_address() {
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
