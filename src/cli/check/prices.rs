//! What `chaincast check` says of price sources: each is tried once, by what the service itself reads it with.

use super::Report;
use crate::{
    config::Config,
    source::price::{FeedState, Probed, SourceKey, clock_words, probe_contracts, probe_feeds},
};

/// Tries every feed and asks every contract.
pub(super) async fn check(config: &Config, report: &mut Report) {
    let prices = &config.prices;
    let (feeds, contracts) = tokio::join!(
        probe_feeds(prices),
        probe_contracts(prices, &config.chains, config.first_chain()),
    );
    if let Some(off_ms) = feeds.clock_off_ms {
        let off = format!(
            "is {} by what every venue says; set it, such as by NTP",
            clock_words(off_ms)
        );
        report.warn("clock", &off);
    }
    for (key, probed) in &feeds.sources {
        tell(report, key, probed);
    }
    match contracts {
        Ok(contracts) => {
            for (key, probed) in &contracts {
                tell(report, key, probed);
            }
        }
        Err(error) => report.line("price contracts", Err(error)),
    }
}

/// What is away now may come back, as the service would wait for it; what is refused needs another configuration.
fn tell(report: &mut Report, (token, source): &SourceKey, probed: &Probed) {
    let what = format!("price {token} from {source}");
    match &probed.state {
        FeedState::Live => report.line(&what, Ok::<_, String>(live(probed))),
        FeedState::Limited { reason } => {
            let told = probed.tick.as_ref().map(|_| format!("{}; ", live(probed)));
            report.warn(&what, &format!("{}{reason}", told.unwrap_or_default()));
        }
        FeedState::Silent => report.warn(
            &what,
            "connected, but no price of it came; does the venue use another name?",
        ),
        FeedState::Connecting { reason } => {
            let reason = reason.as_deref();
            report.warn(&what, reason.unwrap_or("it gave no price in time"));
        }
        FeedState::Refused { reason } => report.line(&what, Err(reason)),
    }
}

fn live(probed: &Probed) -> String {
    match &probed.tick {
        Some(tick) => {
            let price = tick.price.normalized().to_plain_string();
            format!("{price} {}", tick.quote)
        }
        None => "its contract says what is needed".to_owned(),
    }
}
