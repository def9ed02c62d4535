//! Tokens, prices, ticks and candles.

use serde_json::Value;

use super::Api;

/// 2026-01-31T12:00:00Z
const NOON: i64 = 1_769_860_800_000;

impl Api {
    /// A candle of ETH that begins `seconds` after noon, as the price writer stores it. `ohlc` is open, high, low and
    /// close.
    async fn candle(&self, interval: i64, seconds: i64, ohlc: &str, count: u32) {
        self.sql(&format!(
            "INSERT INTO candles (token, seconds, start, open, high, low, close, count, first_at, last_at, told, closed)
             SELECT 'ETH', {interval}, at, {ohlc}, {count}, at, at, {count}, true
             FROM (SELECT to_timestamp({} + {seconds}) AS at) t",
            NOON / 1_000
        ))
        .await;
    }
}

#[tokio::test]
async fn lists_tokens_with_sources_in_configuration_order() {
    let api = Api::start().await;
    api.tokens().await;
    let tokens = api.all("/api/v1/tokens?limit=1").await;
    let symbols: Vec<&str> = tokens
        .iter()
        .map(|token| token["symbol"].as_str().unwrap())
        .collect();
    assert_eq!(
        symbols,
        ["ETH", "BTC"],
        "and no token that is no longer tracked"
    );
    assert_eq!(tokens[0]["name"], "Ether");
    assert_eq!(tokens[0]["channel"], "price:ETH");
    assert_eq!(tokens[0]["sources"][1]["source"], "uniswap-v2");
    assert_eq!(tokens[1]["sources"], serde_json::json!([]));
}

#[tokio::test]
async fn newest_price_has_every_digit_and_its_age() {
    let api = Api::start().await;
    api.tokens().await;
    let problem = api
        .expect_problem("/api/v1/prices/ETH", 404, "NOT_FOUND")
        .await;
    assert!(
        problem["detail"].as_str().unwrap().contains("no price yet"),
        "{problem}"
    );
    api.sql("INSERT INTO prices VALUES ('ETH', 41, 3400, 0, 'ok', '{chainlink}', now(), now())")
        .await;
    api.sql(
        "INSERT INTO prices VALUES ('ETH', 42, 3456.120000000000000001, 0.42, 'ok', '{chainlink,uniswap-v2}',
             now() - interval '2 s', now())",
    )
    .await;
    api.sql(
        "UPDATE prices SET details = jsonb_build_array(
             jsonb_build_object('source', 'chainlink', 'at', 1000, 'chain', 10, 'block', 7),
             jsonb_build_object('source', 'liar', 'at', 2000, 'outlier', true)) WHERE seq = 42",
    )
    .await;
    let answer = api
        .send(axum::http::Method::GET, "/api/v1/prices/eth")
        .await;
    assert!(
        answer.text.contains("\"price\":3456.120000000000000001,"),
        "{}",
        answer.text
    );
    let price = answer.json();
    assert_eq!(price["token"], "ETH");
    assert_eq!(price["seq"], 42);
    assert_eq!(price["channel"], "price:ETH");
    assert_eq!(price["quote"], "USD");
    assert_eq!(price["status"], "ok");
    assert!(price.get("reason").is_none(), "{price}");
    assert_eq!(
        price["sources"],
        serde_json::json!(["chainlink", "uniswap-v2"])
    );
    assert!(price["ageMs"].as_i64().unwrap() >= 2_000, "{price}");
    let details = &price["details"];
    assert_eq!(details[0]["source"], "chainlink");
    assert_eq!(
        details[0]["block"],
        serde_json::json!({"chainId": 10, "number": 7})
    );
    assert!(details[0]["ageMs"].as_i64().unwrap() > 1_000_000_000_000);
    assert_eq!(details[0]["outlier"], false);
    assert!(details[1]["block"].is_null() && details[1]["outlier"] == true);
    let all = api.all("/api/v1/prices?limit=1").await;
    assert_eq!(all.len(), 1, "BTC has none yet");
    assert_eq!(all[0]["seq"], 42);
    let problem = api
        .expect_problem("/api/v1/prices/OLD", 404, "NOT_FOUND")
        .await;
    assert!(
        problem["detail"].as_str().unwrap().contains("not tracked"),
        "{problem}"
    );
    assert_eq!(
        api.expect_problem("/api/v1/prices/a%20b", 400, "BAD_REQUEST")
            .await["parameter"],
        "token"
    );
}

