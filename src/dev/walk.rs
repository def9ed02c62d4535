//! A price that wanders: integers only, and never far from where it began.

use rand::{Rng, rngs::StdRng};

/// The largest step, in millionths of the price.
const LARGEST_STEP: i64 = 1_200;
/// The smallest, so that every step shows.
const SMALLEST_STEP: i64 = 40;
const MILLION: i64 = 1_000_000;

/// A random walk around an anchor: free between half of it and twice, and drawn back beyond.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    anchor: i64,
    now: i64,
}

impl Walk {
    /// Both positive, in the smallest unit of the feed.
    pub(super) fn new(anchor: i64, now: i64) -> Self {
        Self { anchor, now }
    }

    #[cfg(test)]
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// The next price; it differs from the one before.
    pub(super) fn step(&mut self, rng: &mut StdRng) -> i64 {
        let up = match self.now {
            low if low < self.anchor / 2 => true,
            high if high > self.anchor.saturating_mul(2) => false,
            _ => rng.random(),
        };
        let size = part(self.now, rng.random_range(SMALLEST_STEP..=LARGEST_STEP)).max(1);
        self.now = if up {
            self.now.saturating_add(size)
        } else {
            (self.now - size).max(1)
        };
        self.now
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
    fn the_same_seed_gives_the_same_walk() {
        let walk = |seed| {
            let (mut walk, mut rng) =
                (Walk::new(1_000_000, 1_000_000), StdRng::seed_from_u64(seed));
            (0..100).map(|_| walk.step(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(walk(7), walk(7));
        assert_ne!(walk(7), walk(8));
    }

    #[test]
    fn every_step_moves_a_little_and_the_walk_stays_near_its_anchor() {
        let (mut walk, mut rng) = (
            Walk::new(1_742_000_000, 1_742_000_000),
            StdRng::seed_from_u64(1),
        );
        for _ in 0..200_000 {
            let before = walk.now();
            let after = walk.step(&mut rng);
            assert_ne!(before, after);
            assert!((after - before).abs() <= part(before, LARGEST_STEP));
            assert!((850_000_000..3_500_000_000).contains(&after), "{after}");
        }
    }
}
