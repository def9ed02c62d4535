//! What the entries of `[prices]` must keep to, beyond having the right keys. Needs nothing but the configuration.

use std::{collections::HashSet, ops::RangeInclusive};

use super::{
    ExchangeKeyError, MAX_AGE_LIMIT_MS, MOST_STEPS, PoolConfig, PoolPrice, PriceConfig, QuotePaths,
    SourceConfig, SourceKind, exchange::Listing, policy, pool::TWAP_SECONDS,
};
use crate::model::{Address, Token, USD};

/// The longest name of a source, in characters.
const MAX_SOURCE_NAME: usize = 64;
/// More sources of one token than this are none that anybody has.
const MOST_SOURCES: u64 = 1_000;
/// Limits of `follow_interval_ms`.
const FOLLOW_INTERVAL_MS: RangeInclusive<u64> = 100..=86_400_000;

/// Which entry of `[prices]` is wrong, and why. `source` counts from 1 in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceConfigError {
    #[error("{key}: must be {allowed}, not {given}")]
    OutOfRange {
        /// The whole key, such as `prices.tokens.0.publish_bps`, where tokens count from 0.
        key: String,
        allowed: String,
        given: u64,
    },
    #[error("{at}: {key} {wanted}")]
    Key {
        at: SourcePlace,
        key: &'static str,
        /// What is wrong with it, or what it must be.
        wanted: String,
    },
    #[error("prices.tokens lists {0} twice")]
    DuplicateToken(Token),
    #[error("prices.tokens lists {USD}, which is the quote currency itself")]
    TokenIsQuote,
    #[error("{at}: {token} is not in prices.tokens")]
    UntrackedToken { at: SourcePlace, token: Token },
    #[error("{at}: {token} has another source of that name; give one a `name` of its own")]
    DuplicateSource { at: SourcePlace, token: Token },
    #[error(
        "{at}: {token} has another source that reads the same contract, which would count it twice"
    )]
    DuplicateContract { at: SourcePlace, token: Token },
    #[error(
        "{at}: its name must have 1 to {MAX_SOURCE_NAME} characters, none of them blank or a control character"
    )]
    SourceName { at: SourcePlace },
    #[error("{at}: max_age_ms must be 1 to {MAX_AGE_LIMIT_MS}, not {given}")]
    MaxAge { at: SourcePlace, given: u64 },
    #[error("{at}: base must be 0 or 1, not {given}")]
    Base { at: SourcePlace, given: u8 },
    #[error("{at}: quote {quote:?} is neither {USD} nor in prices.tokens")]
    UnknownQuote { at: SourcePlace, quote: String },
    #[error("{at}: {token} cannot be quoted in itself")]
    QuotedInItself { at: SourcePlace, token: Token },
    #[error(
        "{at}: no path of at most {MOST_STEPS} sources leads from its quote {quote} to {USD}; give {quote} a source"
    )]
    QuoteWithoutUsd { at: SourcePlace, quote: Token },
    #[error(
        "{at}: the price of its quote {quote} is made of {token}'s own, which is a circle; give {quote} a source in {USD}"
    )]
    QuoteCircle {
        at: SourcePlace,
        quote: Token,
        token: Token,
    },
    #[error(transparent)]
    Exchanges(#[from] ExchangeKeyError),
    #[error("{at}: symbol {given:?} is not as the venue writes one, such as {example}")]
    Symbol {
        at: SourcePlace,
        given: String,
        example: &'static str,
    },
    #[error("{at}: url must be ws:// or wss:// with a host")]
    Url { at: SourcePlace },
    #[error(
        "{at}: {token} has another source that reads the same symbol there, which would count it twice"
    )]
    DuplicateSymbol { at: SourcePlace, token: Token },
}

/// Names one `[[prices.sources]]` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePlace {
    /// Position in the file, from 1.
    pub position: usize,
    pub name: String,
    pub token: Token,
}

impl std::fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "prices.sources entry {} ({:?} of {})",
            self.position, self.name, self.token
        )
    }
}