#[tokio::test]
async fn price_that_is_not_renewed_is_stale() {
    let api = Api::start().await;
    api.tokens().await;
    api.sql("INSERT INTO prices VALUES ('ETH', 1, 3400, 0, 'ok', '{chainlink}', now() - interval '2 h', now())").await;
    let price = api.get("/api/v1/prices/ETH").await;
    assert_eq!(
        (&price["status"], &price["reason"]),
        (&"stale".into(), &"old".into())
    );
}

#[tokio::test]
async fn price_is_stale_once_its_sources_expired() {
    let api = Api::start().await;
    api.tokens().await;
    // The configured source of ETH has a limit of one hour. This price used one source with a longer limit and one with
    // a shorter.
    for (observed_at, expires_at, status) in [
        ("2 h", "now() + interval '1 h'", "ok"),
        ("2 s", "now() - interval '1 s'", "stale"),
    ] {
        api.sql(&format!(
            "DELETE FROM prices;
             INSERT INTO prices (token, seq, price, confidence, status, sources, observed_at, announced_at, expires_at)
             VALUES ('ETH', 1, 3400, 0, 'ok', '{{chainlink}}', now() - interval '{observed_at}', now(), {expires_at})"
        ))
        .await;
        let price = api.get("/api/v1/prices/ETH").await;
        assert_eq!(price["status"], status, "{price}");
    }
}

#[tokio::test]
async fn price_that_is_not_ok_has_a_reason() {
    let api = Api::start().await;
    api.tokens().await;
    let row = "INSERT INTO prices (token, seq, price, confidence, status, reason, sources, observed_at, announced_at)";
    for (seq, status, reason, observed_at, returned) in [
        (1, "degraded", "'few_venues'", "now()", Some("few_venues")),
        (2, "degraded", "'jump'", "now()", Some("jump")),
        // Prices from before reasons were stored, and from a later version.
        (3, "degraded", "NULL", "now()", None),
        (4, "degraded", "'of_a_later_version'", "now()", None),
        (
            5,
            "stale",
            "'node_down'",
            "now() - interval '2 h'",
            Some("node_down"),
        ),
        // A status from before it went stale is not a reason for its current status.
        (
            6,
            "degraded",
            "'jump'",
            "now() - interval '2 h'",
            Some("old"),
        ),
    ] {
        api.sql(&format!(
            "{row} VALUES ('ETH', {seq}, 3400, 0, '{status}', {reason}, '{{chainlink}}', {observed_at}, now())"
        ))
        .await;
        for price in [
            api.get("/api/v1/prices/ETH").await,
            api.get("/api/v1/prices").await["data"][0].clone(),
        ] {
            assert_eq!(price["seq"], seq);
            let reason = price.get("reason").map(|reason| reason.as_str().unwrap());
            assert_eq!(reason, returned, "{price}");
        }
    }
}

