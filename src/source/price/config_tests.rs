use super::*;

const FEED: &str = "kind = 'chainlink'\ntoken = 'eth'\n\
    address = '0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419'\n";
const PAIR: &str = "kind = 'uniswap-v2'\ntoken = 'eth'\n\
    address = '0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc'\nbase = 1\nbase_decimals = 18\n\
    quote_decimals = 6\nquote = 'usd'\n";

fn read(text: &str) -> Result<SourceConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn each_kind_reads_its_own_keys_and_defaults() {
    let feed = read(&format!("{FEED}decimals = 8")).unwrap();
    assert_eq!(feed.token.as_str(), "ETH");
    assert_eq!(&*feed.source_name(), "chainlink");
    assert_eq!(feed.max_age_ms, DEFAULT_MAX_AGE_MS);
    assert!(matches!(
        feed.kind,
        SourceKind::Chainlink(ChainlinkConfig {
            decimals: Some(8),
            ..
        })
    ));

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
fn what_a_contract_can_be_asked_may_be_left_out() {
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
fn a_venue_that_falls_silent_is_used_for_a_minute_and_a_document_for_three_intervals() {
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
fn the_scheme_of_a_url_may_be_written_in_capitals_and_the_rest_stays_as_it_is() {
    let source = read(
        "kind = 'kraken'\ntoken = 'eth'\nquote = 'usd'\nsymbol = 'ETH/USD'\nurl = 'WS://Host/Path'",
    );
    match source.unwrap().kind {
        SourceKind::Kraken(listing) => assert_eq!(listing.url.as_deref(), Some("ws://Host/Path")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_key_is_named_with_its_kind() {
    let error = read("kind = 'chainlink'\ntoken = 'eth'").unwrap_err();
    assert!(
        error.contains("a chainlink source of ETH: missing field `address`"),
        "{error}"
    );
    let error = read(&PAIR.replace("quote = 'usd'\n", "")).unwrap_err();
    assert!(
        error.contains("a uniswap-v2 source of ETH: missing field `quote`"),
        "{error}"
    );
}

#[test]
fn a_key_of_another_kind_is_refused_by_name() {
    let error = read(&format!("{FEED}decimals = 8\nquote = 'USD'")).unwrap_err();
    assert!(
        error.contains("a chainlink source of ETH: unknown field `quote`"),
        "{error}"
    );
    let error = read(&format!("{PAIR}decimals = 8")).unwrap_err();
    assert!(
        error.contains("a uniswap-v2 source of ETH: unknown field `decimals`"),
        "{error}"
    );
}

#[test]
fn an_unknown_key_and_an_unknown_kind_are_refused_with_what_is_known() {
    let error = read(&format!("{FEED}decimals = 8\nadress = 1")).unwrap_err();
    assert!(error.contains("unknown field `adress`"), "{error}");
    let error = read(&FEED.replace("chainlink", "chainlnk")).unwrap_err();
    assert!(
        error.contains("chainlnk") && error.contains("uniswap-v2"),
        "{error}"
    );
}
