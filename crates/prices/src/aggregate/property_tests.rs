//! Properties of every price, tested with random ticks.

use bigdecimal::{num_bigint::BigInt, num_traits::Zero};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    tests::{
        MAX_AGE, NOW, RULES, decimal, fresh_price, price_of, rates, tick, tick_with_confidence,
        token, with_age,
    },
    *,
};
use chaincast_model::Tick;

/// Random ticks: prices over hundreds of orders of magnitude, some in another token, some old, some with a confidence.
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
            let has_confidence = random.random_bool(0.5);
            let width = scale + random.random_range(0..5);
            Tick {
                price: BigDecimal::new(digits.into(), scale),
                confidence: has_confidence.then(|| BigDecimal::new(digits.into(), width)),
                ..tick(&format!("s{index}"), quote, "1", age)
            }
        })
        .collect()
}

#[test]
fn price_ignores_order_and_lies_within_votes() {
    let mut random = StdRng::seed_from_u64(7);
    let rates = rates("123456.789", "1.5", 0);
    for _ in 0..500 {
        let mut ticks = any_ticks(&mut random);
        let price = price_of(&ticks, &rates, None);
        for _ in 0..4 {
            ticks.shuffle(&mut random);
            assert_eq!(price_of(&ticks, &rates, None), price);
        }
        let Some(price) = price else { continue };
        let quotes = fresh(&with_age(&ticks), &rates, NOW);
        let low = quotes.iter().map(|quote| &quote.usd - &quote.confidence);
        let high = quotes.iter().map(|quote| &quote.usd + &quote.confidence);
        let (low, high) = (low.min().unwrap(), high.max().unwrap());
        // Rounded once, to at least 18 digits.
        let slack = &price.price * BigDecimal::new(1.into(), 17);
        let (low, high) = (low - &slack, high + &slack);
        assert!(low <= price.price && price.price <= high, "{ticks:?}");
        assert!(price.price > BigDecimal::zero(), "{ticks:?}");
        assert!(price.confidence >= BigDecimal::zero());
        assert!(price.confidence <= high - low);
        assert!(price.sources.is_sorted() && !price.sources.is_empty());
        assert_eq!(price.details.len(), quotes.len());
    }
}

#[test]
fn one_bad_venue_of_three_has_bounded_effect() {
    let mut random = StdRng::seed_from_u64(11);
    for _ in 0..1_000 {
        let honest: Vec<Tick> = (0..random.random_range(2..6))
            .map(|index| {
                let price: u64 = random.random_range(99_000..101_000);
                let width: u64 = random.random_range(0..200);
                tick_with_confidence(&format!("h{index}"), &price.to_string(), &width.to_string())
            })
            .collect();
        let false_price = BigDecimal::new(
            random.random_range(1..u64::MAX).into(),
            random.random_range(-250..250),
        );
        let near = BigDecimal::from(random.random_range(50_000..200_000_u64));
        let width = BigDecimal::new(
            random.random_range(0..u64::MAX).into(),
            random.random_range(-250..250),
        );
        let mut ticks = honest.clone();
        ticks.push(Tick {
            price: if random.random_bool(0.5) {
                false_price
            } else {
                near
            },
            confidence: random.random_bool(0.5).then_some(width),
            ..tick("liar", "USD", "1", 0)
        });
        ticks.shuffle(&mut random);
        let price = fresh_price(&ticks).price;

        let vote = |tick: &Tick, sign: i32| {
            &tick.price + tick.confidence.clone().unwrap_or_default() * BigDecimal::from(sign)
        };
        let prices = || honest.iter().map(|tick| &tick.price);
        let (least, most) = (prices().min().unwrap(), prices().max().unwrap());
        let spread = BigDecimal::from(RULES.outlier_mads) * (most - least);
        let floor = most * BigDecimal::new(RULES.outlier_floor_bps.into(), BPS_PLACES);
        let reach = spread.max(floor);
        let low = honest.iter().map(|tick| vote(tick, -1)).min().unwrap() - &reach;
        let high = honest.iter().map(|tick| vote(tick, 1)).max().unwrap() + &reach;
        assert!(low <= price && price <= high, "{price} of {ticks:?}");
    }
}

