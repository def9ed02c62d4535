//! The price writer while it holds the lock.
//!
//! It works in rounds. A round takes every queued tick and signal and ends with one commit; the input of the next round
//! is queued meanwhile. So the latency stays near one commit, and a slow database makes commits larger instead of the
//! queue longer.

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
    candles::Candles,
    commit::Commit,
    feeds::Feeds,
    price_state::PriceState,
    retry::Retry,
    telemetry,
    token_state::{SilentChains, TokenPositions},
};
use crate::PriceSignal;
use chaincast_model::{Price, Tick};
use chaincast_prices::{FeedState, SourceKey};
use chaincast_protocol::{ChainId, ChainLimits, now_ms};
use chaincast_store::{
    StoreError,
    alert_firing::DueAlerts,
    candles,
    chain::{ChainPositions, chain_positions, node_ages},
    prices, ticks, tokens,
    writer::{Stream, Writer},
};

/// Interval of the check for stale prices, and of the store for ticks without a signal, such as those of a chain that
/// another process writes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time limit of one database step: a dead connection may never report an error.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// Change of this clock's offset from which it is stored again.
const CLOCK_STEP_MS: u64 = 500;
/// Most signals in one commit, so that many signals cannot delay it indefinitely.
const MAX_SIGNALS_PER_COMMIT: usize = 1_024;
/// Most alerts that one commit fires, and most that it arms: well within the time limit of the database.
const MAX_ALERTS_PER_COMMIT: usize = 1_000;

/// Ends with the lease, or with the connection that holds the lock, so its state is never older than the lock.
pub(super) struct PriceWriter<'a> {
    parts: &'a Parts,
    writer: Writer,
    price_state: PriceState,
    alerts: Alerts,
    candles: Candles,
    /// The chains' positions when their ticks were last read.
    chain_positions: ChainPositions,
    /// The states of the sources, as stored by this writer.
    states: BTreeMap<SourceKey, FeedState>,
    /// The offset of this clock, as stored by this writer; `None` before the first check.
    clock: Option<Option<i64>>,
    opened: Instant,
}

/// The event that starts a round.
enum Wake {
    Signal(PriceSignal),
    Ticks(Vec<Tick>),
    /// A token or a candle is due.
    Due,
    Check,
}