impl PriceConfigError {
    /// The source that it is about, when it is about one.
    pub fn place(&self) -> Option<&SourcePlace> {
        match self {
            Self::OutOfRange { .. }
            | Self::DuplicateToken(_)
            | Self::TokenIsQuote
            | Self::Exchanges(_) => None,
            Self::UntrackedToken { at, .. }
            | Self::Key { at, .. }
            | Self::DuplicateSource { at, .. }
            | Self::DuplicateContract { at, .. }
            | Self::SourceName { at }
            | Self::MaxAge { at, .. }
            | Self::Base { at, .. }
            | Self::UnknownQuote { at, .. }
            | Self::QuotedInItself { at, .. }
            | Self::QuoteWithoutUsd { at, .. }
            | Self::QuoteCircle { at, .. }
            | Self::Symbol { at, .. }
            | Self::Url { at }
            | Self::DuplicateSymbol { at, .. } => Some(at),
        }
    }
}

impl PriceConfig {
    /// Refuses entries that contradict each other, naming the first that does.
    pub fn validate(&self) -> Result<(), PriceConfigError> {
        self.check_ranges()?;
        check_range(
            "prices",
            "follow_interval_ms",
            self.follow_interval_ms,
            FOLLOW_INTERVAL_MS,
        )?;
        self.exchanges.validate()?;
        let mut tracked = HashSet::new();
        for token in self.tokens.iter().map(|token| &token.symbol) {
            if token.as_str() == USD {
                return Err(PriceConfigError::TokenIsQuote);
            }
            if !tracked.insert(token) {
                return Err(PriceConfigError::DuplicateToken(token.clone()));
            }
        }
        let paths = QuotePaths::new(self);
        let (mut names, mut contracts) = (HashSet::new(), HashSet::new());
        let (mut listings, mut pages) = (HashSet::new(), HashSet::new());
        for (index, source) in self.sources.iter().enumerate() {
            let at = || source.place(index);
            let token = &source.token;
            if !tracked.contains(token) {
                let token = token.clone();
                return Err(PriceConfigError::UntrackedToken { at: at(), token });
            }
            if !is_name(&source.source_name()) {
                return Err(PriceConfigError::SourceName { at: at() });
            }
            if !names.insert((token, source.source_name())) {
                let token = token.clone();
                return Err(PriceConfigError::DuplicateSource { at: at(), token });
            }
            let contract = source.kind.contract();
            // The price of a pool and its averages are told apart.
            let contract = contract.map(|contract| (contract, source.kind.average_seconds()));
            if contract.is_some_and(|contract| !contracts.insert((token, contract))) {
                let token = token.clone();
                return Err(PriceConfigError::DuplicateContract { at: at(), token });
            }
            if let Some(listing) = Listing::of(&source.kind) {
                if !listing.has_symbol() {
                    let (given, example) = (listing.symbol.to_owned(), listing.example);
                    let at = at();
                    return Err(PriceConfigError::Symbol { at, given, example });
                }
                if !listing.has_url() {
                    return Err(PriceConfigError::Url { at: at() });
                }
                if !listings.insert((token, listing.url(), listing.stream)) {
                    let token = token.clone();
                    return Err(PriceConfigError::DuplicateSymbol { at: at(), token });
                }
            }
            if !(1..=MAX_AGE_LIMIT_MS).contains(&source.max_age_ms) {
                let given = source.max_age_ms;
                return Err(PriceConfigError::MaxAge { at: at(), given });
            }
            if let Some(page) = source.kind.page()
                && !pages.insert((token, page))
            {
                let token = token.clone();
                return Err(PriceConfigError::DuplicateSymbol { at: at(), token });
            }
            check_kind(source, || self.address_of(token), at)?;
            check_quote(source, &tracked, &paths, at)?;
        }
        Ok(())
    }

