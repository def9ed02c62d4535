//! A random walk of a price: integers only, bounded around its anchor.

use rand::{Rng, rngs::StdRng};

/// The largest step, in millionths of the price.
const MAX_STEP: i64 = 1_200;
/// The smallest step, so that every step changes the price.
const MIN_STEP: i64 = 40;
const MILLION: i64 = 1_000_000;

/// A random walk around an anchor: free between half and twice the anchor, and pulled back beyond.
#[derive(Debug, Clone)]
pub(super) struct RandomWalk {
    anchor: i64,
    price: i64,
}

impl RandomWalk {
    /// `anchor` and `price` are positive, in the smallest unit of the feed.
    pub(super) fn new(anchor: i64, price: i64) -> Self {
        Self { anchor, price }
    }

    #[cfg(test)]
    pub(super) fn price(&self) -> i64 {
        self.price
    }

    /// The next price, which differs from the previous one.
    pub(super) fn step(&mut self, rng: &mut StdRng) -> i64 {
        let up = match self.price {
            low if low < self.anchor / 2 => true,
            high if high > self.anchor.saturating_mul(2) => false,
            _ => rng.random(),
        };
        let size = part(self.price, rng.random_range(MIN_STEP..=MAX_STEP)).max(1);
        self.price = if up {
            self.price.saturating_add(size)
        } else {
            (self.price - size).max(1)
        };
        self.price
    }
}

/// `millionths` of `price`.
pub(super) fn part(price: i64, millionths: i64) -> i64 {
    let part = i128::from(price) * i128::from(millionths) / i128::from(MILLION);
    i64::try_from(part).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn same_seed_gives_same_walk() {
        let walk = |seed| {
            let (mut walk, mut rng) = (
                RandomWalk::new(1_000_000, 1_000_000),
                StdRng::seed_from_u64(seed),
            );
            (0..100).map(|_| walk.step(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(walk(7), walk(7));
        assert_ne!(walk(7), walk(8));
    }

    #[test]
    fn steps_are_small_and_stay_near_anchor() {
        let (mut walk, mut rng) = (
            RandomWalk::new(1_742_000_000, 1_742_000_000),
            StdRng::seed_from_u64(1),
        );
        for _ in 0..200_000 {
            let before = walk.price();
            let after = walk.step(&mut rng);
            assert_ne!(before, after);
            assert!((after - before).abs() <= part(before, MAX_STEP));
            assert!((850_000_000..3_500_000_000).contains(&after), "{after}");
        }
    }
}