impl<'a> PriceWriter<'a> {
    /// Takes the lock, stores the configuration, and reads the current prices. Drops the queued signals: what they announce
    /// is in the store, which is read afterwards.
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
        let mut price_state = PriceState::new(&parts.config, parts.first_chain);
        let announced = within(prices::latest(writer.connection(), &price_state.tokens())).await?;
        for (price, announced_at) in announced {
            price_state.restore(price, announced_at);
        }
        let tokens = price_state.tokens();
        within(candles::repair(writer.connection())).await?;
        let newest = within(candles::newest(writer.connection(), &tokens)).await?;
        let rules = parts.config.candle_rules();
        let candles = Candles::new(rules, tokens, newest, price_state.prices());
        let chain_positions = within(chain_positions(writer.connection())).await?;
        let ticks = within(ticks::latest_per_source(writer.connection())).await?;
        price_state.apply_ticks(&ticks);
        let alerts = within(Alerts::load(writer.connection())).await?;
        Ok(Self {
            parts,
            writer,
            price_state,
            alerts,
            candles,
            chain_positions,
            states: BTreeMap::new(),
            clock: None,
            opened: Instant::now(),
        })
    }

    /// Writes prices until `stop`, or until the store fails. Stops the feeds first, then stores the ticks that they left.
    pub(super) async fn run(
        mut self,
        incoming: &mut Incoming,
        feeds: &mut Feeds,
        retry: &mut Retry,
        stop: &CancellationToken,
    ) -> Result<(), PriceIngestError> {
        // Before the first prices: a price that was stale because its node is down must not become fresh from its tick.
        self.check_nodes().await?;
        let announced = self.price_state.evaluate_all(now_ms());
        // Alerts are checked against the last writer's prices before this writer's.
        let price_state = &self.price_state;
        let due = self
            .alerts
            .due_for_last_prices(&announced, |token| price_state.announced(token));
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
        let mut check = interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
                _ = check.tick() => Wake::Check,
                lost = self.writer.lease().lost() => return Err(lost.into()),
            };
            let checks = matches!(wake, Wake::Check);
            self.round(wake, incoming).await?;
            retry.reset();
            if checks {
                self.writer.lease().record_success();
                self.parts.store.clear_writer_failure(Stream::Prices);
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
        // If the release fails, the lock ends with its connection.
        within(self.writer.release()).await.ok();
        Ok(())
    }

    /// When a token or a candle must be evaluated next without new input, in ms since the Unix epoch.
    fn next_due(&self) -> Option<i64> {
        let due = [self.price_state.next_due(), self.candles.next_due()];
        due.into_iter().flatten().min()
    }

    /// One commit for the event and all queued input. Ticks that could not be stored are queued again.
    async fn round(&mut self, wake: Wake, incoming: &mut Incoming) -> Result<(), PriceIngestError> {
        let check = matches!(wake, Wake::Check);
        let (signal, mut ticks) = match wake {
            Wake::Signal(signal) => (Some(signal), incoming.ticks.take()),
            Wake::Ticks(ticks) => (None, ticks),
            Wake::Due | Wake::Check => (None, incoming.ticks.take()),
        };
        // A feed may report more than was requested.
        ticks.retain(|tick| self.price_state.knows(tick));
        let lost = self.writer.lease().lost();
        let written = tokio::select! {
            biased;
            written = self.write(signal, &ticks, check, incoming) => written,
            // A commit without an answer is abandoned with its connection: it was applied or it was not.
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

    /// Stores and announces; returns the alerts left to fire.
    async fn write(
        &mut self,
        signal: Option<PriceSignal>,
        ticks: &[Tick],
        check: bool,
        incoming: &mut Incoming,
    ) -> Result<DueAlerts, PriceIngestError> {
        let mut affected = self.price_state.apply_ticks(ticks);
        let reload = self.read_signals(signal, incoming, &mut affected);
        // The store has the chains' ticks without those that a reorg dropped.
        let reloaded = if reload || check {
            self.reload(reload).await?
        } else {
            false
        };
        if check {
            self.check_nodes().await?;
            within(self.alerts.refresh(self.writer.connection())).await?;
        }
        let now = now_ms();
        let announced = if check || reloaded {
            self.price_state.evaluate_all(now)
        } else {
            self.price_state.evaluate(affected, now)
        };
        let due = self.due(&announced);
        let mut commit = Commit {
            ticks,
            announced,
            due,
            ..Commit::default()
        };
        if check {
            commit.moved = self.price_state.take_confirmed();
            let states = incoming.ticks.states().into_iter();
            commit.states = states
                .filter(|(source, state)| self.states.get(source) != Some(state))
                .collect();
            let clock = incoming.ticks.clock_off_ms();
            commit.clock = self.clock_changed(clock).then_some(clock);
            telemetry::price_status(self.price_state.prices(), now);
        }
        self.commit(commit).await
    }

    /// Applies this signal and the queued ones; returns whether the store must be read instead.
    fn read_signals(
        &mut self,
        mut first: Option<PriceSignal>,
        incoming: &mut Incoming,
        affected: &mut TokenPositions,
    ) -> bool {
        let mut reload = false;
        for _ in 0..MAX_SIGNALS_PER_COMMIT {
            let waiting = || incoming.signals.next().now_or_never().flatten();
            match first.take().or_else(waiting) {
                Some(PriceSignal::Ticks(ticks)) => {
                    affected.extend(self.price_state.apply_ticks(&ticks))
                }
                Some(PriceSignal::Reorged { .. } | PriceSignal::Reload) => reload = true,
                None => break,
            }
        }
        reload
    }

    /// Reads the newest ticks of on-chain sources again, if `force` or if a chain's position changed since the last time;
    /// returns whether it did. Other processes may write chains too, whose signals do not arrive here.
    async fn reload(&mut self, force: bool) -> Result<bool, PriceIngestError> {
        if !self.price_state.reads_chains() {
            return Ok(false);
        }
        // Before the ticks: a commit in between is noticed the next time.
        let chain_positions = within(chain_positions(self.writer.connection())).await?;
        if chain_positions == self.chain_positions && !force {
            return Ok(false);
        }
        let ticks = within(ticks::latest_on_chains(self.writer.connection())).await?;
        self.chain_positions = chain_positions;
        self.price_state.reload_chain_ticks(&ticks);
        Ok(true)
    }

    /// Reads which chains have an unresponsive node.
    async fn check_nodes(&mut self) -> Result<(), PriceIngestError> {
        if self.parts.chains.is_empty() || !self.price_state.reads_chains() {
            return Ok(());
        }
        let ages = within(node_ages(self.writer.connection())).await?;
        let open = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.price_state
            .set_silent(silent_chains(&self.parts.chains, &ages, open));
        Ok(())
    }

    /// The alerts to fire or arm for prices that are about to be announced.
    fn due(&mut self, announced: &[Price]) -> DueAlerts {
        let price_state = &self.price_state;
        self.alerts
            .due(announced, |token| price_state.announced(token))
    }

    /// Commits everything but the alerts above the limit, and returns these; the caller must pass them to [`Self::fire`]
    /// before it accepts more input.
    async fn commit(&mut self, mut commit: Commit<'_>) -> Result<DueAlerts, PriceIngestError> {
        let rest = commit.due.split_off(MAX_ALERTS_PER_COMMIT);
        self.commit_once(commit).await?;
        Ok(rest)
    }

    /// Fires and arms alerts of stored prices, in as many commits as necessary.
    async fn fire(&mut self, mut due: DueAlerts) -> Result<(), PriceIngestError> {
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

    /// Stores the commit, then announces it. Only then are the next prices compared with it.
    async fn commit_once(&mut self, commit: Commit<'_>) -> Result<(), PriceIngestError> {
        let (began, now) = (Instant::now(), now_ms());
        let candle_changes = self.candles.advance(&commit.announced, now);
        if commit.is_empty() && candle_changes.rows.is_empty() {
            return Ok(());
        }
        let (candles, late) = (candle_changes.updates.len(), candle_changes.late);
        let committed = within(commit.store(&mut self.writer, candle_changes, now)).await?;
        self.writer.lease().record_commit();
        telemetry::committed(&commit.announced, commit.ticks.len(), began.elapsed());
        telemetry::alerts_fired(committed.fired);
        telemetry::candles(candles, late);
        self.alerts.settle(&commit.due);
        if !committed.updates.is_empty() {
            self.parts.publisher.publish(committed.updates);
        }
        self.price_state.record_announced(commit.announced, now);
        self.states.extend(commit.states);
        self.clock = commit.clock.or(self.clock);
        Ok(())
    }

    /// Whether the clock's offset differs from the stored one by more than the normal variation of medians.
    fn clock_changed(&self, off_ms: Option<i64>) -> bool {
        match (self.clock, off_ms) {
            (Some(Some(stored)), Some(off_ms)) => stored.abs_diff(off_ms) >= CLOCK_STEP_MS,
            (stored, off_ms) => stored != Some(off_ms),
        }
    }
}

/// The chains whose nodes are down, by the time since their last answer. The writer was opened `open_ms` ago; older
/// entries may be missing only because the store could not be written.
fn silent_chains(
    chains: &[ChainLimits],
    ages: &[(ChainId, Option<u64>)],
    open_ms: u64,
) -> SilentChains {
    let mut silent_chains = SilentChains::default();
    for chain in chains {
        let age = ages.iter().find(|(id, _)| *id == chain.chain_id);
        if chain.is_down(age.and_then(|(_, age)| *age)) {
            match open_ms > chain.down_after_ms {
                true => silent_chains.down.insert(chain.chain_id),
                false => silent_chains.unseen.insert(chain.chain_id),
            };
        }
    }
    silent_chains
}

/// Sleeps until a time in ms since the Unix epoch. The clock may be set meanwhile: the check every second corrects that.
async fn until(due: Option<i64>) {
    match due {
        Some(due) => {
            let wait = due.saturating_sub(now_ms()).max(0);
            sleep(Duration::from_millis(wait.unsigned_abs())).await;
        }
        None => pending().await,
    }
}

/// Limits the time of a store operation.
async fn within<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, PriceIngestError> {
    match timeout(STORE_TIMEOUT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(PriceIngestError::Timeout(STORE_TIMEOUT)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn unseen_node_is_down_once_writer_is_older() {
        let limits = |chain_id| ChainLimits {
            chain_id,
            down_after_ms: 15_000,
            lagging_blocks: 1,
            head_age_ms: 0,
        };
        let chains = [1, 2, 3].map(limits);
        // The second answered at the limit, the third never.
        let ages = [(1, Some(15_001)), (2, Some(15_000)), (3, None)];
        let of = |open_ms| silent_chains(&chains, &ages, open_ms);
        let both = BTreeSet::from([1, 3]);
        for open_ms in [0, 15_000] {
            assert_eq!(of(open_ms).unseen, both, "{open_ms}");
            assert!(of(open_ms).down.is_empty(), "{open_ms}");
        }
        assert_eq!(of(15_001).down, both);
        assert!(of(15_001).unseen.is_empty());
    }
}
