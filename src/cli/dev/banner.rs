//! The text under the ready line.

use std::{path::Path, time::Duration};

use super::{super::terminal::Paint, environment::Environment};
use crate::{
    app::App,
    config::{Config, Sources},
};
use chaincast_gateway::auth::{self, TokenRequest};

/// Lifetime of the JWT in the banner.
const TOKEN_TTL: Duration = Duration::from_secs(24 * 3_600);

pub(super) fn print(app: &App, environment: &Environment, config: &Path) {
    let paint = Paint::stdout();
    // The name this process was started with: `chaincast` may not be on the PATH.
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "chaincast".to_owned());
    let url = app.url();
    let realtime = url.replacen("http", "ws", 1);
    let token = Config::load(&Sources::for_dev(config))
        .ok()
        .and_then(|config| {
            let request = TokenRequest {
                sub: "dev".to_owned(),
                role: Some("admin".to_owned()),
                ttl: TOKEN_TTL,
                ..TokenRequest::default()
            };
            auth::mint(&config.gateway.auth, &request).ok()
        });
    // The only prices are those of the demo contracts.
    let (price_channel, price_argument) = match environment.deployment {
        Some(_) => (",price:ETH", " price:ETH"),
        None => ("", ""),
    };
    let mut lines = vec![
        ("page", url.clone()),
        ("API", format!("{url}/api-docs")),
        ("WebSocket", format!("{realtime}/realtime")),
        ("Socket.IO", format!("{url}/realtime")),
        (
            "SSE",
            format!("curl -N '{url}/realtime/sse?channels=new-block{price_channel}'"),
        ),
        (
            "terminal",
            format!("{program} watch --url {url} new-block{price_argument}"),
        ),
        (
            "chain",
            format!(
                "{} (chain id {})",
                environment.rpc_url.redacted_url(),
                environment.chain_id
            ),
        ),
        ("data", environment.data_dir.display().to_string()),
    ];
    if let Some(home) = environment.database_elsewhere() {
        lines.push(("database", format!("{} (PostgreSQL cannot run as root, and its user cannot reach the data directory;\n             to remove everything: rm -r {} {})", home.display(), home.display(), environment.data_dir.display())));
    }
    match token {
        Some(token) => lines.push(("JWT", format!("{token}\n             (role admin, valid for one day; create others with: {program} token --config {} --sub ID)", config.display()))),
        None => lines.push((
            "JWT",
            "none: the configured key cannot sign JWTs".to_owned(),
        )),
    }
    for (name, value) in lines {
        println!("  {} {value}", paint.dim(format!("{name:<10}")));
    }
    if environment.deployment.is_none() {
        let reason = match environment.is_anvil {
            true => "--no-demo",
            false => "the node is not an anvil",
        };
        println!("  {reason}: only blocks are indexed; there are no demo contracts and no prices");
    }
    println!(
        "  {}",
        paint.dim(
            "Ctrl-C stops everything. The data is kept, and the next start continues from it."
        )
    );
}

/// The last line, after everything has stopped: which data is kept, and where.
pub(super) fn kept(data_dir: &Path, elsewhere: Option<&Path>) -> String {
    let database = elsewhere.map_or_else(String::new, |home| {
        format!(" and the database in {}", home.display())
    });
    format!(
        "stopped: the data is kept in {}{database}; the next start continues from it, `--reset` drops the index",
        data_dir.display()
    )
}