#[test]
fn aggregate_never_panics() {
    let mut random = StdRng::seed_from_u64(13);
    let numbers = [
        "0",
        "-1",
        "1",
        "1e1000",
        "1e-1000",
        "1e1001",
        "-1e-1001",
        "1e9000000000000000000",
        "1e-9000000000000000000",
        "0.000000000000000001",
        "100",
        "100.0",
    ]
    .map(decimal);
    let times = [
        i64::MIN,
        i64::MIN + 1,
        -1,
        0,
        1,
        NOW,
        i64::MAX - 1,
        i64::MAX,
    ];
    let pick = |random: &mut StdRng| numbers[random.random_range(0..numbers.len())].clone();
    let time = |random: &mut StdRng| times[random.random_range(0..times.len())];
    for _ in 0..3_000 {
        let ticks: Vec<Tick> = (0..random.random_range(0..6))
            .map(|index| Tick {
                price: pick(&mut random),
                confidence: random.random_bool(0.5).then(|| pick(&mut random)),
                observed_at: time(&mut random),
                ..tick(
                    &format!("s{index}"),
                    if random.random_bool(0.3) {
                        "BTC"
                    } else {
                        "USD"
                    },
                    "1",
                    0,
                )
            })
            .collect();
        let sources: Vec<SourceTick<'_>> = ticks
            .iter()
            .map(|tick| SourceTick {
                tick,
                max_age_ms: [0, 1, MAX_AGE, u64::MAX][random.random_range(0..4)],
                is_usable: random.random_bool(0.8),
                venue: random.random_range(0..3),
                feed: random.random(),
            })
            .collect();
        let rules = AggregateRules {
            min_sources: random.random_range(0..4),
            outlier_mads: [0, 1, 5, u32::MAX][random.random_range(0..4)],
            outlier_floor_bps: [0, 100, u32::MAX][random.random_range(0..3)],
            max_confidence_bps: [0, 100, u32::MAX][random.random_range(0..3)],
            max_jump_bps: [0, 100, u32::MAX][random.random_range(0..3)],
            jump_hold_ms: [0, 100, u64::MAX][random.random_range(0..3)],
        };
        let now = time(&mut random);
        let rate = UsdRate {
            price: pick(&mut random),
            confidence: pick(&mut random),
            observed_at: time(&mut random),
            expires_at: time(&mut random),
            trust: Trust::Full,
        };
        let rates = UsdRates::from([("BTC".into(), rate)]);
        let token = token();
        let mut jump_guard = JumpGuard::default();
        let last = aggregate(&token, &sources, &rates, &rules, &mut jump_guard, None, NOW);
        let known = last.as_ref();
        let price = aggregate(
            &token,
            &sources,
            &rates,
            &rules,
            &mut jump_guard,
            known,
            now,
        );
        if let Some(price) = price {
            assert!(price.price > BigDecimal::zero(), "{price:?}");
        }
        usd_rate(&token, &sources, &rates, &rules, &mut jump_guard, now);
    }
}

/// A decimal as numerator and denominator.
fn fraction(value: &BigDecimal) -> (BigInt, BigInt) {
    let (digits, scale) = value.as_bigint_and_exponent();
    let power = BigInt::from(10).pow(u32::try_from(scale.unsigned_abs()).unwrap());
    if scale < 0 {
        (digits * power, BigInt::from(1))
    } else {
        (digits, power)
    }
}

/// Rounds a positive fraction half to even to `digits` significant digits, with integers only.
fn rounded_fraction((numerator, denominator): (BigInt, BigInt), digits: i64) -> BigDecimal {
    let length = |value: &BigInt| value.to_string().len() as i64;
    let mut scale = digits - (length(&numerator) - length(&denominator));
    loop {
        let power = BigInt::from(10).pow(u32::try_from(scale.unsigned_abs()).unwrap());
        let (above, below) = if scale < 0 {
            (numerator.clone(), &denominator * power)
        } else {
            (&numerator * power, denominator.clone())
        };
        let (mut whole, twice) = (&above / &below, (&above % &below) * 2);
        if length(&whole) > digits {
            scale -= 1;
            continue;
        }
        let is_odd = &whole % 2 == BigInt::from(1);
        if twice > below || (twice == below && is_odd) {
            whole += 1;
        }
        return BigDecimal::new(whole, scale);
    }
}

#[test]
fn converted_price_is_rounded_once() {
    let mut random = StdRng::seed_from_u64(19);
    for _ in 0..1_000 {
        let mut number = |most: i64| {
            let digits: u128 = random.random_range(1..u128::MAX) >> random.random_range(0..120);
            BigDecimal::new(digits.max(1).into(), random.random_range(0..most))
        };
        let (price, rate) = (number(60), number(60));
        let exact = {
            let ((a, b), (c, d)) = (fraction(&price), fraction(&rate));
            (a * c, b * d)
        };
        let tick = [Tick {
            price: price.clone(),
            ..tick("pool", "BTC", "1", 0)
        }];
        let made = price_of(&tick, &rates(&rate.to_plain_string(), "0", 0), None).unwrap();
        assert_eq!(made.price, rounded_fraction(exact, 18), "{price} × {rate}");
    }
}

#[test]
fn digits_of_venues_are_not_rounded() {
    let mut random = StdRng::seed_from_u64(23);
    for _ in 0..1_000 {
        let ticks: Vec<Tick> = (0..random.random_range(1..4))
            .map(|at| {
                let digits: u128 = random.random_range(1..u128::MAX);
                Tick {
                    // Close to each other, so that none is an outlier.
                    price: BigDecimal::new(BigInt::from(digits % 1_000_000_007), 30)
                        + BigDecimal::from(3_456),
                    ..tick(&format!("s{at}"), "USD", "1", 0)
                }
            })
            .collect();
        let mut prices: Vec<BigDecimal> = ticks.iter().map(|tick| tick.price.clone()).collect();
        prices.sort();
        let middle = (&prices[(prices.len() - 1) / 2] + &prices[prices.len() / 2])
            * BigDecimal::new(5.into(), 1);
        assert_eq!(fresh_price(&ticks).price, middle);
    }
}
