//! The price writer while it holds the lock: from the first read to the loss of the connection.
//!
//! It works in rounds. A round takes all that waits when it begins, ticks of feeds and signals of the chain writers,
//! and ends with one commit, while which the next round's work gathers: so the latency stays near one commit, and a
//! slow database makes commits larger instead of a queue longer.

use std::{
    collections::BTreeMap,
    future::{Future, pending},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Incoming, Parts, PriceIngestError,
    alerts::Alerts,
    board::{Board, Places, Silent},
    candles::Candles,
    commit::Commit,
    feeds::Feeds,
    outage::Outage,
    telemetry,
};
use crate::{
    ingest::PriceSignal,
    model::{ChainId, ChainLimits, Price, Tick, now_ms},
    source::price::{FeedState, SourceKey},
    store::{
        StoreError,
        alert_firing::Due,
        candles,
        chain::{ChainMarks, marks, node_ages},
        prices, ticks, tokens,
        writer::{Stream, Writer},
    },
};

/// How often time alone is looked at, and the store: for prices that went stale, and for ticks that no signal told
/// of, such as those of a chain that another process writes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A database that takes longer for one step is taken for gone: a dead connection may never say so itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// By how much the offset of this clock moves before it is stored anew.
const CLOCK_STEP_MS: u64 = 500;
/// Most signals in one commit, so that a flood of them cannot put it off for ever.
const SIGNALS_A_COMMIT: usize = 1_024;
/// Most alerts that one commit fires, and most that it arms: far from what the database could not do in time.
const ALERTS_A_COMMIT: usize = 1_000;

/// Ends with the lease, or the connection that holds the lock, so what it knows is never older than its right to write.
pub(super) struct Session<'a> {
    parts: &'a Parts,
    writer: Writer,
    board: Board,
    alerts: Alerts,
    candles: Candles,
    /// Where the chains stood when their ticks were last read.
    marks: ChainMarks,
    /// How the feeds stand, as stored in this session.
    states: BTreeMap<SourceKey, FeedState>,
    /// By how much this clock is off, as stored in this session; nothing was before the first look.
    clock: Option<Option<i64>>,
    opened: Instant,
}

/// What wakes the writer.
enum Wake {
    Signal(PriceSignal),
    Ticks(Vec<Tick>),
    /// A token or a candle is due.
    Due,
    Look,
}

impl<'a> Session<'a> {
    /// Takes the lock, stores what is configured, and reads where prices stand. Signals that were queued before are
    /// dropped: they tell of what is in the store, which is read after.
    pub(super) async fn open(
        parts: &'a Parts,
        incoming: &mut Incoming,
    ) -> Result<Self, PriceIngestError> {
        let mut writer = within(Writer::acquire(&parts.store, Stream::Prices)).await?;
        within(async {
            let mut transaction = writer.begin().await?;
            tokens::sync(&mut transaction, &parts.tokens, &parts.sources).await?;
            Ok(transaction.commit().await?)
        })
        .await?;
        while incoming.signals.next().now_or_never().flatten().is_some() {}
        let mut board = Board::new(&parts.config, parts.first_chain);
        let announced = within(prices::latest(writer.connection(), &board.tokens())).await?;
        for (price, announced_at) in announced {
            board.recall(price, announced_at);
        }
        let tokens = board.tokens();
        within(candles::repair(writer.connection())).await?;
        let newest = within(candles::newest(writer.connection(), &tokens)).await?;
        let rules = parts.config.candle_rules();
        let candles = Candles::new(rules, tokens, newest, board.prices());
        let marks = within(marks(writer.connection())).await?;
        let ticks = within(ticks::latest_per_source(writer.connection())).await?;
        board.take(&ticks);
        let alerts = within(Alerts::load(writer.connection())).await?;
        Ok(Self {
            parts,
            writer,
            board,
            alerts,
            candles,
            marks,
            states: BTreeMap::new(),
            clock: None,
            opened: Instant::now(),
        })
    }