    /// The numbers that hold for all tokens, and those that a token overrides.
    fn check_ranges(&self) -> Result<(), PriceConfigError> {
        let queue = self.tick_queue.map(|given| given as u64);
        check_range(
            "prices",
            "tick_queue",
            queue,
            *policy::TICK_QUEUE.start() as u64..=*policy::TICK_QUEUE.end() as u64,
        )?;
        check_range(
            "prices",
            "candle_grace_ms",
            self.candle_grace_ms,
            0..=policy::MOST_GRACE_MS,
        )?;
        check_range(
            "prices",
            "candle_publish_ms",
            self.candle_publish_ms,
            policy::CANDLE_PUBLISH_MS,
        )?;
        let all = Overrides {
            min_sources: self.min_sources,
            outlier_mads: self.outlier_mads,
            outlier_floor_bps: self.outlier_floor_bps,
            publish_bps: self.publish_bps,
            publish_heartbeat_ms: self.publish_heartbeat_ms,
            min_interval_ms: self.min_interval_ms,
        };
        all.check("prices")?;
        for (index, token) in self.tokens.iter().enumerate() {
            let own = Overrides {
                min_sources: token.min_sources,
                outlier_mads: token.outlier_mads,
                outlier_floor_bps: token.outlier_floor_bps,
                publish_bps: token.publish_bps,
                publish_heartbeat_ms: token.publish_heartbeat_ms,
                min_interval_ms: token.min_interval_ms,
            };
            own.check(&format!("prices.tokens.{index}"))?;
        }
        Ok(())
    }
}

/// The keys that `[prices]` and each token may have.
struct Overrides {
    min_sources: Option<usize>,
    outlier_mads: Option<u32>,
    outlier_floor_bps: Option<u32>,
    publish_bps: Option<u32>,
    publish_heartbeat_ms: Option<u64>,
    min_interval_ms: Option<u64>,
}

impl Overrides {
    fn check(self, within: &str) -> Result<(), PriceConfigError> {
        let bps = 0..=u64::from(policy::MOST_BPS);
        let check = |key, given, allowed| check_range(within, key, given, allowed);
        let sources = self.min_sources.map(|given| given as u64);
        check("min_sources", sources, 1..=MOST_SOURCES)?;
        let mads = 1..=u64::from(policy::MOST_OUTLIER_MADS);
        check("outlier_mads", self.outlier_mads.map(u64::from), mads)?;
        let floor = self.outlier_floor_bps.map(u64::from);
        check("outlier_floor_bps", floor, bps.clone())?;
        check("publish_bps", self.publish_bps.map(u64::from), bps)?;
        // 0 switches it off.
        let heartbeat = self.publish_heartbeat_ms.filter(|given| *given != 0);
        let heartbeats = policy::LEAST_HEARTBEAT_MS..=policy::MOST_HEARTBEAT_MS;
        check("publish_heartbeat_ms", heartbeat, heartbeats)?;
        let intervals = 0..=policy::MOST_INTERVAL_MS;
        check("min_interval_ms", self.min_interval_ms, intervals)
    }
}

fn check_range(
    within: &str,
    key: &str,
    given: Option<u64>,
    allowed: RangeInclusive<u64>,
) -> Result<(), PriceConfigError> {
    match given {
        Some(given) if !allowed.contains(&given) => Err(PriceConfigError::OutOfRange {
            key: format!("{within}.{key}"),
            allowed: format!("{} to {}", allowed.start(), allowed.end()),
            given,
        }),
        _ => Ok(()),
    }
}

/// What is asked of the keys of one kind.
fn check_kind(
    source: &SourceConfig,
    token_address: impl Fn() -> Option<Address>,
    at: impl Fn() -> SourcePlace,
) -> Result<(), PriceConfigError> {
    let wrong = |(key, wanted): (&'static str, String)| {
        let at = at();
        Err(PriceConfigError::Key { at, key, wanted })
    };
    let found = match &source.kind {
        SourceKind::Chainlink(feed) => match feed.heartbeat_ms {
            Some(given) if !(1..=MAX_AGE_LIMIT_MS).contains(&given) => {
                let wanted = format!("must be 1 to {MAX_AGE_LIMIT_MS}, not {given}");
                Err(("heartbeat_ms", wanted))
            }
            _ => Ok(()),
        },
        SourceKind::UniswapV2(pool) | SourceKind::UniswapV3(pool) => {
            if let Some(given) = pool.base
                && given > 1
            {
                return Err(PriceConfigError::Base { at: at(), given });
            }
            let is_v3 = matches!(source.kind, SourceKind::UniswapV3(_));
            check_pool(pool, is_v3, &source.token, token_address)
        }
        SourceKind::Pyth(feed) => feed.validate(),
        SourceKind::Http(page) => page.validate(),
        SourceKind::Binance(_) | SourceKind::Coinbase(_) | SourceKind::Kraken(_) => Ok(()),
    };
    found.or_else(wrong)
}

