//! The keys of `pyth` sources.

use super::super::{
    http_client,
    source_config::{Instrument, KeyProblem, SourceConfig, SourceSettings},
    spelling::{lower_secret_scheme, upper_case},
    venue_url,
};
use chaincast_base::{Secret, settings::settings};
use chaincast_protocol::ChainId;

/// Pyth's own service. It has required an API key since 26 August 2026.
pub(super) const PUBLIC_URL: &str = "https://pyth.dourolabs.app/hermes";
/// Its former host, which redirects.
const FORMER_HOST: &str = "hermes.pyth.network";

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 64;

settings! {
    /// A Pyth price feed.
    pub struct PythConfig {
        /// The feed's id: 64 hexadecimal digits, in any case, with or without 0x.
        id: String as normalized_id = String::new(), required(),
            example("\"0xff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace\"");
        /// `"USD"`, or a tracked token whose price converts it to USD.
        quote: String as upper_case = String::new(), required(), example("\"USD\"");
        /// Base URL of a Hermes service, without /v2/updates/price/stream; redirects are not followed. Default: Pyth's own.
        url: Option<Secret> as lower_secret_scheme = None, example("\"https://pyth.dourolabs.app/hermes\"");
        /// Sent as a bearer token, never printed; Pyth's service requires an API key since 26 August 2026.
        key: Option<Secret> = None, example("\"…\"");
        /// A stream without any data for this long is reconnected. The default is three intervals of the comments that the
        /// service sends every 15 seconds if it has no price.
        silence_ms: u64 = 45_000, range(100, 600_000);
    }
}

impl PythConfig {
    pub(super) fn url(&self) -> &str {
        self.url.as_ref().map_or(PUBLIC_URL, Secret::expose)
    }
}

impl SourceSettings for PythConfig {
    fn quote(&self) -> &str {
        &self.quote
    }

    fn instrument(&self) -> Option<Instrument> {
        Some(Instrument {
            description: "price id of a service",
            keys: &["url", "id"],
            venue: venue_url::venue(self.url(), PUBLIC_URL, &[FORMER_HOST]),
            name: self.id.clone(),
        })
    }

    /// Any service: the price is signed by the same publishers.
    fn venue(&self, _first_chain: Option<ChainId>) -> String {
        format!("pyth {}", self.id)
    }

    /// A setting that Pyth's own service rejects. Other services may differ.
    fn warning(&self) -> Option<KeyProblem> {
        let host = |url: &str| {
            let url = reqwest::Url::parse(url).ok()?;
            let host = url.host_str()?.trim_end_matches('.');
            Some(host.to_ascii_lowercase())
        };
        let configured = host(self.url())?;
        if configured == FORMER_HOST {
            let warning = format!(
                "{FORMER_HOST} redirects to {PUBLIC_URL}, and redirects are not followed; remove `url` or set it to that"
            );
            return Some(("url", warning));
        }
        if self.key.is_none() && host(PUBLIC_URL) == Some(configured) {
            let warning = format!(
                "no API key is set, and {PUBLIC_URL} has required one since 26 August 2026; set `key`"
            );
            return Some(("key", warning));
        }
        None
    }

    fn problems(
        &self,
        _source: &SourceConfig,
        _has_address: bool,
        _is_reported: &dyn Fn(&str) -> bool,
    ) -> Vec<KeyProblem> {
        let mut found = Vec::new();
        let is_id = self.id.len() == ID_DIGITS && self.id.bytes().all(|c| c.is_ascii_hexdigit());
        if !is_id {
            found.push(("id", format!("must be {ID_DIGITS} hexadecimal digits")));
        }
        if !http_client::is_url(self.url()) {
            let expected = "must be http:// or https:// with a host";
            found.push(("url", expected.to_owned()));
        }
        match &self.key {
            Some(key) if key.is_empty() => found.push(("key", "must not be empty".to_owned())),
            Some(key) if !key.expose().bytes().all(|c| c.is_ascii_graphic()) => {
                found.push(("key", "has characters that no key can have".to_owned()));
            }
            _ => {}
        }
        found
    }
}

/// Lower case, without `0x`.
fn normalized_id(id: String) -> String {
    let id = id.to_ascii_lowercase();
    id.strip_prefix("0x").unwrap_or(&id).to_owned()
}
