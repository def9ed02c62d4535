//! `chaincast backfill`: fills a range, and succeeds only when every block of it is stored.

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
use crate::{
    bus::Bus,
    config::{Config, Sources},
    ingest::{Backfill, ChainContext, Filled, Goal, IngestError, PriceSignals, Progress, Rates},
    model::ChainId,
    shutdown::Tasks,
    source::{chain::Height, price::OnChainSources},
    store::{
        Store, StoreError,
        chain::{self as stored, ChainState},
    },
    telemetry,
};

/// How often a terminal's bar is drawn, and a line is logged where there is none.
const DRAWN: Duration = Duration::from_millis(500);
const LOGGED: Duration = Duration::from_secs(3);
/// How often is looked whether there is anything to show yet.
const ASKED: Duration = Duration::from_millis(50);
/// How long the database may take to tell what is stored after an error.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// Rates are of so many of these intervals.
const REMEMBERED: usize = 10;

#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// TOML file; config/default.toml documents every key
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// First block to index
    #[arg(long, value_name = "BLOCK")]
    from: u64,
    /// Last block to index; the highest block that a provider has when left out
    #[arg(long, value_name = "BLOCK")]
    to: Option<u64>,
    /// Which of the configured chains, by its id; the first when left out
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
    let chain =
        chain.ok_or_else(|| Failure::Usage(format!("--chain {wanted} is not among [[chains]]")))?;

    let stop = CancellationToken::new();
    let signal = terminal::stop_signal().map_err(Failure::failed)?;
    let stopping = stop.clone();
    let _signal = AbortOnDropHandle::new(tokio::spawn(async move {
        signal.await;
        stopping.cancel();
    }));
    let store = tokio::select! {
        () = stop.cancelled() => return Err(Failure::failed("it was stopped before anything was stored")),
        store = Store::connect_for_writing(&config.database) => store.map_err(Failure::failed)?,
    };
    let (tasks, _failures) = Tasks::new();
    let bus = Bus::connect(&config.bus, store.clone(), &tasks)
        .await
        .map_err(Failure::failed)?;
    let sources =
        OnChainSources::new(&config.prices, config.first_chain()).map_err(Failure::failed)?;
    // Ticks are stored; who writes prices reads them there.
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
    let showing = AbortOnDropHandle::new(tokio::spawn(show(backfill.progress(), goal.clone())));
    let began = Instant::now();
    let ended = backfill
        .run(&stop, |known| {
            goal.lock().get_or_insert(known);
        })
        .await;
    drop(showing);
    let done = backfill.progress().now();
    let ended = match ended {
        Ok(filled) => Ok(filled),
        // What is missing then is said too, if the database can tell.
        Err(error) => Err((error, standing(&store, wanted).await)),
    };
    tasks.drain(Duration::from_secs(5)).await;
    store.close().await;
    let (from, to) = (args.from, args.to);
    match ended {
        Ok(Filled { state, heights }) => {
            println!("{}", told(&state, done, began.elapsed()));
            let highest = heights.iter().filter_map(|height| height.head.clone().ok());
            let to = to.or_else(|| highest.max().filter(|highest| *highest >= from));
            let missing = missing(Some(&state), from, to);
            if missing.is_empty() {
                return Ok(());
            }
            let missing = listed(&missing);
            Err(Failure::Failed(if stop.is_cancelled() {
                format!("{missing}; it was stopped: the same command resumes there")
            } else {
                format!(
                    "{missing}; no provider has more now ({}): run the same command again when one has",
                    shown(&heights)
                )
            }))
        }
        Err((IngestError::Store(StoreError::Locked(_)), _)) => Err(Failure::Failed(format!(
            "chain {wanted} is written by another process, such as `chaincast serve`: stop it first, or let it catch \
             up by itself"
        ))),
        Err((error, state)) => {
            let missing = state.map(|state| listed(&missing(state.as_ref(), from, to)));
            let missing = missing.unwrap_or_else(|| "what is stored is not known".to_owned());
            let resume = match stop.is_cancelled() {
                true => "it was stopped: the same command resumes there",
                false => "the same command resumes where this ended",
            };
            Err(Failure::Failed(format!("{error}; {missing}; {resume}")))
        }
    }
}

