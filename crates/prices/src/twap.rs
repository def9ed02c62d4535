//! Time-weighted average of the prices of a pool.
//!
//! A pure function of the contract's logs and their block times. A price holds from its block until the next price. The
//! average over N seconds at block time `T` is the sum of price × seconds held within `(T - N, T]`, divided by N and
//! rounded once: the arithmetic mean, as in the oracle of Uniswap V2 (whitepaper, section 2.2). A price of the block
//! itself has no weight yet, so moving the price for one block changes nothing. There is no average until the pool has
//! been observed for all N seconds, because a shorter one is easy to manipulate.

use std::collections::VecDeque;

use bigdecimal::{BigDecimal, num_bigint::BigInt, num_traits::Zero};

use super::decimal;

/// The prices of one pool within a window: at most one per second, and the last one before the window.
#[derive(Debug, Clone)]
pub struct PriceWindow {
    /// N, above zero.
    seconds: u64,
    /// Times in seconds since the Unix epoch, ascending, each with the price from then on.
    seen: VecDeque<(u64, BigDecimal)>,
    /// The time of the last block whose average was published or did not change.
    published: Option<u64>,
    /// Whether the average is constant until another price is observed.
    is_constant: bool,
}

impl PriceWindow {
    /// An empty window over `seconds`, at least 1.
    pub fn new(seconds: u64) -> Self {
        Self {
            seconds: seconds.max(1),
            seen: VecDeque::new(),
            published: None,
            is_constant: false,
        }
    }

    /// Adds a price that holds from a block of this time. The last price of a second counts. A block time below that of
    /// the previous block counts as the previous block's time.
    pub fn observe(&mut self, time: u64, price: BigDecimal) {
        self.is_constant = false;
        match self.seen.back_mut() {
            Some((last, held)) if *last >= time => *held = price,
            _ => self.seen.push_back((time, price)),
        }
    }

    /// Clears the window: the pool has an unusable price, so the previous price no longer holds.
    pub fn clear(&mut self) {
        self.seen.clear();
        self.is_constant = false;
    }

    /// Continues after a stored block of this time, whose average is stored if the window has one. Afterwards the window
    /// equals one that was advanced with every block.
    pub fn resume_after(&mut self, time: u64) {
        self.published = Some(time);
        if self.average(time).is_some() {
            self.prune(time);
            self.is_constant = self.seen.len() == 1;
        }
    }

    /// The average at the end of a block of this time, if it is to be published: at most once per second of chain time,
    /// while it changes.
    pub fn end_of_block(&mut self, time: u64) -> Option<BigDecimal> {
        if self.published.is_some_and(|published| time <= published) {
            return None;
        }
        if self.is_constant {
            // The state depends on the prices and this time alone.
            self.published = Some(time);
            return None;
        }
        let average = self.average(time)?;
        self.published = Some(time);
        self.prune(time);
        self.is_constant = self.seen.len() == 1;
        Some(average)
    }

    /// The average at this time; `None` unless prices cover the whole window.
    fn average(&self, time: u64) -> Option<BigDecimal> {
        let from = time.checked_sub(self.seconds)?;
        if self.seen.front()?.0 > from {
            return None;
        }
        let ends = self.seen.iter().skip(1).map(|(next, _)| *next);
        let mut sum = BigDecimal::zero();
        for ((begin, price), end) in self.seen.iter().zip(ends.chain([time])) {
            let held = end.min(time).saturating_sub((*begin).max(from));
            sum += price * BigDecimal::from(held);
        }
        let (digits, scale) = sum.as_bigint_and_exponent();
        decimal::quotient(&digits, &BigInt::from(self.seconds), -scale)
    }

