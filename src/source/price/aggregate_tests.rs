use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::*;

const NOW: i64 = 1_700_000_000_000;
const MAX_AGE: u64 = 60_000;

fn token() -> Token {
    "ETH".parse().unwrap()
}

fn tick(source: &str, quote: &str, price: &str, age_ms: i64) -> Tick {
    Tick {
        token: token(),
        source: source.into(),
        quote: quote.into(),
        price: price.parse().unwrap(),
        confidence: None,
        observed_at: NOW - age_ms,
        origin: None,
    }
}

fn with_age(ticks: &[Tick]) -> Vec<SourceTick<'_>> {
    ticks
        .iter()
        .map(|tick| SourceTick {
            tick,
            max_age_ms: MAX_AGE,
        })
        .collect()
}

fn price_of(ticks: &[Tick], rates: &UsdRates, last: Option<&Price>) -> Option<Price> {
    aggregate(&token(), &with_age(ticks), rates, 2, last, NOW)
}

fn fresh_price(ticks: &[Tick]) -> Price {
    price_of(ticks, &UsdRates::new(), None).unwrap()
}

fn decimal(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

#[test]
fn the_price_is_the_median_and_its_confidence_half_the_spread() {
    let odd = fresh_price(&[
        tick("c", "USD", "103", 5),
        tick("a", "USD", "100.5", 9),
        tick("b", "USD", "90", 7),
    ]);
    assert_eq!(odd.price, decimal("100.5"));
    assert_eq!(odd.confidence, decimal("6.5"));
    assert_eq!(odd.sources, ["a", "b", "c"].map(Arc::from));
    assert_eq!(odd.observed_at, NOW - 5);
    assert_eq!(odd.status, PriceStatus::Ok);

    let even = fresh_price(&[
        tick("a", "USD", "0.000000000000000001", 0),
        tick("b", "USD", "0.000000000000000002", 0),
    ]);
    assert_eq!(even.price, decimal("0.0000000000000000015"));
}

#[test]
fn a_price_from_too_few_sources_is_degraded() {
    let price = fresh_price(&[
        tick("a", "USD", "100", 0),
        tick("b", "USD", "200", MAX_AGE as i64 + 1),
    ]);
    assert_eq!(price.status, PriceStatus::Degraded);
    assert_eq!(
        (price.price, price.confidence),
        (decimal("100"), decimal("0"))
    );
    assert_eq!(price.sources, ["a"].map(Arc::from));
}

#[test]
fn a_tick_is_fresh_up_to_its_age_limit_and_when_its_clock_runs_ahead() {
    assert!(
        price_of(
            &[tick("a", "USD", "1", MAX_AGE as i64)],
            &UsdRates::new(),
            None
        )
        .is_some()
    );
    assert!(
        price_of(
            &[tick("a", "USD", "1", MAX_AGE as i64 + 1)],
            &UsdRates::new(),
            None
        )
        .is_none()
    );
    assert!(price_of(&[tick("a", "USD", "1", -5_000)], &UsdRates::new(), None).is_some());
}

#[test]
fn without_a_fresh_tick_the_last_price_is_kept_as_stale() {
    let last = fresh_price(&[
        tick("a", "USD", "100", 30_000),
        tick("b", "USD", "102", 40_000),
    ]);
    let old = [
        tick("a", "USD", "100", 70_000),
        tick("b", "USD", "102", 80_000),
    ];
    let last = Price {
        observed_at: NOW - 70_000,
        ..last
    };
    let stale = price_of(&old, &UsdRates::new(), Some(&last)).unwrap();
    assert_eq!(stale.status, PriceStatus::Stale);
    let as_it_was = Price {
        status: PriceStatus::Stale,
        ..last.clone()
    };
    assert_eq!(stale, as_it_was);
    // Every tick is gone: there is nothing better to say.
    let stale = price_of(&[], &UsdRates::new(), Some(&last)).unwrap();
    assert_eq!(stale, as_it_was);
    assert_eq!(price_of(&old, &UsdRates::new(), None), None);
}

#[test]
fn a_last_price_from_a_dropped_block_gives_way_to_the_ticks_that_remain() {
    let dropped = fresh_price(&[tick("a", "USD", "500", 0)]);
    let remaining = [tick("a", "USD", "100", 70_000)];
    let stale = price_of(&remaining, &UsdRates::new(), Some(&dropped)).unwrap();
    assert_eq!(
        (stale.price, stale.status),
        (decimal("100"), PriceStatus::Stale)
    );
    assert_eq!(stale.observed_at, NOW - 70_000);
}

#[test]
fn a_last_price_whose_only_tick_or_rate_was_dropped_stays_as_stale() {
    let last = fresh_price(&[tick("a", "USD", "500", 0)]);
    let without_a_rate = [tick("pool", "BTC", "0.05", 0)];
    for remaining in [&[][..], &without_a_rate] {
        let price = price_of(remaining, &UsdRates::new(), Some(&last)).unwrap();
        let status = PriceStatus::Stale;
        assert_eq!(
            price,
            Price {
                status,
                ..last.clone()
            }
        );
    }
}

#[test]
fn a_tick_in_another_token_is_converted_by_its_fresh_usd_rate() {
    let pool = [tick("pool", "BTC", "0.05", 3_000)];
    assert_eq!(price_of(&pool, &UsdRates::new(), None), None);
    let rate = UsdRate {
        price: decimal("68400.10"),
        observed_at: NOW - 9_000,
    };
    let rates = UsdRates::from([("BTC".into(), rate)]);
    let price = price_of(&pool, &rates, None).unwrap();
    assert_eq!(price.price, decimal("3420.005"));
    assert_eq!(price.observed_at, NOW - 9_000);
}

#[test]
fn a_rate_counts_only_fresh_sources_in_usd() {
    let ticks = [
        tick("feed", "USD", "100", 0),
        tick("old", "USD", "900", MAX_AGE as i64 + 1),
        tick("pool", "BTC", "1", 0),
    ];
    let rate = usd_rate(&token(), &with_age(&ticks), NOW).unwrap();
    assert_eq!(rate.price, decimal("100"));
    assert_eq!(usd_rate(&token(), &with_age(&ticks[1..]), NOW), None);
}

/// Random ticks: prices over hundreds of orders of magnitude, some in another token, some old.
fn any_ticks(random: &mut StdRng) -> Vec<Tick> {
    (0..random.random_range(1..9))
        .map(|index| {
            let digits: u64 = random.random_range(1..u64::MAX);
            let scale: i64 = random.random_range(-300..300);
            let quote = if random.random_bool(0.3) {
                "BTC"
            } else {
                "USD"
            };
            let age = random.random_range(-5_000..2 * MAX_AGE as i64);
            Tick {
                price: BigDecimal::new(digits.into(), scale),
                ..tick(&format!("s{index}"), quote, "1", age)
            }
        })
        .collect()
}

#[test]
fn the_order_of_ticks_never_shows_and_the_price_lies_between_them() {
    let mut random = StdRng::seed_from_u64(7);
    let rate = UsdRate {
        price: decimal("123456.789"),
        observed_at: NOW,
    };
    let rates = UsdRates::from([("BTC".into(), rate)]);
    for _ in 0..500 {
        let mut ticks = any_ticks(&mut random);
        let price = price_of(&ticks, &rates, None);
        for _ in 0..4 {
            ticks.shuffle(&mut random);
            assert_eq!(price_of(&ticks, &rates, None), price);
        }
        let Some(price) = price else { continue };
        let usd = |tick: &Tick| match &*tick.quote {
            "BTC" => product(&tick.price, &rates["BTC"].price),
            _ => tick.price.clone(),
        };
        let used: Vec<BigDecimal> = with_age(&ticks)
            .iter()
            .filter(|source| is_fresh(source, NOW))
            .map(|source| usd(source.tick))
            .collect();
        let (low, high) = (used.iter().min().unwrap(), used.iter().max().unwrap());
        assert!(low <= &price.price && &price.price <= high, "{ticks:?}");
        assert_eq!(&price.confidence + &price.confidence, high - low);
        assert!(price.sources.is_sorted() && price.sources.len() == used.len());
    }
}

#[test]
fn one_liar_among_three_cannot_move_the_price_beyond_the_honest_ones() {
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..500 {
        let honest = [(); 2].map(|()| random.random_range(90_000..110_000_u64));
        let lie = BigDecimal::new(
            random.random_range(1..u64::MAX).into(),
            random.random_range(-250..250),
        );
        let mut ticks = vec![
            tick("a", "USD", &honest[0].to_string(), 0),
            tick("b", "USD", &honest[1].to_string(), 0),
            Tick {
                price: lie,
                ..tick("liar", "USD", "1", 0)
            },
        ];
        ticks.shuffle(&mut random);
        let price = fresh_price(&ticks).price;
        let (low, high) = (honest[0].min(honest[1]), honest[0].max(honest[1]));
        let (low, high) = (BigDecimal::from(low), BigDecimal::from(high));
        assert!(low <= price && price <= high);
    }
}
