//! Checks of price sources: each one is read once, with the code that the service uses.

use super::Report;
use crate::config::Config;
use chaincast_prices::{
    FeedState, ProbeResult, SourceKey, clock_offset_text, probe_contracts, probe_feeds,
};

/// Reads one price from every feed and every contract.
pub(super) async fn check(config: &Config, report: &mut Report) {
    let prices = &config.prices;
    let (feeds, contracts) = tokio::join!(
        probe_feeds(prices),
        probe_contracts(prices, &config.chains, config.first_chain()),
    );
    if let Some(off_ms) = feeds.clock_off_ms {
        let off = format!(
            "is {} compared with every venue; synchronize it, for example with NTP",
            clock_offset_text(off_ms)
        );
        report.warn("clock", &off);
    }
    for (key, probed) in &feeds.sources {
        report_source(report, key, probed);
    }
    match contracts {
        Ok(contracts) => {
            for (key, probed) in &contracts {
                report_source(report, key, probed);
            }
        }
        Err(error) => report.line("price contracts", Err(error)),
    }
}

/// An unreachable source is a warning: the service keeps reconnecting to it. A rejected source is a failure, because
/// the configuration must change.
fn report_source(report: &mut Report, (token, source): &SourceKey, probed: &ProbeResult) {
    let what = format!("price {token} from {source}");
    match &probed.state {
        FeedState::Live => report.line(&what, Ok::<_, String>(live(probed))),
        FeedState::Limited { reason } => {
            let price = probed.tick.as_ref().map(|_| format!("{}; ", live(probed)));
            report.warn(&what, &format!("{}{reason}", price.unwrap_or_default()));
        }
        FeedState::Silent => report.warn(
            &what,
            "connected, but no price received for this symbol; check the symbol at the venue",
        ),
        FeedState::Connecting { reason } => {
            let reason = reason.as_deref();
            report.warn(&what, reason.unwrap_or("no price received in time"));
        }
        FeedState::Refused { reason } => report.line(&what, Err(reason)),
    }
}

fn live(probed: &ProbeResult) -> String {
    match &probed.tick {
        Some(tick) => {
            let price = tick.price.normalized().to_plain_string();
            format!("{price} {}", tick.quote)
        }
        None => "the contract returned the required values".to_owned(),
    }
}
