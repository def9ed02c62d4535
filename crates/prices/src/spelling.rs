//! The spelling of configured values that have several: all are read, one is used.

use chaincast_base::Secret;

/// A URL with its scheme in lower case: schemes are case-insensitive, but the WebSocket client accepts lower case only.
pub(super) fn lower_scheme(url: Option<String>) -> Option<String> {
    url.map(|mut url| {
        if let Some(end) = url.find("://") {
            url[..end].make_ascii_lowercase();
        }
        url
    })
}

/// [`lower_scheme`] of a URL that may carry a key.
pub(super) fn lower_secret_scheme(url: Option<Secret>) -> Option<Secret> {
    lower_scheme(url.map(|url| url.expose().to_owned())).map(Secret::new)
}

/// The canonical form of a symbol.
pub(super) fn upper_case(symbol: String) -> String {
    symbol.to_ascii_uppercase()
}