    /// Drops prices without weight in later averages.
    fn prune(&mut self, time: u64) {
        let from = time.saturating_sub(self.seconds);
        while self.seen.get(1).is_some_and(|(next, _)| *next <= from) {
            self.seen.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    const START: u64 = 1_700_000_000;

    fn window(seconds: u64, prices: &[(u64, &str)]) -> PriceWindow {
        let mut window = PriceWindow::new(seconds);
        for (after, price) in prices {
            window.observe(START + after, price.parse().unwrap());
        }
        window
    }

    fn at(window: &mut PriceWindow, after: u64) -> Option<String> {
        let average = window.end_of_block(START + after);
        average.map(|average| average.normalized().to_plain_string())
    }

    #[test]
    fn price_is_weighted_by_duration() {
        // 100 for 30 s, 160 for 20 s, 220 for 10 s.
        let mut window = window(60, &[(0, "100"), (30, "160"), (50, "220")]);
        assert_eq!(at(&mut window, 60).as_deref(), Some("140"));
        // Ten seconds later: 100 for 20 s, 160 for 20 s, 220 for 20 s.
        assert_eq!(at(&mut window, 70).as_deref(), Some("160"));
        assert_eq!(at(&mut window, 71).as_deref(), Some("162"));
    }

    #[test]
    fn no_average_before_window_is_full() {
        let mut window = window(60, &[(0, "100")]);
        assert_eq!(at(&mut window, 0), None);
        assert_eq!(at(&mut window, 59), None);
        assert_eq!(at(&mut window, 60).as_deref(), Some("100"));
    }

    #[test]
    fn price_of_same_block_has_no_weight() {
        let mut window = window(60, &[(0, "100")]);
        window.observe(START + 60, "1000000".parse().unwrap());
        assert_eq!(at(&mut window, 60).as_deref(), Some("100"));
        // The last price of the second counts afterwards: it was restored within the block.
        window.observe(START + 60, "100".parse().unwrap());
        assert_eq!(at(&mut window, 72).as_deref(), Some("100"));
    }

    #[test]
    fn average_is_published_once_a_second_until_flat() {
        let mut window = window(10, &[(0, "1"), (10, "2")]);
        assert_eq!(at(&mut window, 10).as_deref(), Some("1"));
        assert_eq!(at(&mut window, 10), None);
        assert_eq!(at(&mut window, 15).as_deref(), Some("1.5"));
        assert_eq!(at(&mut window, 20).as_deref(), Some("2"));
        assert_eq!(at(&mut window, 21), None);
        assert_eq!(at(&mut window, 1_000), None);
        window.observe(START + 1_001, "2".parse().unwrap());
        assert_eq!(at(&mut window, 1_002).as_deref(), Some("2"));
    }

    #[test]
    fn resumed_window_continues_like_one_that_moved() {
        let mut random = StdRng::seed_from_u64(9);
        for _ in 0..300 {
            let seconds = random.random_range(1..20);
            let mut moved = PriceWindow::new(seconds);
            let mut resumed = None::<PriceWindow>;
            let (mut prices, mut time) = (Vec::<(u64, BigDecimal)>::new(), START);
            for _ in 0..60 {
                time += random.random_range(0..4);
                if random.random_range(0..6) == 0 {
                    let price = BigDecimal::from(random.random_range(1..4));
                    moved.observe(time, price.clone());
                    prices.push((time, price.clone()));
                    if let Some(window) = &mut resumed {
                        window.observe(time, price);
                    }
                }
                let average = moved.end_of_block(time);
                if let Some(window) = &mut resumed {
                    assert_eq!(window.end_of_block(time), average);
                }
                if random.random_range(0..8) == 0 {
                    // All prices observed so far.
                    let mut window = PriceWindow::new(seconds);
                    for (at, price) in &prices {
                        window.observe(*at, price.clone());
                    }
                    window.resume_after(time);
                    resumed = Some(window);
                }
            }
        }
    }

    #[test]
    fn unusable_price_clears_window() {
        let mut window = window(10, &[(0, "1")]);
        window.clear();
        assert_eq!(at(&mut window, 20), None);
        window.observe(START + 20, "3".parse().unwrap());
        assert_eq!(at(&mut window, 29), None);
        assert_eq!(at(&mut window, 30).as_deref(), Some("3"));
    }

    #[test]
    fn pruned_prices_have_no_weight() {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..200 {
            let seconds = random.random_range(1..50);
            let mut pruned = PriceWindow::new(seconds);
            let mut whole = Vec::<(u64, BigDecimal)>::new();
            let mut time = START;
            for _ in 0..40 {
                time += random.random_range(0..20);
                let price = BigDecimal::new(random.random_range(1..1_000_000_000_u64).into(), 6);
                pruned.observe(time, price.clone());
                match whole.last_mut() {
                    Some((last, held)) if *last == time => *held = price,
                    _ => whole.push((time, price)),
                }
                let now = time + random.random_range(0..5);
                let all = PriceWindow {
                    seconds,
                    seen: whole.iter().cloned().collect(),
                    published: None,
                    is_constant: false,
                };
                if let Some(average) = pruned.end_of_block(now) {
                    assert_eq!(Some(average), all.average(now));
                }
                // Later blocks follow.
                time = now;
            }
        }
    }

    #[test]
    fn average_is_within_prices_and_has_18_digits() {
        let mut random = StdRng::seed_from_u64(8);
        for _ in 0..500 {
            let mut window = PriceWindow::new(60);
            let (mut least, mut most) = (None::<BigDecimal>, None::<BigDecimal>);
            for after in (0..60).step_by(7) {
                let digits: u128 = random.random_range(1..u128::MAX);
                let price =
                    decimal::rounded(&BigDecimal::new(digits.into(), random.random_range(-5..40)));
                least = Some(least.map_or(price.clone(), |least| least.min(price.clone())));
                most = Some(most.map_or(price.clone(), |most| most.max(price.clone())));
                window.observe(START + after, price);
            }
            let average = window.average(START + 60).unwrap();
            assert!(average >= least.unwrap() && average <= most.unwrap());
            assert!(average.digits() <= 18);
        }
    }

    #[test]
    fn tolerates_earlier_and_extreme_block_times() {
        let mut window = window(10, &[(0, "1")]);
        window.observe(START - 500, "2".parse().unwrap());
        assert_eq!(at(&mut window, 10).as_deref(), Some("2"));
        window.observe(u64::MAX, "5".parse().unwrap());
        assert!(window.end_of_block(u64::MAX).is_some());
        assert_eq!(PriceWindow::new(60).end_of_block(3), None);
    }
}
