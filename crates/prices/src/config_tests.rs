use super::{
    super::{chainlink::ChainlinkConfig, exchange::Listing, max_age::DEFAULT_MAX_AGE_MS},
    *,
};

const FEED: &str = "kind = 'chainlink'\ntoken = 'eth'\n\
    address = '0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419'\n";
const PAIR: &str = "kind = 'uniswap-v2'\ntoken = 'eth'\n\
    address = '0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc'\nbase = 1\nbase_decimals = 18\n\
    quote_decimals = 6\nquote = 'usd'\n";

fn read(text: &str) -> Result<SourceConfig, String> {
    let prices = toml::from_str::<PriceConfig>(&format!("[[sources]]\n{text}"));
    let mut prices = prices.map_err(|error| error.to_string())?;
    Ok(prices.sources.remove(0))
}

#[test]
fn each_kind_has_its_keys_and_defaults() {
    let feed = read(&format!("{FEED}decimals = 8")).unwrap();
    assert_eq!(feed.token.as_str(), "ETH");
    assert_eq!(&*feed.source_name(), "chainlink");
    assert_eq!(feed.max_age_ms, DEFAULT_MAX_AGE_MS);
    let settings = feed.kind.settings_as::<ChainlinkConfig>().unwrap();
    assert_eq!(settings.decimals, Some(8));

    let pair = read(&format!(
        "{PAIR}name = 'pool'\nmax_age_ms = 5\nchain_id = 10"
    ))
    .unwrap();
    assert_eq!(&*pair.source_name(), "pool");
    assert_eq!(pair.kind.quote(), "USD");
    assert_eq!(pair.kind.contract().unwrap().0, Some(10));
    assert_eq!(pair.max_age_ms, 5);
}

#[test]
fn keys_that_contracts_report_are_optional() {
    let feed = read(&format!("{FEED}heartbeat_ms = 4000000")).unwrap();
    assert_eq!(feed.max_age_ms, 4_000_000);
    let feed = read(&format!("{FEED}heartbeat_ms = 4000000\nmax_age_ms = 7")).unwrap();
    assert_eq!(feed.max_age_ms, 7);
    let pool = read(
        "kind = 'uniswap-v3'\ntoken = 'eth'\nquote = 'usdc'\nprice = 'twap'\ntwap_seconds = 300\n\
         address = '0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640'",
    )
    .unwrap();
    assert_eq!(&*pool.source_name(), "uniswap-v3-twap");
    assert_eq!(pool.kind.quote(), "USDC");
}

#[test]
fn max_age_defaults_by_kind() {
    let age = |keys: &str| {
        let source = read(&format!("token = 'eth'\nquote = 'usd'\n{keys}"));
        source.unwrap().max_age_ms
    };
    assert_eq!(age("kind = 'binance'\nsymbol = 'ETHUSD'"), 60_000);
    assert_eq!(
        age("kind = 'kraken'\nsymbol = 'ETH/USD'\nmax_age_ms = 7"),
        7
    );
    let page = "kind = 'http'\nurl = 'http://127.0.0.1:9'\npointer = ''";
    assert_eq!(age(page), 60_000);
    assert_eq!(age(&format!("{page}\ninterval_ms = 100000")), 300_000);
}

#[test]
fn url_scheme_is_lowercased() {
    let source = read(
        "kind = 'kraken'\ntoken = 'eth'\nquote = 'usd'\nsymbol = 'ETH/USD'\nurl = 'WS://Host/Path'",
    );
    let kind = source.unwrap().kind;
    let listing = kind.settings_as::<Listing>().unwrap();
    assert_eq!(listing.url(), "ws://Host/Path");
}

#[test]
fn missing_key_error_names_kind() {
    let error = read("kind = 'chainlink'\ntoken = 'eth'").unwrap_err();
    assert!(
        error.contains("sources.0.address: sources entry 1 (\"chainlink\" of ETH): is missing"),
        "{error}"
    );
    let error = read(&PAIR.replace("quote = 'usd'\n", "")).unwrap_err();
    assert!(
        error.contains("sources.0.quote: sources entry 1 (\"uniswap-v2\" of ETH): is missing"),
        "{error}"
    );
}

#[test]
fn rejects_key_of_another_kind() {
    let error = read(&format!("{FEED}decimals = 8\nquote = 'USD'")).unwrap_err();
    assert!(
        error.contains("sources.0.quote: sources entry 1 (\"chainlink\" of ETH): unknown key"),
        "{error}"
    );
    let error = read(&format!("{PAIR}decimals = 8")).unwrap_err();
    assert!(
        error.contains("sources.0.decimals: sources entry 1 (\"uniswap-v2\" of ETH): unknown key"),
        "{error}"
    );
}

#[test]
fn rejects_unknown_key_and_kind() {
    let error = read(&format!("{FEED}decimals = 8\nadress = 1")).unwrap_err();
    assert!(
        error.contains("unknown key; did you mean sources.address?"),
        "{error}"
    );
    let error = read(&FEED.replace("chainlink", "chainlnk")).unwrap_err();
    assert!(
        error.contains("chainlnk") && error.contains("uniswap-v2"),
        "{error}"
    );
}

#[test]
fn token_overrides_defaults_per_key() {
    let config: PriceConfig = toml::from_str(
        "min_sources = 2\npublish_bps = 5\nmin_interval_ms = 250\nmax_confidence_bps = 300\njump_hold_ms = 5000
         [[tokens]]\nsymbol = 'ETH'\npublish_bps = 0\noutlier_mads = 3\npublish_heartbeat_ms = 9000
         max_confidence_bps = 200\nmax_jump_bps = 0
         [[tokens]]\nsymbol = 'BTC'\nmin_sources = 1",
    )
    .unwrap();
    let [eth, btc] = &config.tokens[..] else {
        panic!("{config:?}")
    };
    let rules = config.aggregate_rules(eth);
    assert_eq!((rules.min_sources, rules.outlier_mads), (2, 3));
    assert_eq!(rules.outlier_floor_bps, DEFAULT_OUTLIER_FLOOR_BPS);
    assert_eq!((rules.max_confidence_bps, rules.max_jump_bps), (200, 0));
    let other = config.aggregate_rules(btc);
    assert_eq!((other.min_sources, other.max_confidence_bps), (1, 300));
    assert_eq!(
        (other.max_jump_bps, other.jump_hold_ms),
        (DEFAULT_MAX_JUMP_BPS, 5_000)
    );
    let eth = config.publish_rules(eth);
    assert_eq!(
        (eth.bps, eth.heartbeat_ms, eth.min_interval_ms),
        (0, 9_000, 250)
    );
    let btc = config.publish_rules(btc);
    assert_eq!(
        (btc.bps, btc.heartbeat_ms, btc.min_interval_ms),
        (5, 0, 250)
    );
}
