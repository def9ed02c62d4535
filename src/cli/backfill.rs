//! `chaincast backfill`: indexes a range of blocks, and succeeds only when every block of it is stored.

use std::{
    io::IsTerminal,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{Failure, terminal};
use crate::config::{Config, Sources};
use chaincast_base::{shutdown::Tasks, telemetry};
use chaincast_bus::Bus;
use chaincast_evm::chain::Height;
use chaincast_ingest::{
    Backfill, BackfillOutcome, ChainContext, IngestError, PriceSignals, Progress, Rates,
};
use chaincast_prices::OnChainSources;
use chaincast_protocol::ChainId;
use chaincast_store::{
    Store, StoreError,
    chain::{self as stored, ChainState},
};

/// Interval of the progress bar on a terminal, and of progress lines elsewhere.
const BAR_INTERVAL: Duration = Duration::from_millis(500);
const LOG_INTERVAL: Duration = Duration::from_secs(3);
/// Poll interval until the backfill has planned its work.
const PLAN_POLL: Duration = Duration::from_millis(50);
/// Limit for reading what is stored, after an error.
const STATE_TIMEOUT: Duration = Duration::from_secs(5);
/// Rates are averages over this many intervals.
const RATE_INTERVALS: usize = 10;

#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// Configuration file (TOML); config/default.toml documents every key
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// First block to index
    #[arg(long, value_name = "BLOCK")]
    from: u64,
    /// Last block to index; default: the highest block of any provider
    #[arg(long, value_name = "BLOCK")]
    to: Option<u64>,
    /// Chain id; default: the first configured chain
    #[arg(long, value_name = "ID")]
    chain: Option<ChainId>,
}

pub(super) async fn run(args: BackfillArgs) -> Result<(), Failure> {
    let config = Config::load(&Sources::from_process(Some(&args.config)))?;
    telemetry::init_logs(&config.telemetry).map_err(|error| Failure::Usage(error.to_string()))?;
    if let Some(to) = args.to.filter(|to| *to < args.from) {
        let from = args.from;
        return Err(Failure::Usage(format!("--to {to} is below --from {from}")));
    }
    let wanted = args.chain.unwrap_or(config.first_chain());
    let chain = config.chains.iter().find(|chain| chain.chain_id == wanted);
    let chain = chain.ok_or_else(|| {
        Failure::Usage(format!("--chain {wanted} is not configured in [[chains]]"))
    })?;

    let stop = CancellationToken::new();
    let signal = terminal::stop_signal().map_err(Failure::failed)?;
    let stopping = stop.clone();
    let _signal = AbortOnDropHandle::new(tokio::spawn(async move {
        signal.await;
        stopping.cancel();
    }));
    let store = tokio::select! {
        () = stop.cancelled() => return Err(Failure::failed("stopped before anything was stored")),
        store = Store::connect_for_writing(&config.database) => store.map_err(Failure::failed)?,
    };
    let (tasks, _failures) = Tasks::new();
    let bus = Bus::connect(&config.bus, store.clone(), &tasks)
        .await
        .map_err(Failure::failed)?;
    let sources =
        OnChainSources::new(&config.prices, config.first_chain()).map_err(Failure::failed)?;
    // Ticks are stored; the price writer reads them from the database.
    let (signals, _) = PriceSignals::new();
    let context = ChainContext {
        first_chain: config.first_chain(),
        store: store.clone(),
        publisher: bus.publisher(),
        decoder: Arc::new(sources),
        signals,
        contracts: config.contracts()?.into(),
    };
    let backfill =
        Backfill::new(chain.clone(), context, args.from, args.to).map_err(Failure::failed)?;

    let goal = Arc::new(Mutex::new(None));
    let showing = AbortOnDropHandle::new(tokio::spawn(show_progress(
        backfill.progress(),
        goal.clone(),
    )));
    let began = Instant::now();
    let result = backfill
        .run(&stop, |known| {
            goal.lock().get_or_insert(known);
        })
        .await;
    drop(showing);
    let done = backfill.progress().now();
    let result = match result {
        Ok(filled) => Ok(filled),
        // The error lists the missing blocks as well, if the database is reachable.
        Err(error) => Err((error, stored_state(&store, wanted).await)),
    };
    tasks.drain(Duration::from_secs(5)).await;
    store.close().await;
    let (from, to) = (args.from, args.to);
    match result {
        Ok(BackfillOutcome { state, heights }) => {
            println!("{}", summary(&state, done, began.elapsed()));
            let highest = heights.iter().filter_map(|height| height.head.clone().ok());
            let to = to.or_else(|| highest.max().filter(|highest| *highest >= from));
            let missing = missing(Some(&state), from, to);
            if missing.is_empty() {
                return Ok(());
            }
            let missing = list_ranges(&missing);
            Err(Failure::Failed(if stop.is_cancelled() {
                format!("{missing}; stopped: run the same command to resume")
            } else {
                format!(
                    "{missing}; no provider has more blocks now ({}): run the same command again later",
                    provider_heights(&heights)
                )
            }))
        }
        Err((IngestError::Store(StoreError::Locked(_)), _)) => Err(Failure::Failed(format!(
            "another process, such as `chaincast serve`, is writing chain {wanted}: stop it first, or let it catch \
             up by itself"
        ))),
        Err((error, state)) => {
            let missing = state.map(|state| list_ranges(&missing(state.as_ref(), from, to)));
            let missing = missing.unwrap_or_else(|| "the stored blocks are unknown".to_owned());
            let resume = match stop.is_cancelled() {
                true => "stopped: run the same command to resume",
                false => "run the same command to resume",
            };
            Err(Failure::Failed(format!("{error}; {missing}; {resume}")))
        }
    }
}