/// What is stored of a chain; `None` when the database does not tell in time.
async fn standing(store: &Store, chain_id: ChainId) -> Option<Option<ChainState>> {
    let asked = async {
        let mut connection = store.pool().acquire().await.ok()?;
        stored::state(&mut connection, chain_id).await.ok()
    };
    tokio::time::timeout(TOLD_WITHIN, asked).await.ok()?
}

/// From a first block to a last one; without a last one, every block from the first on.
type Range = (u64, Option<u64>);

/// The parts of a range that are not stored. What is stored is one range too.
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

fn listed(missing: &[Range]) -> String {
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

fn shown(heights: &[Height]) -> String {
    let each: Vec<String> = heights
        .iter()
        .map(|height| match &height.head {
            Ok(head) => format!("{} ends at block {head}", height.name),
            Err(error) => format!("{}: {error}", height.name),
        })
        .collect();
    each.join("; ")
}

fn told(state: &ChainState, done: Rates, took: Duration) -> String {
    let chain_id = state.chain_id;
    let Some(head) = state.head else {
        return format!("chain {chain_id}: nothing is indexed yet");
    };
    let verified = match (state.verified_through, state.index_mode.proof()) {
        (Some(number), Some("full")) => format!("verified through {number}"),
        (Some(number), Some(proof)) => format!("verified through {number} (by {proof})"),
        _ => "not verified".to_owned(),
    };
    format!(
        "chain {chain_id} is indexed from block {} to {}, {verified}; {} blocks and {} rows were stored in {:.1} s",
        state.start_block,
        head.number,
        done.blocks,
        done.rows,
        took.as_secs_f64()
    )
}

/// Draws a bar, or logs lines, until it is dropped.
async fn show(progress: Arc<Progress>, goal: Arc<Mutex<Option<Goal>>>) {
    let terminal = std::io::stderr().is_terminal();
    let bar = Drawn(terminal.then(ProgressBar::no_length));
    if let Some(bar) = &bar.0
        && let Ok(style) =
            ProgressStyle::with_template("{bar:32} {percent}% of {len} blocks  {msg}")
    {
        bar.set_style(style);
    }
    let mut every = tokio::time::interval(if terminal { DRAWN } else { LOGGED });
    let goal = loop {
        if let Some(goal) = *goal.lock() {
            break goal;
        }
        tokio::time::sleep(ASKED).await;
    };
    let mut moments = vec![(Instant::now(), progress.now())];
    loop {
        every.tick().await;
        moments.push((Instant::now(), progress.now()));
        if moments.len() > REMEMBERED + 1 {
            moments.remove(0);
        }
        let ((began, first), (ended, last)) = (moments[0], moments[moments.len() - 1]);
        let seconds = (ended - began).as_secs_f64();
        let lately = last.since(first);
        let rate = |count: u64| (count as f64 / seconds.max(0.001)) as u64;
        let left = goal.blocks.saturating_sub(last.blocks);
        let eta = (lately.blocks > 0).then(|| {
            let seconds = left as f64 * seconds / lately.blocks as f64;
            HumanDuration(Duration::from_secs(seconds as u64)).to_string()
        });
        let eta = eta.unwrap_or_else(|| "unknown".to_owned());
        let bottleneck = lately.bottleneck().name();
        match &bar.0 {
            Some(bar) => {
                bar.set_length(goal.blocks.max(last.blocks));
                bar.set_position(last.blocks);
                bar.set_message(format!(
                    "{} blocks/s, {} rows/s, {eta} left, waiting for {bottleneck}",
                    HumanCount(rate(lately.blocks)),
                    HumanCount(rate(lately.rows)),
                ));
            }
            None => tracing::info!(
                blocks = last.blocks,
                of = goal.blocks,
                blocks_per_second = rate(lately.blocks),
                rows_per_second = rate(lately.rows),
                eta,
                bottleneck,
                "backfill"
            ),
        }
    }
}

/// A bar that leaves the terminal as it was.
struct Drawn(Option<ProgressBar>);

impl Drop for Drawn {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{B256, BlockRef, IndexMode};

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
    fn missing_ranges_are_what_is_asked_less_what_is_stored() {
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
            listed(&[(0, Some(99)), (201, Some(201)), (300, None)]),
            "missing blocks: 0 to 99, 201, 300 and above"
        );
    }
}
