//! The time-weighted average of a pool's prices.
//!
//! A pure function of what the chain's logs said, by the time of their blocks: a price holds from its block until the
//! next one, and the average over N seconds at a block's time `T` is the sum of price × seconds that it held within
//! `(T - N, T]`, divided by N, rounded once. It is the arithmetic mean, as Uniswap V2's oracle has it (whitepaper,
//! section 2.2); a price of the block itself has no weight yet, so that moving it for one block moves nothing. Until
//! the pool was seen for the whole N seconds there is no average, rather than one that is easily moved.

use std::collections::VecDeque;

use bigdecimal::{BigDecimal, num_bigint::BigInt, num_traits::Zero};

use super::decimal;

/// The prices of one pool over the last while: one for each second at most, and the one before.
#[derive(Debug, Clone)]
pub struct PriceWindow {
    /// N; above zero.
    seconds: u64,
    /// Time in seconds since the Unix epoch, rising, and the price that held from then on.
    seen: VecDeque<(u64, BigDecimal)>,
    /// The time of the last average that was given.
    told: Option<u64>,
    /// It would not change until another price comes.
    quiet: bool,
}

impl PriceWindow {
    /// An empty one over so many seconds, at least one.
    pub fn new(seconds: u64) -> Self {
        Self {
            seconds: seconds.max(1),
            seen: VecDeque::new(),
            told: None,
            quiet: false,
        }
    }

    /// A price from the block of this time on. The last one of a time counts. A block that claims to be before the one
    /// below it counts as of that one's time.
    pub fn observe(&mut self, time: u64, price: BigDecimal) {
        self.quiet = false;
        match self.seen.back_mut() {
            Some((last, held)) if *last >= time => *held = price,
            _ => self.seen.push_back((time, price)),
        }
    }

    /// Forgets everything: the pool gave a price that cannot be used, and what held before holds no more.
    pub fn clear(&mut self) {
        self.seen.clear();
        self.quiet = false;
    }

    /// Continues after a stored block of this time, with the prices up to it: the average there, if the window has one,
    /// is stored, and the window is as if it had moved with every block.
    pub fn resume_after(&mut self, time: u64) {
        self.told = Some(time);
        if self.average(time).is_some() {
            self.prune(time);
            self.quiet = self.seen.len() == 1;
        }
    }

    /// The average at the end of a block of this time, when there is one to tell: once a second of the chain's time, as
    /// long as it moves.
    pub fn end_of_block(&mut self, time: u64) -> Option<BigDecimal> {
        if self.told.is_some_and(|told| time <= told) {
            return None;
        }
        if self.quiet {
            // So that the state follows from the prices and this time alone.
            self.told = Some(time);
            return None;
        }
        let average = self.average(time)?;
        self.told = Some(time);
        self.prune(time);
        self.quiet = self.seen.len() == 1;
        Some(average)
    }

    /// The average at this time; `None` unless a price is known for all of it.
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

    /// Forgets what has no weight in any later average.
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
    fn each_price_weighs_as_long_as_it_held() {
        // 100 for 30 s, 160 for 20 s, 220 for 10 s.
        let mut window = window(60, &[(0, "100"), (30, "160"), (50, "220")]);
        assert_eq!(at(&mut window, 60).as_deref(), Some("140"));
        // Ten seconds on: 100 for 20 s, 160 for 20 s, 220 for 20 s.
        assert_eq!(at(&mut window, 70).as_deref(), Some("160"));
        assert_eq!(at(&mut window, 71).as_deref(), Some("162"));
    }

    #[test]
    fn there_is_no_average_before_the_pool_was_seen_for_all_of_the_time() {
        let mut window = window(60, &[(0, "100")]);
        assert_eq!(at(&mut window, 0), None);
        assert_eq!(at(&mut window, 59), None);
        assert_eq!(at(&mut window, 60).as_deref(), Some("100"));
    }

    #[test]
    fn a_price_of_the_block_itself_moves_nothing() {
        let mut window = window(60, &[(0, "100")]);
        window.observe(START + 60, "1000000".parse().unwrap());
        assert_eq!(at(&mut window, 60).as_deref(), Some("100"));
        // The last of its time counts once time goes on: it was put back within the block.
        window.observe(START + 60, "100".parse().unwrap());
        assert_eq!(at(&mut window, 72).as_deref(), Some("100"));
    }

    #[test]
    fn an_average_is_told_once_a_second_and_until_it_is_the_price_itself() {
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
                    // All prices of the window, and the one before it.
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
    fn a_price_that_cannot_be_used_empties_the_window() {
        let mut window = window(10, &[(0, "1")]);
        window.clear();
        assert_eq!(at(&mut window, 20), None);
        window.observe(START + 20, "3".parse().unwrap());
        assert_eq!(at(&mut window, 29), None);
        assert_eq!(at(&mut window, 30).as_deref(), Some("3"));
    }

    #[test]
    fn what_is_forgotten_has_no_weight() {
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
                    told: None,
                    quiet: false,
                };
                if let Some(average) = pruned.end_of_block(now) {
                    assert_eq!(Some(average), all.average(now));
                }
                // Blocks go on from there.
                time = now;
            }
        }
    }

    #[test]
    fn an_average_lies_between_its_prices_and_keeps_18_digits() {
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
    fn a_block_that_claims_an_earlier_time_and_the_greatest_times_do_no_harm() {
        let mut window = window(10, &[(0, "1")]);
        window.observe(START - 500, "2".parse().unwrap());
        assert_eq!(at(&mut window, 10).as_deref(), Some("2"));
        window.observe(u64::MAX, "5".parse().unwrap());
        assert!(window.end_of_block(u64::MAX).is_some());
        assert_eq!(PriceWindow::new(60).end_of_block(3), None);
    }
}