fn check_pool(
    pool: &PoolConfig,
    is_v3: bool,
    token: &Token,
    token_address: impl Fn() -> Option<Address>,
) -> Result<(), (&'static str, String)> {
    if pool.base.is_none() && token_address().is_none() {
        let wanted = format!("must be 0 or 1, or {token} needs its `address` in prices.tokens");
        return Err(("base", wanted));
    }
    if pool.token0.is_some() && pool.token0 == pool.token1 {
        return Err(("token1", "must be another address than token0".to_owned()));
    }
    if is_v3 && pool.min_reserve.is_some() {
        return Err((
            "min_reserve",
            "is of uniswap-v2; give min_liquidity".to_owned(),
        ));
    }
    if !is_v3 && pool.min_liquidity.is_some() {
        return Err((
            "min_liquidity",
            "is of uniswap-v3; give min_reserve".to_owned(),
        ));
    }
    let (least, most) = (TWAP_SECONDS.start(), TWAP_SECONDS.end());
    match (pool.price, pool.twap_seconds) {
        (PoolPrice::Twap, Some(given)) if TWAP_SECONDS.contains(&given) => Ok(()),
        (PoolPrice::Spot, None) => Ok(()),
        (PoolPrice::Spot, Some(_)) => Err((
            "twap_seconds",
            "means something only with price = \"twap\"".to_owned(),
        )),
        (PoolPrice::Twap, None) => Err((
            "twap_seconds",
            format!("is missing: with price = \"twap\" it is {least} to {most}"),
        )),
        (PoolPrice::Twap, Some(given)) => Err((
            "twap_seconds",
            format!("must be {least} to {most}, not {given}"),
        )),
    }
}

fn check_quote(
    source: &SourceConfig,
    tracked: &HashSet<&Token>,
    paths: &QuotePaths,
    at: impl Fn() -> SourcePlace,
) -> Result<(), PriceConfigError> {
    let quote = source.kind.quote();
    if quote == USD {
        return Ok(());
    }
    let unknown = || PriceConfigError::UnknownQuote {
        at: at(),
        quote: quote.to_owned(),
    };
    let quote: Token = quote.parse().map_err(|_| unknown())?;
    if !tracked.contains(&quote) {
        return Err(unknown());
    }
    if quote == source.token {
        return Err(PriceConfigError::QuotedInItself {
            at: at(),
            token: quote,
        });
    }
    if !paths.reaches_usd(quote.as_str()) {
        return Err(PriceConfigError::QuoteWithoutUsd { at: at(), quote });
    }
    if paths.leads_back(quote.as_str(), &source.token) {
        let token = source.token.clone();
        return Err(PriceConfigError::QuoteCircle {
            at: at(),
            quote,
            token,
        });
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=MAX_SOURCE_NAME).contains(&length)
        && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

impl PriceConfig {
    fn address_of(&self, token: &Token) -> Option<Address> {
        let mut listed = self.tokens.iter().filter(|one| one.symbol == *token);
        listed.next().and_then(|one| one.address)
    }
}

impl SourceKind {
    /// Over how many seconds the source averages, if it does.
    fn average_seconds(&self) -> Option<u64> {
        match self {
            Self::UniswapV2(pool) | Self::UniswapV3(pool) => pool.average_seconds(),
            _ => None,
        }
    }

    /// Where a source that is no exchange's is read over HTTP: the URL, and the place there.
    fn page(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pyth(feed) => Some((feed.url(), feed.bare_id())),
            Self::Http(page) => Some((page.url.expose(), page.pointer.as_str())),
            _ => None,
        }
    }
}