#[tokio::test]
async fn source_on_a_failing_chain_is_not_ok() {
    let api = Api::start().await;
    api.chain(20, 0).await;
    api.tokens().await;
    api.sql(
        "UPDATE price_sources SET chain_id = 31337 WHERE source = 'chainlink';
         INSERT INTO ticks (token, source, quote, price, observed_at, chain_id, block_number, block_hash, log_index)
         SELECT 'ETH', 'chainlink', 'USD', 3400, now(), chain_id, number, hash, 0 FROM blocks WHERE number = 20;
         INSERT INTO ticks (token, source, quote, price, observed_at)
         VALUES ('ETH', 'uniswap-v2', 'USD', 3400, now())",
    )
    .await;
    let sources = async || {
        // Whichever chain is requested, sources of all chains are listed.
        let status = api.get("/api/v1/status?chain=10").await;
        let sources = status["prices"]["sources"].as_array().unwrap().clone();
        let returned = sources.iter().map(|source| {
            let reason = source["reason"].as_str().unwrap_or_default().to_owned();
            (source["health"].as_str().unwrap().to_owned(), reason)
        });
        returned.collect::<Vec<_>>()
    };
    let fine = ("ok".to_owned(), String::new());
    assert_eq!(sources().await, [fine.clone(), fine.clone()]);

    api.sql("UPDATE chains SET node_head = 31").await;
    let found = sources().await;
    assert_eq!((&*found[0].0, &found[1]), ("limited", &fine), "{found:?}");
    assert!(found[0].1.contains("chain 31337 lags"), "{found:?}");

    api.sql("UPDATE chains SET node_seen_at = now() - interval '2 min'")
        .await;
    let found = sources().await;
    assert_eq!((&*found[0].0, &found[1]), ("stale", &fine), "{found:?}");
    assert!(found[0].1.contains("node of chain 31337"), "{found:?}");

    api.sql("INSERT INTO halts (chain_id, reason) VALUES (31337, 'of a test')")
        .await;
    let found = sources().await;
    assert!(found[0].1.contains("chain 31337 is halted"), "{found:?}");
    api.sql("DELETE FROM halts; UPDATE chains SET node_seen_at = now(), node_head = 20")
        .await;
    assert_eq!(sources().await, [fine.clone(), fine]);
}

#[tokio::test]
async fn status_reports_every_price_source() {
    let api = Api::start().await;
    api.tokens().await;
    api.sql("INSERT INTO ticks (token, source, quote, price, observed_at) VALUES ('ETH', 'chainlink', 'USD', 3400.000000000000000001, now())")
        .await;
    api.sql("INSERT INTO price_sources (token, source, quote, max_age_ms) VALUES ('BTC', 'chainlink', 'USD', 1000)").await;
    api.sql("INSERT INTO ticks (token, source, quote, price, observed_at) VALUES ('BTC', 'chainlink', 'USD', 1, now() - interval '1 min')")
        .await;
    let answer = api.send(axum::http::Method::GET, "/api/v1/status").await;
    assert!(
        answer
            .text
            .contains("\"lastPrice\":3400.000000000000000001"),
        "{}",
        answer.text
    );
    let sources = answer.json()["prices"]["sources"].clone();
    let health: Vec<(&str, &str, &str)> = sources
        .as_array()
        .unwrap()
        .iter()
        .map(|source| {
            let text = |key: &str| source[key].as_str().unwrap();
            (text("token"), text("source"), text("health"))
        })
        .collect();
    assert_eq!(
        health,
        [
            ("ETH", "chainlink", "ok"),
            ("ETH", "uniswap-v2", "silent"),
            ("BTC", "chainlink", "stale")
        ]
    );
    assert!(sources[1]["lastTickAt"].is_null() && sources[1]["lastPrice"].is_null());
    assert!(sources[0]["feed"].is_null());

    // A venue may reject a source that gave a tick a moment ago.
    api.sql(
        "UPDATE price_sources SET state = 'refused', state_reason = 'delisted', state_since = to_timestamp(1),
             feed = 'http@api.example.org'
         WHERE token = 'ETH' AND source = 'chainlink'",
    )
    .await;
    let status = api.get("/api/v1/status").await;
    let source = &status["prices"]["sources"][0];
    assert_eq!(source["health"], "refused");
    let feed = serde_json::json!({
        "name": "http@api.example.org", "state": "refused", "reason": "delisted", "since": 1_000
    });
    assert_eq!(source["feed"], feed);
}

