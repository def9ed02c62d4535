//! The setup of one round: the venues, a database, the product between them, clients, and a concurrent commit.

use std::time::{Duration, Instant};

use crate::{
    bench::Bench,
    clients::Clients,
    database::Database,
    figures::{Figures, Measurements, Sample},
    probe::Probe,
    process,
    product::Product,
    stats, usage,
    venues::Venues,
};

/// How long connecting may take: the product limits the streams of a request and the requests of a second.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Interval between two checks of an awaited condition.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// Arrivals in a window of this length decide whether latency has recovered.
const WINDOW_NS: u64 = 250_000_000;

pub struct Setup<'a> {
    bench: &'a Bench,
    clients: Clients,
    probe: Probe,
    product: Product,
    venues: Venues,
    database: Database,
    postmaster: u32,
}

/// The totals of all ticks.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    pub sent: f64,
    pub stored: f64,
    pub conflated: f64,
}

impl Totals {
    pub fn lost(&self) -> f64 {
        self.sent - self.stored - self.conflated
    }
}

impl<'a> Setup<'a> {
    /// Connects everything; no tick is sent yet.
    pub fn start(bench: &'a Bench) -> Self {
        let tokens = bench.tokens();
        let mut venues = Venues::start();
        let mut database = Database::new(bench);
        let product = Product::start(bench, &database.url, &venues, tokens);
        let postmaster = database.postmaster(bench);
        let clients = Clients::start(bench, product.port, tokens);
        let probe = Probe::start(bench, &database.url);
        let streams = tokens as u64 * 3;
        wait("the product requests every stream", || {
            venues.counts().streams == streams
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

    /// Sends this many ticks a second, for the warm-up time.
    pub fn warm_up(&mut self, ticks_a_second: u64) {
        let streams = self.venues.counts().streams;
        self.venues.set_pace(ticks_a_second * 1_000 / streams);
        std::thread::sleep(self.bench.warm_up());
    }

    /// Measures for `lasting`, with `meanwhile` running concurrently.
    pub fn measure(&mut self, lasting: Duration, meanwhile: impl Future<Output = ()>) -> Figures {
        let before = self.moment();
        self.bench.postgres.runtime.block_on(async {
            tokio::join!(tokio::time::sleep(lasting), meanwhile);
        });
        let after = self.moment();
        let pid = self.product.pid();
        let arrivals = self.clients.between(before.at, after.at);
        let seen = Measurements {
            batches: self.database.batches(self.bench, before.clock, after.clock),
            bare_ms: self.probe.between(before.at, after.at),
            latency_ms: arrivals
                .iter()
                .map(|arrival| arrival.latency_ms())
                .collect(),
            resident: process::resident(pid),
            peak: usage::peak_memory(pid).expect("it runs"),
        };
        Figures::new(&before, &after, &seen)
    }

    /// How long after an instant latency was as before again, in s; `None` when it is not yet.
    pub fn recovery_time(&self, since: u64, p50_ms: f64) -> Option<f64> {
        let now = process::now_ns();
        let mut from = since;
        while from < now {
            let arrivals = self.clients.between(from, from + WINDOW_NS);
            let late: Vec<f64> = arrivals
                .iter()
                .map(|arrival| arrival.latency_ms())
                .collect();
            // Without arrivals the median is NaN, which is not below anything.
            if stats::median(&late) <= p50_ms {
                return Some((from - since) as f64 / 1e9);
            }
            from += WINDOW_NS;
        }
        None
    }

    /// Stops sending, waits until all ticks are processed, and returns the totals.
    pub fn settle(&mut self) -> Totals {
        self.venues.set_pace(0);
        let (mut last, mut since) = (f64::NAN, Instant::now());
        loop {
            std::thread::sleep(SAMPLE_INTERVAL);
            let metrics = self.product.metrics(self.bench);
            let totals = Totals {
                sent: self.venues.counts().sent as f64,
                stored: metrics.sum("chaincast_price_ticks_stored_total"),
                conflated: metrics.sum("chaincast_price_ticks_conflated_total"),
            };
            if totals.lost() != last {
                (last, since) = (totals.lost(), Instant::now());
            }
            // Ten seconds without a change: nothing more arrives.
            let done = totals.lost() == 0.0 && since.elapsed() > SAMPLE_INTERVAL * 5;
            if done || since.elapsed() > Duration::from_secs(10) {
                return totals;
            }
        }
    }

    fn moment(&mut self) -> Sample {
        let metrics = self.product.metrics(self.bench);
        Sample {
            metrics,
            sent: self.venues.counts().sent,
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
        assert!(began.elapsed() < TIMEOUT, "timed out waiting for: {what}");
        std::thread::sleep(SAMPLE_INTERVAL);
    }
}
