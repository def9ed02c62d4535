//! Everything of one round: the venues, a database, the product between them, clients, and a commit beside it.

use std::time::{Duration, Instant};

use crate::{
    bench::Bench,
    clients::Clients,
    database::Database,
    figures::{Figures, Moment, Seen},
    probe::Probe,
    process,
    product::Product,
    stats, usage,
    venues::Venues,
};

/// How long connecting may take: venues are asked for some streams at a time, and some times a second.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Arrivals that are looked at together to tell when the product is as quick as before.
const WINDOW_NS: u64 = 250_000_000;

pub struct Stage<'a> {
    bench: &'a Bench,
    clients: Clients,
    probe: Probe,
    product: Product,
    venues: Venues,
    database: Database,
    postmaster: u32,
}

/// What became of all ticks.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    pub told: f64,
    pub stored: f64,
    pub conflated: f64,
}

impl Totals {
    pub fn lost(&self) -> f64 {
        self.told - self.stored - self.conflated
    }
}

impl<'a> Stage<'a> {
    /// Connects everything; nothing is told yet.
    pub fn start(bench: &'a Bench) -> Self {
        let tokens = bench.tokens();
        let mut venues = Venues::start();
        let mut database = Database::new(bench);
        let product = Product::start(bench, &database.url, &venues, tokens);
        let postmaster = database.postmaster(bench);
        let clients = Clients::start(bench, product.port, tokens);
        let probe = Probe::start(bench, &database.url);
        let streams = tokens as u64 * 3;
        wait("the product asks for every stream", || {
            venues.look().streams == streams
        });
        Self {
            bench,
            clients,
            probe,
            product,
            venues,
            database,
            postmaster,
        }
    }

    /// URL of the database.
    pub fn database(&self) -> String {
        self.database.url.clone()
    }

    /// Has so many ticks told a second, until they were told for a while.
    pub fn warm_up(&mut self, ticks_a_second: u64) {
        let streams = self.venues.look().streams;
        self.venues.pace(ticks_a_second * 1_000 / streams);
        std::thread::sleep(self.bench.warm_up());
    }

    /// What is seen while this lasts, with something going on beside it.
    pub fn measure(&mut self, lasting: Duration, meanwhile: impl Future<Output = ()>) -> Figures {
        let before = self.moment();
        self.bench.postgres.runtime.block_on(async {
            tokio::join!(tokio::time::sleep(lasting), meanwhile);
        });
        let after = self.moment();
        let pid = self.product.pid();
        let arrivals = self.clients.between(before.at, after.at);
        let seen = Seen {
            batches: self.database.batches(self.bench, before.clock, after.clock),
            bare_ms: self.probe.between(before.at, after.at),
            late_ms: arrivals.iter().map(|arrival| arrival.late_ms()).collect(),
            resident: process::resident(pid),
            peak: usage::peak_memory(pid).expect("it runs"),
        };
        Figures::new(&before, &after, &seen)
    }

    /// How long after an instant ticks came as quickly again, in s; `None` when they did not until now.
    pub fn quick_again(&self, since: u64, p50_ms: f64) -> Option<f64> {
        let now = process::now_ns();
        let mut from = since;
        while from < now {
            let arrivals = self.clients.between(from, from + WINDOW_NS);
            let late: Vec<f64> = arrivals.iter().map(|arrival| arrival.late_ms()).collect();
            // Without any, the median is no number, and not below anything.
            if stats::median(&late) <= p50_ms {
                return Some((from - since) as f64 / 1e9);
            }
            from += WINDOW_NS;
        }
        None
    }

    /// Has nothing told any more, waits until what was told is dealt with, and tells what became of it.
    pub fn settle(&mut self) -> Totals {
        self.venues.pace(0);
        let (mut last, mut since) = (f64::NAN, Instant::now());
        loop {
            std::thread::sleep(LOOK_EVERY);
            let metrics = self.product.metrics(self.bench);
            let totals = Totals {
                told: self.venues.look().told as f64,
                stored: metrics.sum("chaincast_price_ticks_stored_total"),
                conflated: metrics.sum("chaincast_price_ticks_conflated_total"),
            };
            if totals.lost() != last {
                (last, since) = (totals.lost(), Instant::now());
            }
            // Ten seconds without a change: nothing more comes.
            let done = totals.lost() == 0.0 && since.elapsed() > LOOK_EVERY * 5;
            if done || since.elapsed() > Duration::from_secs(10) {
                return totals;
            }
        }
    }

    fn moment(&mut self) -> Moment {
        let metrics = self.product.metrics(self.bench);
        Moment {
            metrics,
            told: self.venues.look().told,
            clock: self.database.clock(self.bench),
            product: process::cpu_seconds(self.product.pid()),
            postgres: usage::postgres_seconds(self.postmaster),
            venues: process::cpu_seconds(self.venues.pid()),
            at: process::now_ns(),
        }
    }
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
