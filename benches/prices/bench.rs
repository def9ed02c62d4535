//! The environment of every scenario: the thoroughness and the database server.

use std::time::Duration;

use crate::common::postgres::Postgres;

/// Ticks a second of one token, from all its sources.
pub const TICKS_A_TOKEN: u64 = 20;

pub struct Bench {
    pub postgres: Postgres,
    /// Short runs, to check that everything works.
    pub quick: bool,
    pub rounds: usize,
}

impl Bench {
    /// One of two numbers: for a full run or for a quick one.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    pub fn tokens(&self) -> usize {
        self.pick(1_000, 300)
    }

    /// Ticks a second at full load.
    pub fn full_load(&self) -> u64 {
        self.tokens() as u64 * TICKS_A_TOKEN
    }

    /// Ticks are sent for this long before the measurement: the first tick of each source makes partial prices, and
    /// caches are cold.
    pub fn warm_up(&self) -> Duration {
        self.pick(Duration::from_secs(5), Duration::from_secs(2))
    }

    /// Prints progress.
    pub fn print_progress(&self, text: &str) {
        println!("  {text}");
    }
}