impl SourceConfig {
    /// This entry in an error; `index` counts from 0.
    pub(super) fn place(&self, index: usize) -> SourcePlace {
        SourcePlace {
            position: index + 1,
            name: self.source_name().to_string(),
            token: self.token.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: &str =
        "[[tokens]]\nsymbol = 'ETH'\n[[tokens]]\nsymbol = 'BTC'\n[[tokens]]\nsymbol = 'UNI'\n";

    fn feed(token: &str, address: u8, more: &str) -> String {
        format!(
            "[[sources]]\nkind = 'chainlink'\ntoken = '{token}'\naddress = '0x{address:040x}'\n\
             decimals = 8\n{more}\n"
        )
    }

    fn pair(token: &str, address: u8, quote: &str, base: u8) -> String {
        format!(
            "[[sources]]\nkind = 'uniswap-v2'\ntoken = '{token}'\naddress = '0x{address:040x}'\n\
             base = {base}\nbase_decimals = 18\nquote_decimals = 18\nquote = '{quote}'\n"
        )
    }

    fn listing(token: &str, kind: &str, symbol: &str, more: &str) -> String {
        format!(
            "[[sources]]\nkind = '{kind}'\ntoken = '{token}'\nsymbol = '{symbol}'\nquote = 'usd'\n{more}\n"
        )
    }

    fn outcome(text: &str) -> Result<(), String> {
        toml::from_str::<PriceConfig>(text)
            .unwrap()
            .validate()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_pair_may_price_both_of_its_tokens_in_each_other() {
        let text = [
            TOKENS,
            &feed("ETH", 1, ""),
            &feed("BTC", 2, ""),
            &pair("ETH", 3, "btc", 0),
            &pair("BTC", 3, "eth", 1),
        ]
        .concat();
        assert_eq!(outcome(&text), Ok(()));
        assert_eq!(outcome(""), Ok(()));
    }

    #[test]
    fn a_token_may_be_several_steps_from_usd() {
        let text = [
            TOKENS,
            &feed("BTC", 1, ""),
            &pair("ETH", 2, "BTC", 0),
            &pair("UNI", 3, "ETH", 0),
        ]
        .concat();
        assert_eq!(outcome(&text), Ok(()));
    }

    #[test]
    fn one_token_may_have_sources_at_every_venue_and_at_several_places_of_one() {
        let text = [
            TOKENS,
            &listing("ETH", "binance", "ethusdt", ""),
            &listing(
                "ETH",
                "binance",
                "ETHUSDT",
                "name = 'trades'\nstream = 'trade'",
            ),
            &listing(
                "ETH",
                "binance",
                "ETHUSD",
                "name = 'us'\nurl = 'wss://example.org/stream'",
            ),
            &listing("ETH", "coinbase", "ETH-USD", ""),
            &listing("ETH", "kraken", "eth/usd", ""),
            &listing("BTC", "kraken", "BTC/USD", ""),
        ]
        .concat();
        assert_eq!(outcome(&text), Ok(()));
    }

    #[test]
    fn what_an_exchange_would_not_understand_is_refused_by_entry() {
        for (kind, symbol, more, expected) in [
            ("binance", "ETH-USDT", "", "such as BTCUSDT"),
            ("binance", "", "", "such as BTCUSDT"),
            ("coinbase", "ETHUSD", "", "such as BTC-USD"),
            ("coinbase", "ETH-USD-X", "", "such as BTC-USD"),
            ("kraken", "ETH-USD", "", "such as BTC/USD"),
            ("kraken", "ETH/", "", "such as BTC/USD"),
            (
                "kraken",
                "ETH/USD",
                "url = 'https://example.org'",
                "url must be ws:// or wss://",
            ),
            (
                "kraken",
                "ETH/USD",
                "url = 'wss:///v2'",
                "url must be ws:// or wss://",
            ),
        ] {
            let text = format!("{TOKENS}{}", listing("ETH", kind, symbol, more));
            let error = outcome(&text).unwrap_err();
            let place = format!("prices.sources entry 1 (\"{kind}\" of ETH): ");
            assert!(
                error.starts_with(&place) && error.contains(expected),
                "{error}"
            );
        }
        let twice = [
            TOKENS,
            &listing("ETH", "kraken", "ETH/USD", ""),
            &listing("ETH", "kraken", "eth/usd", "name = 'b'"),
        ];
        let error = outcome(&twice.concat()).unwrap_err();
        assert!(error.contains("reads the same symbol there"), "{error}");
    }

    #[test]
    fn keys_of_connections_to_exchanges_have_limits() {
        for key in [
            "connect_timeout_ms",
            "backoff_max_ms",
            "backoff_ms",
            "missed_heartbeats",
            "first_tick_ms",
            "rotate_after_ms",
            "message_bytes",
        ] {
            let error = outcome(&format!("[exchanges]\n{key} = 1")).unwrap_err();
            let expected = format!("prices.exchanges.{key}: must be ");
            assert!(error.starts_with(&expected), "{error}");
        }
        let error = outcome("[exchanges]\nstable_ms = 9999999").unwrap_err();
        assert!(error.contains("not 9999999"), "{error}");
    }

    #[test]
    fn a_pool_may_be_read_for_its_price_and_for_its_average() {
        let pool = |more: &str| {
            format!(
                "[[sources]]\nkind = 'uniswap-v3'\ntoken = 'ETH'\nquote = 'usd'\nbase = 0\n\
                 address = '0x{:040x}'\n{more}\n",
                9
            )
        };
        let average = "price = 'twap'\ntwap_seconds = 300";
        let text = format!("{TOKENS}{}{}", pool(""), pool(average));
        outcome(&text).unwrap();
        let longer = "name = 'long'\nprice = 'twap'\ntwap_seconds = 1800";
        outcome(&format!("{text}{}", pool(longer))).unwrap();
        let again = "name = 'b'\nprice = 'twap'\ntwap_seconds = 300";
        let error = outcome(&format!("{text}{}", pool(again))).unwrap_err();
        assert!(error.contains("reads the same contract"), "{error}");
    }

    #[test]
    fn keys_that_do_not_fit_their_kind_are_refused_by_entry_and_key() {
        let pool = |kind: &str, more: &str| {
            format!(
                "[[sources]]\nkind = '{kind}'\ntoken = 'ETH'\nquote = 'usd'\naddress = '0x{:040x}'\n{more}\n",
                9
            )
        };
        let pyth = |id: &str, more: &str| {
            format!(
                "[[sources]]\nkind = 'pyth'\ntoken = 'ETH'\nquote = 'usd'\nid = '{id}'\n{more}\n"
            )
        };
        let http = |url: &str, more: &str| {
            format!(
                "[[sources]]\nkind = 'http'\ntoken = 'ETH'\nquote = 'usd'\nurl = '{url}'\n{more}\n"
            )
        };
        let page = "http://127.0.0.1:9/p";
        let id = "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace";
        let cases = [
            (
                pool("uniswap-v3", ""),
                "base must be 0 or 1, or ETH needs its `address`",
            ),
            (pool("uniswap-v3", "base = 2"), "base must be 0 or 1, not 2"),
            (
                pool("uniswap-v3", "base = 0\nmin_reserve = 1"),
                "give min_liquidity",
            ),
            (
                pool("uniswap-v2", "base = 0\nmin_liquidity = 1"),
                "give min_reserve",
            ),
            (
                pool("uniswap-v2", "base = 0\ntwap_seconds = 60"),
                "only with price",
            ),
            (
                pool("uniswap-v2", "base = 0\nprice = 'twap'"),
                "twap_seconds is missing",
            ),
            (
                pool("uniswap-v2", "base = 0\nprice = 'twap'\ntwap_seconds = 9"),
                "twap_seconds must be 10 to 86400, not 9",
            ),
            (
                feed("ETH", 1, "heartbeat_ms = 0\nmax_age_ms = 5"),
                "heartbeat_ms must be 1 to",
            ),
            (pyth("ff", ""), "id must be 64 hexadecimal digits"),
            (
                pyth(id, "url = 'ws://127.0.0.1'"),
                "url must be http:// or https://",
            ),
            (pyth(id, "key = ''"), "key must not be empty"),
            (
                http("ftp://x", "pointer = '/p'"),
                "url must be http:// or https://",
            ),
            (
                http(page, "pointer = 'p'"),
                "pointer must be empty or begin with /",
            ),
            (http(page, "pointer = '/a~2'"), "pointer"),
            (
                http(page, "pointer = '/p'\ninterval_ms = 10"),
                "interval_ms must be 100 to",
            ),
            (
                http(page, "pointer = '/p'\ntimeout_ms = 1"),
                "timeout_ms must be 100 to",
            ),
            (
                http(page, "pointer = '/p'\nmax_bytes = 1"),
                "max_bytes must be 64 to",
            ),
            (
                http(page, "pointer = '/p'\nheaders = { 'a b' = 'x' }"),
                "headers has a name that is none",
            ),
        ];
        for (text, expected) in cases {
            let error = outcome(&format!("{TOKENS}{text}")).unwrap_err();
            assert!(
                error.starts_with("prices.sources entry 1 (") && error.contains(expected),
                "{error}\n{text}"
            );
        }
        let twice = [
            pyth(id, ""),
            pyth(&format!("0x{}", id.to_uppercase()), "name = 'b'"),
        ];
        let error = outcome(&format!("{TOKENS}{}", twice.concat())).unwrap_err();
        assert!(error.contains("reads the same"), "{error}");
        let error = outcome("follow_interval_ms = 1").unwrap_err();
        assert!(
            error.starts_with("prices.follow_interval_ms: must be 100 to"),
            "{error}"
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_entry() {
        let with = |more: &[String]| format!("{TOKENS}{}", more.concat());
        let cases = [
            (
                "min_sources = 0".to_owned(),
                "prices.min_sources: must be 1 to 1000, not 0",
            ),
            ("outlier_mads = 0".to_owned(), "prices.outlier_mads"),
            ("publish_bps = 10001".to_owned(), "prices.publish_bps"),
            ("tick_queue = 1".to_owned(), "prices.tick_queue"),
            (
                "candle_grace_ms = 3600001".to_owned(),
                "prices.candle_grace_ms: must be 0 to 3600000, not 3600001",
            ),
            (
                "candle_publish_ms = 9".to_owned(),
                "prices.candle_publish_ms: must be 10 to 60000, not 9",
            ),
            (
                "publish_heartbeat_ms = 99".to_owned(),
                "prices.publish_heartbeat_ms: must be 100 to",
            ),
            (
                "[[tokens]]\nsymbol = 'A'\n[[tokens]]\nsymbol = 'B'\nmin_interval_ms = 3600001"
                    .to_owned(),
                "prices.tokens.1.min_interval_ms: must be 0 to 3600000",
            ),
            (
                format!("{TOKENS}[[tokens]]\nsymbol = 'eth'\n"),
                "lists ETH twice",
            ),
            ("[[tokens]]\nsymbol = 'usd'\n".to_owned(), "lists USD"),
            (
                with(&[feed("DAI", 1, "")]),
                "entry 1 (\"chainlink\" of DAI): DAI is not in",
            ),
            (
                with(&[feed("ETH", 1, ""), feed("ETH", 2, "")]),
                "entry 2 (\"chainlink\" of ETH): ETH has another source of that name",
            ),
            (
                with(&[feed("ETH", 1, ""), feed("ETH", 1, "name = 'b'")]),
                "reads the same contract",
            ),
            (with(&[feed("ETH", 1, "name = ''")]), "its name must have"),
            (
                with(&[feed("ETH", 1, "name = 'a b'")]),
                "its name must have",
            ),
            (
                with(&[feed("ETH", 1, "max_age_ms = 0")]),
                "max_age_ms must be 1 to",
            ),
            (
                with(&[feed("ETH", 1, "max_age_ms = 9000000000000")]),
                "not 9000000000000",
            ),
            (
                with(&[pair("ETH", 1, "USD", 2)]),
                "base must be 0 or 1, not 2",
            ),
            (
                with(&[pair("ETH", 1, "EUR", 0)]),
                "quote \"EUR\" is neither",
            ),
            (
                with(&[pair("ETH", 1, "E R", 0)]),
                "quote \"E R\" is neither",
            ),
            (
                with(&[pair("ETH", 1, "ETH", 0)]),
                "ETH cannot be quoted in itself",
            ),
            (
                with(&[pair("ETH", 1, "BTC", 0), pair("BTC", 1, "ETH", 1)]),
                "entry 1 (\"uniswap-v2\" of ETH): no path of at most 8 sources leads from its quote BTC to USD",
            ),
            (
                with(&[
                    feed("BTC", 1, ""),
                    pair("ETH", 2, "BTC", 0),
                    pair("UNI", 3, "ETH", 0),
                    pair("ETH", 3, "UNI", 1).replace("token = 'ETH'", "token = 'ETH'\nname = 'b'"),
                ]),
                "entry 4 (\"b\" of ETH): the price of its quote UNI is made of ETH's own",
            ),
        ];
        for (text, expected) in cases {
            let error = outcome(&text).unwrap_err();
            assert!(error.contains(expected), "{error}\n{text}");
        }
    }
}