/// The stored state of a chain; `None` if the database cannot be read in time.
async fn stored_state(store: &Store, chain_id: ChainId) -> Option<Option<ChainState>> {
    let read = async {
        let mut connection = store.pool().acquire().await.ok()?;
        stored::state(&mut connection, chain_id).await.ok()
    };
    tokio::time::timeout(STATE_TIMEOUT, read).await.ok()?
}

/// First and last block of a range; without a last block, the range is open.
type Range = (u64, Option<u64>);

/// The parts of a range that are not stored. The stored blocks are one contiguous range.
fn missing(state: Option<&ChainState>, from: u64, to: Option<u64>) -> Vec<Range> {
    let stored = state.and_then(|state| Some((state.start_block, state.head?.number)));
    let Some((first, last)) = stored else {
        return vec![(from, to)];
    };
    let mut missing = Vec::new();
    if from < first {
        let below = first - 1;
        missing.push((from, Some(to.map_or(below, |to| to.min(below)))));
    }
    if to.is_none_or(|to| to > last) {
        missing.push((from.max(last + 1), to));
    }
    missing
}

fn list_ranges(missing: &[Range]) -> String {
    let ranges: Vec<String> = missing
        .iter()
        .map(|range| match range {
            (from, Some(to)) if from == to => format!("{from}"),
            (from, Some(to)) => format!("{from} to {to}"),
            (from, None) => format!("{from} and above"),
        })
        .collect();
    if ranges.is_empty() {
        return "every block of the range is stored".to_owned();
    }
    format!("missing blocks: {}", ranges.join(", "))
}

fn provider_heights(heights: &[Height]) -> String {
    let each: Vec<String> = heights
        .iter()
        .map(|height| match &height.head {
            Ok(head) => format!("{} ends at block {head}", height.name),
            Err(error) => format!("{}: {error}", height.name),
        })
        .collect();
    each.join("; ")
}

fn summary(state: &ChainState, done: Rates, took: Duration) -> String {
    let chain_id = state.chain_id;
    let Some(head) = state.head else {
        return format!("chain {chain_id}: no blocks indexed yet");
    };
    let verified = match (state.verified_through, state.index_mode.proof()) {
        (Some(number), Some("full")) => format!("verified through {number}"),
        (Some(number), Some(proof)) => format!("verified through {number} (by {proof})"),
        _ => "not verified".to_owned(),
    };
    format!(
        "chain {chain_id} is indexed from block {} to {}, {verified}; stored {} blocks and {} rows in {:.1} s",
        state.start_block,
        head.number,
        done.blocks,
        done.rows,
        took.as_secs_f64()
    )
}