    /// Writes prices until `stop`, or until the store fails. Feeds are stopped first, then what they left is stored.
    pub(super) async fn run(
        mut self,
        incoming: &mut Incoming,
        feeds: &mut Feeds,
        outage: &mut Outage,
        stop: &CancellationToken,
    ) -> Result<(), PriceIngestError> {
        // Before the first prices: what was stale because its node is down is not fresh for its tick alone.
        self.look_at_nodes().await?;
        let announced = self.board.evaluate_all(now_ms());
        // What the last writer announced comes before what this one does.
        let board = &self.board;
        let due = self.alerts.owed(&announced, |token| board.announced(token));
        self.fire(due).await?;
        let due = self.due(&announced);
        let rest = self
            .commit(Commit {
                announced,
                due,
                ..Commit::default()
            })
            .await?;
        self.fire(rest).await?;
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closed = false;
        loop {
            let wake = tokio::select! {
                () = stop.cancelled() => break,
                signal = incoming.signals.next(), if !closed => match signal {
                    Some(signal) => Wake::Signal(signal),
                    // The last chain writer ended; prices still go stale until shutdown.
                    None => {
                        closed = true;
                        continue;
                    }
                },
                ticks = incoming.ticks.next() => Wake::Ticks(ticks),
                () = until(self.next_due()) => Wake::Due,
                _ = look.tick() => Wake::Look,
                lost = self.writer.lease().lost() => return Err(lost.into()),
            };
            let looks = matches!(wake, Wake::Look);
            self.round(wake, incoming).await?;
            outage.ended();
            if looks {
                self.writer.lease().works();
                self.parts.store.writer_works(Stream::Prices);
            }
        }
        feeds.stop().await;
        loop {
            let ticks = incoming.ticks.take();
            if ticks.is_empty() {
                break;
            }
            self.round(Wake::Ticks(ticks), incoming).await?;
        }
        // A lock that cannot be given back goes with its connection.
        within(self.writer.release()).await.ok();
        Ok(())
    }

    /// When a token or a candle is to be looked at although nothing came, in ms since the Unix epoch.
    fn next_due(&self) -> Option<i64> {
        let due = [self.board.next_due(), self.candles.next_due()];
        due.into_iter().flatten().min()
    }

    /// One commit for what woke it and all that waits behind. Ticks that could not be stored wait again.
    async fn round(&mut self, wake: Wake, incoming: &mut Incoming) -> Result<(), PriceIngestError> {
        let look = matches!(wake, Wake::Look);
        let (signal, mut ticks) = match wake {
            Wake::Signal(signal) => (Some(signal), incoming.ticks.take()),
            Wake::Ticks(ticks) => (None, ticks),
            Wake::Due | Wake::Look => (None, incoming.ticks.take()),
        };
        // Feeds of one connection may tell more than was asked for.
        ticks.retain(|tick| self.board.knows(tick));
        let lost = self.writer.lease().lost();
        let written = tokio::select! {
            biased;
            written = self.write(signal, &ticks, look, incoming) => written,
            // A commit that gets no answer is given up with its connection: it counts or does not.
            lost = lost => Err(lost.into()),
        };
        match written {
            Ok(rest) => self.fire(rest).await,
            Err(error) => {
                incoming.ticks.restore(ticks);
                Err(error)
            }
        }
    }

    /// Stores and announces; returns what is left of the alerts.
    async fn write(
        &mut self,
        signal: Option<PriceSignal>,
        ticks: &[Tick],
        look: bool,
        incoming: &mut Incoming,
    ) -> Result<Due, PriceIngestError> {
        let mut affected = self.board.take(ticks);
        let reload = self.read_signals(signal, incoming, &mut affected);
        // The store has what the ticks of chains say, and not what a reorg took back.
        let reloaded = if reload || look {
            self.reload(reload).await?
        } else {
            false
        };
        if look {
            self.look_at_nodes().await?;
            within(self.alerts.refresh(self.writer.connection())).await?;
        }
        let now = now_ms();
        let announced = if look || reloaded {
            self.board.evaluate_all(now)
        } else {
            self.board.evaluate(affected, now)
        };
        let due = self.due(&announced);
        let mut commit = Commit {
            ticks,
            announced,
            due,
            ..Commit::default()
        };
        if look {
            commit.moved = self.board.take_moved();
            let states = incoming.ticks.states().into_iter();
            commit.states = states
                .filter(|(source, state)| self.states.get(source) != Some(state))
                .collect();
            let clock = incoming.ticks.clock_off_ms();
            commit.clock = self.is_clock_news(clock).then_some(clock);
            telemetry::standing(self.board.prices(), now);
        }
        self.commit(commit).await
    }

    /// Takes in this signal and those that wait behind it; whether the store must be read instead.
    fn read_signals(
        &mut self,
        mut first: Option<PriceSignal>,
        incoming: &mut Incoming,
        affected: &mut Places,
    ) -> bool {
        let mut reload = false;
        for _ in 0..SIGNALS_A_COMMIT {
            let waiting = || incoming.signals.next().now_or_never().flatten();
            match first.take().or_else(waiting) {
                Some(PriceSignal::Ticks(ticks)) => affected.extend(self.board.take(&ticks)),
                Some(PriceSignal::Reorged { .. } | PriceSignal::Reload) => reload = true,
                None => break,
            }
        }
        reload
    }

    /// Reads the newest ticks of the sources on chains anew, if told to or if a chain moved since the last time;
    /// whether it did. Chains are written by other processes too, whose signals do not come here.
    async fn reload(&mut self, anyway: bool) -> Result<bool, PriceIngestError> {
        if !self.board.reads_chains() {
            return Ok(false);
        }
        // Before the ticks: what comes in between is seen the next time.
        let marks = within(marks(self.writer.connection())).await?;
        if marks == self.marks && !anyway {
            return Ok(false);
        }
        let ticks = within(ticks::latest_on_chains(self.writer.connection())).await?;
        self.marks = marks;
        self.board.replace_chain_ticks(&ticks);
        Ok(true)
    }

