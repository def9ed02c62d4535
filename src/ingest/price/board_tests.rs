use bigdecimal::BigDecimal;

use super::*;
use crate::model::{B256, LogOrigin, PriceStatus};

const NOW: i64 = 1_700_000_000_000;

/// ETH and BTC have feeds, ETH has a pool in BTC as well, and UNI only a pool in ETH.
fn board() -> Board {
    let config: PriceConfig = toml::from_str(
        "[[tokens]]\nsymbol = 'UNI'\n[[tokens]]\nsymbol = 'ETH'\n[[tokens]]\nsymbol = 'BTC'
         [[sources]]\nkind = 'chainlink'\ntoken = 'ETH'\nname = 'feed'\ndecimals = 8\nmax_age_ms = 60000
         address = '0x0000000000000000000000000000000000000001'
         [[sources]]\nkind = 'chainlink'\ntoken = 'BTC'\nname = 'feed'\ndecimals = 8\nmax_age_ms = 60000
         address = '0x0000000000000000000000000000000000000002'
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'ETH'\nname = 'pool'\nmax_age_ms = 60000
         base = 0\nquote = 'BTC'\nbase_decimals = 18\nquote_decimals = 8
         address = '0x0000000000000000000000000000000000000003'
         [[sources]]\nkind = 'uniswap-v2'\ntoken = 'UNI'\nname = 'pool'\nmax_age_ms = 60000
         base = 0\nquote = 'ETH'\nbase_decimals = 18\nquote_decimals = 18
         address = '0x0000000000000000000000000000000000000004'",
    )
    .unwrap();
    config.validate().unwrap();
    Board::new(&config)
}

/// Observed one second a block after `NOW`.
fn tick(token: &str, source: &str, quote: &str, price: &str, at: (u64, u32)) -> Tick {
    let (block_number, log_index) = at;
    Tick {
        token: token.parse().unwrap(),
        source: source.into(),
        quote: quote.into(),
        price: price.parse().unwrap(),
        confidence: None,
        observed_at: NOW + block_number as i64 * 1_000,
        origin: Some(LogOrigin {
            chain_id: 1,
            block_number,
            block_hash: B256::ZERO,
            log_index,
        }),
    }
}

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

fn said(token: &str, price: &str) -> (String, BigDecimal) {
    (token.to_owned(), decimal(price))
}

/// Evaluates and keeps, as a commit would; what was announced.
fn announce(board: &mut Board, now: i64) -> Vec<(String, BigDecimal)> {
    let found = board.evaluate_all(now);
    let news = found.changed.iter();
    let news = news
        .map(|price| (price.token.to_string(), price.price.clone()))
        .collect();
    board.keep(found.changed);
    board.keep(found.confirmed);
    news
}

fn names(tokens: &BTreeSet<Token>) -> Vec<&str> {
    tokens.iter().map(Token::as_str).collect()
}

#[test]
fn a_tick_affects_its_token_and_those_that_are_counted_in_it() {
    let mut board = board();
    let affected = board.take(vec![tick("BTC", "feed", "USD", "60000", (1, 0))]);
    assert_eq!(names(&affected), ["BTC", "ETH"]);
    let affected = board.take(vec![tick("ETH", "feed", "USD", "3000", (1, 1))]);
    assert_eq!(names(&affected), ["ETH", "UNI"]);
    let affected = board.take(vec![tick("UNI", "pool", "ETH", "0.002", (1, 2))]);
    assert_eq!(names(&affected), ["UNI"]);
    // In the order of the configuration.
    let news = announce(&mut board, NOW);
    let expected = [said("UNI", "6"), said("ETH", "3000"), said("BTC", "60000")];
    assert_eq!(news, expected);
}

#[test]
fn a_late_tick_does_not_replace_a_newer_one() {
    let mut board = board();
    board.take(vec![tick("BTC", "feed", "USD", "60000", (5, 3))]);
    for late in [(5, 3), (5, 2), (4, 9)] {
        let affected = board.take(vec![tick("BTC", "feed", "USD", "1", late)]);
        assert!(affected.is_empty());
    }
    // Chain order wins over the time that the log claims.
    let mut next = tick("BTC", "feed", "USD", "61000", (5, 4));
    next.observed_at = NOW - 30_000;
    board.take(vec![next]);
    assert_eq!(announce(&mut board, NOW), [said("BTC", "61000")]);
}

#[test]
fn ticks_of_what_is_not_configured_are_ignored() {
    let mut board = board();
    let strangers = vec![
        tick("DOGE", "feed", "USD", "1", (1, 0)),
        tick("BTC", "other", "USD", "1", (1, 1)),
    ];
    assert!(board.take(strangers).is_empty());
    assert_eq!(board.evaluate_all(NOW), Evaluation::default());
}

#[test]
fn an_unchanged_price_is_confirmed_and_not_announced() {
    let mut board = board();
    board.take(vec![tick("BTC", "feed", "USD", "60000", (1, 0))]);
    assert_eq!(announce(&mut board, NOW).len(), 1);
    board.take(vec![tick("BTC", "feed", "USD", "60000.00", (9, 0))]);
    let found = board.evaluate_all(NOW);
    assert!(found.changed.is_empty());
    assert_eq!(found.confirmed[0].observed_at, NOW + 9_000);
    board.keep(found.confirmed);
    assert_eq!(board.evaluate_all(NOW), Evaluation::default());
}

#[test]
fn a_price_goes_stale_once_and_comes_back() {
    let mut board = board();
    board.take(vec![tick("BTC", "feed", "USD", "60000", (0, 0))]);
    announce(&mut board, NOW);
    assert!(announce(&mut board, NOW + 60_000).is_empty());
    let late = NOW + 60_001;
    let stale = board.evaluate_all(late).changed;
    assert_eq!(stale[0].status, PriceStatus::Stale);
    assert_eq!(stale[0].price, decimal("60000"));
    assert_eq!(announce(&mut board, late).len(), 1);
    assert!(announce(&mut board, late + 5_000).is_empty());
    board.take(vec![tick("BTC", "feed", "USD", "60000", (61, 0))]);
    let back = board.evaluate_all(late).changed;
    assert_eq!(back[0].status, PriceStatus::Ok);
}

#[test]
fn a_pool_is_not_used_once_its_quote_token_has_no_fresh_price() {
    let mut board = board();
    board.take(vec![
        tick("BTC", "feed", "USD", "60000", (0, 0)),
        tick("ETH", "feed", "USD", "3000", (100, 0)),
        tick("ETH", "pool", "BTC", "0.0501", (100, 1)),
    ]);
    assert_eq!(announce(&mut board, NOW)[0], said("ETH", "3003"));
    let later = NOW + 60_001;
    assert_eq!(announce(&mut board, later)[0], said("ETH", "3000"));
}

#[test]
fn a_reload_takes_back_what_the_store_no_longer_has() {
    let mut board = board();
    board.take(vec![tick("BTC", "feed", "USD", "60000", (1, 0))]);
    board.take(vec![tick("BTC", "feed", "USD", "90000", (2, 0))]);
    announce(&mut board, NOW);
    board.replace_ticks(vec![tick("BTC", "feed", "USD", "60000", (1, 0))]);
    assert_eq!(announce(&mut board, NOW), [said("BTC", "60000")]);
}