#[tokio::test]
async fn history_pages_ticks_newest_first_in_range() {
    let api = Api::start().await;
    api.tokens().await;
    // Two ticks share each second: a page boundary between them must not lose one.
    api.sql(&format!(
        "INSERT INTO ticks (token, source, quote, price, observed_at)
         SELECT 'ETH', 'chainlink', 'USD', n + 1, to_timestamp({} + n / 2) FROM generate_series(0, 9) n",
        NOON / 1_000
    ))
    .await;
    let prices = |ticks: &[Value]| {
        ticks
            .iter()
            .map(|tick| tick["price"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let all = api.all("/api/v1/prices/ETH/history?limit=3").await;
    assert_eq!(prices(&all), (1..=10).rev().collect::<Vec<_>>());
    assert_eq!(all[9]["timestamp"], NOON);
    assert!(all[0]["origin"].is_null());
    let path = format!(
        "/api/v1/prices/ETH/history?limit=1&from=2026-01-31T12:00:01Z&to={}",
        NOON + 3_000
    );
    assert_eq!(
        prices(&api.all(&path).await),
        [6, 5, 4, 3],
        "from is included, to is not"
    );
    // Edges: no explicit end, a range in the past, and one in the future.
    let at = |from: i64, to: i64| format!("/api/v1/prices/ETH/history?from={from}&to={to}");
    assert!(api.all(&at(NOON, NOON)).await.is_empty());
    assert_eq!(prices(&api.all(&at(NOON, NOON + 1)).await), [2, 1]);
    let (last, year_9999) = (NOON + 4_000, 253_402_300_799_999);
    assert_eq!(prices(&api.all(&at(last, year_9999)).await), [10, 9]);
    let open = |query: &str| format!("/api/v1/prices/ETH/history?limit=2&{query}");
    let page = api.get(&open(&format!("from={last}"))).await;
    assert_eq!(prices(page["data"].as_array().unwrap()), [10, 9]);
    assert!(
        page["next"].is_null(),
        "a page that is full to the last: {page}"
    );
    assert!(
        api.all(&open(&format!("from={year_9999}")))
            .await
            .is_empty()
    );
    assert!(api.all(&open(&format!("to={NOON}"))).await.is_empty());
    assert_eq!(
        prices(&api.all(&open(&format!("to={}", NOON + 1))).await),
        [2, 1]
    );
    let bad = api
        .expect_problem(&at(NOON, NOON - 1), 400, "BAD_REQUEST")
        .await;
    assert_eq!(bad["parameter"], "to");
    let none = api.get("/api/v1/prices/BTC/history?limit=2").await;
    assert!(none["data"].as_array().unwrap().is_empty() && none["next"].is_null());
    let bad = api
        .expect_problem("/api/v1/prices/ETH/history?from=noon", 400, "BAD_REQUEST")
        .await;
    assert_eq!(bad["parameter"], "from");
    api.expect_problem("/api/v1/prices/NOPE/history", 404, "NOT_FOUND")
        .await;
}

/// Starts in seconds after noon, and whether the candles are synthetic.
fn starts(candles: &[Value]) -> Vec<(i64, bool)> {
    let start = |candle: &Value| {
        let at = candle["timestamp"].as_i64().unwrap() - NOON;
        (at / 1_000, candle["synthetic"].as_bool().unwrap())
    };
    candles.iter().map(start).collect()
}

#[tokio::test]
async fn candles_keep_digits_and_fill_gaps_synthetically() {
    let api = Api::start().await;
    api.tokens().await;
    api.candle(60, 0, "100.000000000000000001, 105, 99.5, 99.5", 3)
        .await;
    api.candle(60, 60, "101, 101, 101, 101", 1).await;
    api.candle(60, 300, "102, 103, 102, 103", 2).await;
    api.candle(3_600, 0, "100.000000000000000001, 105, 99.5, 103", 6)
        .await;
    let range = "from=2026-01-31T12:00:30Z&to=2026-01-31T13:00:30Z";
    let path = format!("/api/v1/prices/ETH/candles?interval=1m&{range}");
    let answer = api.send(axum::http::Method::GET, &path).await;
    let first = format!(
        "{{\"timestamp\":{NOON},\"open\":100.000000000000000001,\"high\":105,\"low\":99.5,\"close\":99.5,\
         \"count\":3,\"closed\":true,\"synthetic\":false}}"
    );
    assert!(answer.text.contains(&first), "{}", answer.text);
    let page = answer.json();
    assert_eq!(page["channel"], "candle:ETH:1m");
    assert_eq!(page["seq"], 0, "nothing was published");
    assert!(
        page["epoch"].is_string() && page["next"].is_null(),
        "{page}"
    );

    let whole = [
        (0, false),
        (60, false),
        (120, true),
        (180, true),
        (240, true),
        (300, false),
    ];
    assert_eq!(starts(page["data"].as_array().unwrap()), whole);
    let gap = &page["data"][3];
    for side in ["open", "high", "low", "close"] {
        assert_eq!(gap[side], 101, "{gap}");
    }
    assert_eq!(gap["count"], 0);
    assert_eq!(gap["closed"], true);

    // Pages of any length add up to the whole; a page within a gap is filled from the candle before it.
    for limit in 1..8 {
        let paged = api.all(&format!("{path}&limit={limit}")).await;
        assert_eq!(starts(&paged), whole, "limit {limit}");
    }
    let inner = format!(
        "/api/v1/prices/ETH/candles?interval=1m&from={}&to={}",
        NOON + 130_000,
        NOON + 200_000
    );
    assert_eq!(starts(&api.all(&inner).await), [(120, true), (180, true)]);
    let outer = format!(
        "/api/v1/prices/ETH/candles?interval=1m&from={}&to={}",
        NOON - 600_000,
        NOON - 60_000
    );
    assert!(api.all(&outer).await.is_empty(), "nothing before the first");

    let hours = api
        .all(&format!("/api/v1/prices/ETH/candles?interval=1h&{range}"))
        .await;
    assert_eq!(starts(&hours), [(0, false)]);
    assert_eq!(hours[0]["count"], 6);
    let now = api.get("/api/v1/prices/ETH/candles").await;
    let newest = starts(now["data"].as_array().unwrap());
    assert_eq!(newest, whole, "the newest by default, however old");
    let bad = api
        .expect_problem("/api/v1/prices/ETH/candles?interval=2m", 400, "BAD_REQUEST")
        .await;
    assert!(
        bad["detail"].as_str().unwrap().contains("interval"),
        "{bad}"
    );
}

#[tokio::test]
async fn newest_candles_cover_a_quiet_period() {
    let api = Api::start().await;
    api.tokens().await;
    for (interval, length) in [
        ("1m", 60),
        ("5m", 300),
        ("15m", 900),
        ("1h", 3_600),
        ("4h", 14_400),
        ("1d", 86_400),
    ] {
        // Candles of the same day; one is missing before the last.
        let begin = -((NOON / 1_000) % length);
        for at in [0, 1, 3] {
            api.candle(length, begin + at * length, "5, 6, 4, 5", 4)
                .await;
        }
        let start = |at: i64, synthetic: bool| (begin + at * length, synthetic);
        let newest = async |more: &str| {
            let path = format!("/api/v1/prices/ETH/candles?interval={interval}&limit=2{more}");
            let page = api.get(&path).await;
            assert!(page["next"].is_null(), "{path}: {page}");
            starts(page["data"].as_array().unwrap())
        };
        let moment = |at: i64| NOON + (begin + at * length) * 1_000;
        let last = [start(2, true), start(3, false)];
        assert_eq!(newest("").await, last, "{interval}");
        assert_eq!(newest(&format!("&to={}", moment(900))).await, last);
        assert_eq!(newest(&format!("&to={}", moment(4))).await, last);
        // In a filled gap, the newest candles before `to` are synthetic.
        let gap = [start(1, false), start(2, true)];
        assert_eq!(newest(&format!("&to={}", moment(3))).await, gap);
        assert!(newest(&format!("&to={}", moment(-1))).await.is_empty());
        // An explicit range is returned exactly.
        let behind = format!("&from={}&to={}", moment(4), moment(9));
        assert!(newest(&behind).await.is_empty());
        let within = format!("&from={}&to={}", moment(1), moment(3));
        assert_eq!(newest(&within).await, gap);
    }
}

#[tokio::test]
async fn candle_ranges_end_with_the_candles() {
    let api = Api::start().await;
    api.tokens().await;
    let get = async |query: &str| {
        let path = format!("/api/v1/prices/ETH/candles?{query}");
        let page = api.get(&path).await;
        assert!(page["next"].is_null(), "{path}: {page}");
        page["data"].as_array().unwrap().clone()
    };
    let now = chaincast_protocol::now_ms();
    let later = now + 3_600_000;
    let year_9999 = 253_402_300_799_999_i64;
    let intervals = ["1m", "5m", "15m", "1h", "4h", "1d"];
    // A token without candles.
    for interval in intervals {
        for more in [
            String::new(),
            format!("&from={NOON}"),
            format!("&from={later}"),
            format!("&to={NOON}"),
            "&to=0".to_owned(),
            "&from=0&to=0".to_owned(),
            format!("&to={year_9999}"),
        ] {
            let query = format!("interval={interval}&limit=1000{more}");
            assert_eq!(get(&query).await, [] as [Value; 0], "{query}");
        }
    }
    // One candle of yesterday, with none after it.
    let day = now - now % 86_400_000 - 86_400_000;
    api.candle(86_400, (day - NOON) / 1_000, "5, 6, 4, 5", 4)
        .await;
    for (more, count) in [
        (String::new(), 1),
        ("&limit=1".to_owned(), 1),
        (format!("&from={day}"), 1),
        (format!("&from={}", day + 86_399_999), 1),
        (format!("&from={}", day + 86_400_000), 0),
        (format!("&from={later}"), 0),
        (format!("&to={}", day + 1), 1),
        (format!("&to={day}"), 0),
        (format!("&to={year_9999}"), 1),
        (format!("&from={day}&to={year_9999}"), 1),
        (format!("&from={day}&to={day}"), 0),
    ] {
        let found = get(&format!("interval=1d{more}")).await;
        assert_eq!(found.len(), count, "{more}: {found:?}");
        for candle in found {
            assert_eq!(candle["timestamp"], day);
            assert_eq!(
                (&candle["closed"], &candle["synthetic"]),
                (&true.into(), &false.into())
            );
        }
    }
    let bad = format!("/api/v1/prices/ETH/candles?from={later}&to={now}");
    assert_eq!(
        api.expect_problem(&bad, 400, "BAD_REQUEST").await["parameter"],
        "to"
    );
}

#[tokio::test]
async fn open_candle_includes_its_minute_candles() {
    let api = Api::start().await;
    api.tokens().await;
    for (seconds, ohlc) in [(0, "5, 6, 4, 5"), (60, "5, 9, 5, 8")] {
        api.candle(60, seconds, ohlc, 4).await;
    }
    // Stored when it was published, before the second minute.
    api.candle(300, 0, "5, 6, 4, 5", 4).await;
    api.sql("UPDATE candles SET closed = false WHERE seconds = 300")
        .await;
    let path = format!("/api/v1/prices/ETH/candles?interval=5m&from={NOON}");
    let open = &api.get(&path).await["data"][0];
    let returned = ["open", "high", "low", "close", "count"].map(|key| open[key].as_u64().unwrap());
    assert_eq!(returned, [5, 9, 4, 8, 8]);
}