    /// Learns which chains have a node that does not answer.
    async fn look_at_nodes(&mut self) -> Result<(), PriceIngestError> {
        if self.parts.chains.is_empty() || !self.board.reads_chains() {
            return Ok(());
        }
        let ages = within(node_ages(self.writer.connection())).await?;
        let open = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.board
            .set_silent(silent(&self.parts.chains, &ages, open));
        Ok(())
    }

    /// What prices that are about to be announced do to alerts.
    fn due(&mut self, announced: &[Price]) -> Due {
        let board = &self.board;
        self.alerts.due(announced, |token| board.announced(token))
    }

    /// Commits at once, but for alerts of which very many are due: returns those that are left, for [`Self::fire`]
    /// before anything else is taken in.
    async fn commit(&mut self, mut commit: Commit<'_>) -> Result<Due, PriceIngestError> {
        let rest = commit.due.split_off(ALERTS_A_COMMIT);
        self.commit_once(commit).await?;
        Ok(rest)
    }

    /// Fires and arms alerts of prices that are stored, in as many commits as it takes.
    async fn fire(&mut self, mut due: Due) -> Result<(), PriceIngestError> {
        while !due.is_empty() {
            due = self
                .commit(Commit {
                    due,
                    ..Commit::default()
                })
                .await?;
        }
        Ok(())
    }

    /// Stores what came and what is to be announced, then announces it; only then is it what the next prices are
    /// compared with.
    async fn commit_once(&mut self, commit: Commit<'_>) -> Result<(), PriceIngestError> {
        let (began, now) = (Instant::now(), now_ms());
        let news = self.candles.advance(&commit.announced, now);
        if commit.is_empty() && news.rows.is_empty() {
            return Ok(());
        }
        let (candles, late) = (news.updates.len(), news.late);
        let committed = within(commit.store(&mut self.writer, news, now)).await?;
        self.writer.lease().wrote();
        telemetry::committed(&commit.announced, commit.ticks.len(), began.elapsed());
        telemetry::alerts_fired(committed.fired);
        telemetry::candles(candles, late);
        self.alerts.settle(&commit.due);
        if !committed.updates.is_empty() {
            self.parts.publisher.publish(committed.updates);
        }
        self.board.keep(commit.announced, now);
        self.states.extend(commit.states);
        self.clock = commit.clock.or(self.clock);
        Ok(())
    }

    /// Whether it is stored otherwise: by more than what medians move from second to second.
    fn is_clock_news(&self, off_ms: Option<i64>) -> bool {
        match (self.clock, off_ms) {
            (Some(Some(stored)), Some(off_ms)) => stored.abs_diff(off_ms) >= CLOCK_STEP_MS,
            (stored, off_ms) => stored != Some(off_ms),
        }
    }
}

/// The chains whose nodes, which last answered so long ago, are down, where this session began `open_ms` ago. What the
/// store says of before may be no more than that it could not be written.
fn silent(chains: &[ChainLimits], ages: &[(ChainId, Option<u64>)], open_ms: u64) -> Silent {
    let mut silent = Silent::default();
    for chain in chains {
        let age = ages.iter().find(|(id, _)| *id == chain.chain_id);
        if chain.is_down(age.and_then(|(_, age)| *age)) {
            match open_ms > chain.down_after_ms {
                true => silent.down.insert(chain.chain_id),
                false => silent.unseen.insert(chain.chain_id),
            };
        }
    }
    silent
}

/// Until a time in ms since the Unix epoch, by a clock that may be set meanwhile: the look of every second corrects it.
async fn until(due: Option<i64>) {
    match due {
        Some(due) => {
            let wait = due.saturating_sub(now_ms()).max(0);
            sleep(Duration::from_millis(wait.unsigned_abs())).await;
        }
        None => pending().await,
    }
}

/// Waits for the store no longer than it may take.
async fn within<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, PriceIngestError> {
    match timeout(PATIENCE, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(PriceIngestError::Silent(PATIENCE)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_node_that_is_unseen_is_down_once_the_session_is_older() {
        let limits = |chain_id| ChainLimits {
            chain_id,
            down_after_ms: 15_000,
            lagging_blocks: 1,
            head_age_ms: 0,
        };
        let chains = [1, 2, 3].map(limits);
        // The second answered at the limit, the third never.
        let ages = [(1, Some(15_001)), (2, Some(15_000)), (3, None)];
        let of = |open_ms| silent(&chains, &ages, open_ms);
        let both = BTreeSet::from([1, 3]);
        for open_ms in [0, 15_000] {
            assert_eq!(of(open_ms).unseen, both, "{open_ms}");
            assert!(of(open_ms).down.is_empty(), "{open_ms}");
        }
        assert_eq!(of(15_001).down, both);
        assert!(of(15_001).unseen.is_empty());
    }
}
