use super::super::PriceConfig;
use chaincast_base::settings::{Key, Problems, Setting};

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
    let mut problems = Problems::new(PriceConfig::KEYS);
    let key = Key::new::<PriceConfig>("prices", &[], String::new);
    let table = toml::from_str::<toml::Value>(text).unwrap();
    let config = PriceConfig::read(table, &key, "prices", &mut problems).unwrap();
    let read: Vec<String> = problems
        .into_all()
        .iter()
        .map(ToString::to_string)
        .collect();
    match read.is_empty() {
        true => config.validate().map_err(|error| error.to_string()),
        false => Err(read.join("\n")),
    }
}

#[test]
fn pair_may_price_both_tokens() {
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
fn allows_several_steps_to_usd() {
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
fn allows_several_sources_per_venue() {
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
fn rejects_invalid_symbol_and_url() {
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
        let prefix = format!("prices.sources entry 1 (\"{kind}\" of ETH): ");
        assert!(
            error.starts_with(&prefix) && error.contains(expected),
            "{error}"
        );
    }
    let twice = [
        TOKENS,
        &listing("ETH", "kraken", "ETH/USD", ""),
        &listing("ETH", "kraken", "eth/usd", "name = 'b'"),
    ];
    assert_eq!(
        outcome(&twice.concat()).unwrap_err(),
        "prices.sources entry 2 (\"b\" of ETH): reads the same symbol of a venue as \
         prices.sources entry 1 (\"kraken\" of ETH), which would count twice"
    );
    for (one, other) in [
        ("ws://127.0.0.1:47002", "ws://127.0.0.1:47002/"),
        ("ws://127.0.0.1:47002", "WS://127.0.0.1:47002"),
        ("wss://ws.kraken.com", "wss://WS.Kraken.com:443/v2"),
    ] {
        let twice = [
            TOKENS,
            &listing("ETH", "kraken", "ETH/USD", &format!("url = '{one}'")),
            &listing(
                "ETH",
                "kraken",
                "ETH/USD",
                &format!("name = 'b'\nurl = '{other}'"),
            ),
        ];
        let error = outcome(&twice.concat()).unwrap_err();
        assert!(error.contains("same symbol of a venue"), "{error}");
    }
}

#[test]
fn rejects_exchange_keys_out_of_range() {
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
fn allows_spot_and_average_of_a_pool() {
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
fn rejects_invalid_keys_of_a_kind() {
    let pool = |kind: &str, more: &str| {
        format!(
            "[[sources]]\nkind = '{kind}'\ntoken = 'ETH'\nquote = 'usd'\naddress = '0x{:040x}'\n{more}\n",
            9
        )
    };
    let pyth = |id: &str, more: &str| {
        format!("[[sources]]\nkind = 'pyth'\ntoken = 'ETH'\nquote = 'usd'\nid = '{id}'\n{more}\n")
    };
    let http = |url: &str, more: &str| {
        format!("[[sources]]\nkind = 'http'\ntoken = 'ETH'\nquote = 'usd'\nurl = '{url}'\n{more}\n")
    };
    let page = "http://127.0.0.1:9/p";
    let id = "ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace";
    let cases = [
        (
            pool("uniswap-v3", ""),
            "base must be 0 or 1, or ETH needs its `address`",
        ),
        (
            pool("uniswap-v3", "base = 2"),
            "prices.sources.0.base: prices.sources entry 1 (\"uniswap-v3\" of ETH): must be 0 or 1, not 2",
        ),
        (
            pool("uniswap-v3", "base = 0\nmin_reserve = 1"),
            "use min_liquidity",
        ),
        (
            pool("uniswap-v2", "base = 0\nmin_liquidity = 1"),
            "use min_reserve",
        ),
        (
            pool("uniswap-v2", "base = 0\ntwap_seconds = 60"),
            "requires price",
        ),
        (
            pool("uniswap-v2", "base = 0\nprice = 'twap'"),
            "twap_seconds is missing: price = \"twap\" requires it",
        ),
        (
            pool("uniswap-v2", "base = 0\nprice = 'twap'\ntwap_seconds = 9"),
            "prices.sources.0.twap_seconds: prices.sources entry 1 (\"uniswap-v2\" of ETH): must be 10 to 86400, not 9",
        ),
        (
            feed("ETH", 1, "heartbeat_ms = 0\nmax_age_ms = 5"),
            "prices.sources.0.heartbeat_ms: prices.sources entry 1 (\"chainlink\" of ETH): must be 1 to",
        ),
        (
            feed("ETH", 1, "heartbeat_ms = 60000\nmax_age_ms = 60001"),
            "max_age_ms must be at most heartbeat_ms, 60000, not 60001",
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
            "prices.sources.0.interval_ms: prices.sources entry 1 (\"http\" of ETH): must be 100 to",
        ),
        (
            http(page, "pointer = '/p'\ntimeout_ms = 1"),
            "prices.sources.0.timeout_ms: prices.sources entry 1 (\"http\" of ETH): must be 100 to",
        ),
        (
            http(page, "pointer = '/p'\nmax_bytes = 1"),
            "prices.sources.0.max_bytes: prices.sources entry 1 (\"http\" of ETH): must be 64 to",
        ),
        (
            http(page, "pointer = '/p'\nheaders = { 'a b' = 'x' }"),
            "headers has an invalid header name",
        ),
    ];
    for (text, expected) in cases {
        let error = outcome(&format!("{TOKENS}{text}")).unwrap_err();
        assert!(
            error.contains("prices.sources entry 1 (") && error.contains(expected),
            "{error}\n{text}"
        );
    }
    let twice = [
        pyth(id, ""),
        pyth(&format!("0x{}", id.to_uppercase()), "name = 'b'"),
    ];
    let error = outcome(&format!("{TOKENS}{}", twice.concat())).unwrap_err();
    assert!(error.contains("reads the same"), "{error}");
    let elsewhere = [
        pyth(id, "url = 'https://Hermes.pyth.network/'"),
        pyth(id, "name = 'b'\nkey = 'of-another-account'"),
    ];
    let error = outcome(&format!("{TOKENS}{}", elsewhere.concat())).unwrap_err();
    assert!(error.contains("same price id of a service as"), "{error}");
    let elsewhere = [
        http(page, "pointer = '/p'"),
        http(&format!("{page}/"), "pointer = '/p'\nname = 'b'"),
    ];
    let error = outcome(&format!("{TOKENS}{}", elsewhere.concat())).unwrap_err();
    assert!(error.contains("same value of a document as"), "{error}");
    let apart = [
        http(page, "pointer = '/p'"),
        http(page, "pointer = '/q'\nname = 'b'"),
        http("http://127.0.0.1:8/p", "pointer = '/p'\nname = 'c'"),
    ];
    assert_eq!(outcome(&format!("{TOKENS}{}", apart.concat())), Ok(()));
    let error = outcome("follow_interval_ms = 1").unwrap_err();
    assert!(
        error.contains("follow_interval_ms: must be 100 to"),
        "{error}"
    );
}

#[test]
fn rejects_inconsistent_entries() {
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
            "prices.publish_heartbeat_ms: must be 0, or 100 to",
        ),
        (
            "[[tokens]]\nsymbol = 'A'\n[[tokens]]\nsymbol = 'B'\nmin_interval_ms = 3600001"
                .to_owned(),
            "prices.tokens.1.min_interval_ms: prices.tokens entry 2 (B): must be 0 to 3600000",
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
            "entry 2 (\"chainlink\" of ETH): ETH has another source of this name",
        ),
        (
            with(&[feed("ETH", 1, ""), feed("ETH", 1, "name = 'b'")]),
            "reads the same contract",
        ),
        (with(&[feed("ETH", 1, "name = ''")]), "name must be"),
        (with(&[feed("ETH", 1, "name = 'a b'")]), "name must be"),
        (
            with(&[feed("ETH", 1, "max_age_ms = 0")]),
            "prices.sources.0.max_age_ms: prices.sources entry 1 (\"chainlink\" of ETH): must be 1 to",
        ),
        (
            with(&[feed("ETH", 1, "max_age_ms = 9000000000000")]),
            "not 9000000000000",
        ),
        (
            with(&[pair("ETH", 1, "USD", 2)]),
            "prices.sources.0.base: prices.sources entry 1 (\"uniswap-v2\" of ETH): must be 0 or 1, not 2",
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
            "entry 1 (\"uniswap-v2\" of ETH): no path of at most 8 sources from its quote BTC to USD",
        ),
        (
            with(&[
                feed("BTC", 1, ""),
                pair("ETH", 2, "BTC", 0),
                pair("UNI", 3, "ETH", 0),
                pair("ETH", 3, "UNI", 1).replace("token = 'ETH'", "token = 'ETH'\nname = 'b'"),
            ]),
            "entry 4 (\"b\" of ETH): the price of its quote UNI depends on ETH itself",
        ),
    ];
    for (text, expected) in cases {
        let error = outcome(&text).unwrap_err();
        assert!(error.contains(expected), "{error}\n{text}");
    }
}