/// Draws a progress bar, or logs progress lines, until it is dropped. `goal` is the number of blocks to store, once it is
/// known.
async fn show_progress(progress: Arc<Progress>, goal: Arc<Mutex<Option<u64>>>) {
    let terminal = std::io::stderr().is_terminal();
    let bar = Bar(terminal.then(ProgressBar::no_length));
    if let Some(bar) = &bar.0
        && let Ok(style) =
            ProgressStyle::with_template("{bar:32} {percent}% of {len} blocks  {msg}")
    {
        bar.set_style(style);
    }
    let mut every = tokio::time::interval(if terminal { BAR_INTERVAL } else { LOG_INTERVAL });
    let goal = loop {
        if let Some(goal) = *goal.lock() {
            break goal;
        }
        tokio::time::sleep(PLAN_POLL).await;
    };
    let mut samples = vec![(Instant::now(), progress.now())];
    loop {
        every.tick().await;
        samples.push((Instant::now(), progress.now()));
        if samples.len() > RATE_INTERVALS + 1 {
            samples.remove(0);
        }
        let ((began, first), (until, last)) = (samples[0], samples[samples.len() - 1]);
        let seconds = (until - began).as_secs_f64();
        let recent = last.since(first);
        let rate = |count: u64| (count as f64 / seconds.max(0.001)) as u64;
        let left = goal.saturating_sub(last.blocks);
        let eta = (recent.blocks > 0).then(|| {
            let seconds = left as f64 * seconds / recent.blocks as f64;
            HumanDuration(Duration::from_secs(seconds as u64)).to_string()
        });
        let eta = eta.unwrap_or_else(|| "unknown".to_owned());
        let bottleneck = recent.bottleneck().name();
        match &bar.0 {
            Some(bar) => {
                bar.set_length(goal.max(last.blocks));
                bar.set_position(last.blocks);
                bar.set_message(format!(
                    "{} blocks/s, {} rows/s, {eta} left, waiting for {bottleneck}",
                    HumanCount(rate(recent.blocks)),
                    HumanCount(rate(recent.rows)),
                ));
            }
            None => tracing::info!(
                blocks = last.blocks,
                of = goal,
                blocks_per_second = rate(recent.blocks),
                rows_per_second = rate(recent.rows),
                eta,
                bottleneck,
                "backfill"
            ),
        }
    }
}

/// A progress bar that is cleared when dropped.
struct Bar(Option<ProgressBar>);

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaincast_model::IndexMode;
    use chaincast_protocol::{B256, BlockRef};

    fn state(start_block: u64, head: Option<u64>) -> ChainState {
        let hash = B256::ZERO;
        ChainState {
            chain_id: 1,
            identity: BlockRef { number: 0, hash },
            start_block,
            index_mode: IndexMode::Blocks,
            head: head.map(|number| BlockRef { number, hash }),
            safe_number: None,
            finalized: None,
            verified_through: None,
            unproved: Vec::new(),
            node_head: None,
        }
    }

    #[test]
    fn missing_ranges_exclude_stored_blocks() {
        let stored = state(100, Some(200));
        let of = |from, to| missing(Some(&stored), from, to);
        assert_eq!(of(100, Some(200)), []);
        assert_eq!(of(120, Some(150)), []);
        assert_eq!(of(0, Some(50)), [(0, Some(50))]);
        assert_eq!(of(0, Some(150)), [(0, Some(99))]);
        assert_eq!(of(0, Some(300)), [(0, Some(99)), (201, Some(300))]);
        assert_eq!(of(250, Some(300)), [(250, Some(300))]);
        assert_eq!(of(150, None), [(201, None)]);
        assert_eq!(missing(Some(&state(7, None)), 7, Some(7)), [(7, Some(7))]);
        assert_eq!(missing(None, 5, None), [(5, None)]);
        assert_eq!(
            list_ranges(&[(0, Some(99)), (201, Some(201)), (300, None)]),
            "missing blocks: 0 to 99, 201, 300 and above"
        );
    }
}
