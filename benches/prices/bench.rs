//! What every scenario is given: how thorough to be, and the database server.

use std::time::Duration;

use crate::common::postgres::Postgres;

/// Ticks a second of one token, from all its sources.
pub const TICKS_A_TOKEN: u64 = 20;

pub struct Bench {
    pub postgres: Postgres,
    /// Short runs, to see that everything works.
    pub quick: bool,
    pub rounds: usize,
}

impl Bench {
    /// One of two numbers: in full, or when it has to be quick.
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

    /// Ticks are told for this long before anything is measured: the first of each source makes prices that say
    /// nothing, and caches are cold.
    pub fn warm_up(&self) -> Duration {
        self.pick(Duration::from_secs(5), Duration::from_secs(2))
    }

    /// Says what is going on.
    pub fn say(&self, text: &str) {
        println!("  {text}");
    }
}
