//! The chain writer while it holds the lock. It caches the state of the stored chain, which nothing else changes.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    IngestError, Parts, Retry,
    contract::Contracts,
    price::{Averages, PriceBackfills},
    timeouts::{COMMIT_TIMEOUT, STORE_TIMEOUT},
    token_metadata::SeenTokens,
    yield_lock::StuckTimer,
};
use crate::PriceSignal;
use chaincast_evm::chain::NodeView;
use chaincast_protocol::BlockRef;
use chaincast_store::{
    chain::{self as stored, Tags},
    watches,
    writer::Writer,
};

/// Delay before the next comparison of providers that disagree.
const RECHECK_AFTER: Duration = Duration::from_millis(500);

/// Lives from taking the lock until its connection or the lease is lost.
pub(super) struct ChainWriter<'a> {
    pub(super) parts: &'a Parts,
    pub(super) writer: Writer,
    /// The first block that is or will be indexed.
    pub(super) start: u64,
    pub(super) head: Option<BlockRef>,
    pub(super) finalized: Option<BlockRef>,
    /// The node's tags as stored; reset after a reorg, which may lower them.
    pub(super) recorded: Tags,
    /// Checks that are recorded as disabled for blocks that count as proven.
    pub(super) unproved: Vec<&'static str>,
    pub(super) contracts: Contracts,
    pub(super) tokens: SeenTokens,
    pub(super) averages: Averages,
    pub(super) price_backfills: PriceBackfills,
    /// [`NodeView::outages`] when the node's chain was last verified.
    outages_checked: u64,
    /// The provider whose head last equaled the stored one.
    followed: Option<usize>,
    /// The node's head was not followed, and must be checked again even if it does not change.
    undecided: bool,
    /// Whether an index that a large load deferred may be missing.
    pub(super) indexes_missing: bool,
    pub(super) stop: CancellationToken,
}

impl<'a> ChainWriter<'a> {
    /// Takes the lock, registers a new chain, and reads the stored state. Holds the lock while the node is unreachable,
    /// so that the chain keeps one writer; for at most a minute if another process waits for the lock.
    pub(super) async fn open(
        parts: &'a Parts,
        stop: &CancellationToken,
        retry: &mut Retry,
    ) -> Result<Self, IngestError> {
        let mut writer = parts.acquire().await?;
        let mut stuck = StuckTimer::default();
        let identity = loop {
            let error = match parts.identify_node(&mut writer, stop).await {
                Ok(identity) => break identity,
                Err(error @ IngestError::Node { .. }) if !error.is_final() => error,
                Err(error) => return Err(error),
            };
            let wait = retry.delay_after(&error);
            parts.database_recovered(&writer);
            if parts
                .should_yield(stuck.record_failure(None), &mut writer)
                .await?
            {
                parts.yield_lock(writer, stop).await;
                return Err(error);
            }
            tokio::select! {
                lost = writer.lease().lost() => return Err(lost.into()),
                () = tokio::time::sleep(wait) => {}
            }
        };
        let chain_writer = Self::register(parts, writer, identity, stop).await?;
        if chain_writer.head.is_some() {
            parts.check_start(chain_writer.start)?;
        }
        Ok(chain_writer)
    }

    /// As [`ChainWriter::open`], but allows a range below the stored blocks; fails when the node is unreachable.
    pub(super) async fn open_for_backfill(
        parts: &'a Parts,
        stop: &CancellationToken,
    ) -> Result<Self, IngestError> {
        let mut writer = parts.acquire().await?;
        let identity = parts.identify_node(&mut writer, stop).await?;
        Self::register(parts, writer, identity, stop).await
    }

    async fn register(
        parts: &'a Parts,
        mut writer: Writer,
        identity: BlockRef,
        stop: &CancellationToken,
    ) -> Result<Self, IngestError> {
        let chain_id = parts.config.chain_id;
        let start = parts.config.start_block;
        let registered = stored::register(writer.connection(), chain_id, identity, start);
        let state = parts.within(STORE_TIMEOUT, registered).await?;
        parts.check_mode(&state)?;
        let mode = stored::set_index_mode(writer.connection(), chain_id, parts.config.index);
        parts.within(STORE_TIMEOUT, mode).await?;
        let depth = parts.config.confirmations;
        let confirmations = watches::set_confirmations(writer.connection(), chain_id, depth);
        parts.within(STORE_TIMEOUT, confirmations).await?;
        let unhalted = stored::unhalt(writer.connection(), chain_id);
        parts.within(STORE_TIMEOUT, unhalted).await?;
        let contracts = parts.contracts(&mut writer, &state).await?;
        parts.read_contracts_first().await;
        let averages = Averages::read(
            writer.connection(),
            parts.decoder.on_chain(),
            chain_id,
            state.head,
        );
        let averages = parts.within(STORE_TIMEOUT, averages).await?;
        let (sources, kept) = (parts.decoder.on_chain(), parts.store.ticks_retention());
        let price_backfills = PriceBackfills::open(&mut writer, &state, sources, kept);
        let price_backfills = parts.within(STORE_TIMEOUT, price_backfills).await?;
        if !parts.logged_active.swap(true, Ordering::Relaxed) {
            tracing::info!(
                chain_id,
                head = state.head.map(|head| head.number),
                term = writer.lease().term(),
                "indexing, as the chain's only writer"
            );
        }
        Ok(Self {
            parts,
            writer,
            start: state.start_block,
            head: state.head,
            finalized: state.finalized,
            recorded: Tags {
                node_head: state.node_head,
                safe_number: state.safe_number,
                finalized: state.finalized,
            },
            unproved: Vec::new(),
            contracts,
            tokens: SeenTokens::default(),
            averages,
            price_backfills,
            outages_checked: 0,
            followed: None,
            undecided: false,
            indexes_missing: true,
            stop: stop.clone(),
        })
    }

    /// Follows the node until `stop`, or until the database fails. Node failures are retried here, so that the lock is
    /// held; for at most a minute without progress if another process waits for the lock.
    pub(super) async fn run(
        mut self,
        node_view: &mut watch::Receiver<NodeView>,
        retry: &mut Retry,
    ) -> Result<(), IngestError> {
        self.outages_checked = node_view.borrow().outages;
        let stop = self.stop.clone();
        let mut stuck = StuckTimer::default();
        loop {
            let view = node_view.borrow_and_update().clone();
            let wait = match self.step(&view).await {
                Ok(()) => {
                    retry.reset();
                    stuck.reset();
                    self.parts.database_recovered(&self.writer);
                    None
                }
                Err(error @ IngestError::Node { .. }) if !error.is_final() => {
                    let wait = retry.delay_after(&error);
                    self.parts.database_recovered(&self.writer);
                    let stuck = stuck.record_failure(self.head);
                    if self.parts.should_yield(stuck, &mut self.writer).await? {
                        self.parts.yield_lock(self.writer, &stop).await;
                        return Err(error);
                    }
                    self.restore_indexes_if_stalled().await?;
                    Some(Instant::now() + wait)
                }
                Err(error) => return Err(error),
            };
            if stop.is_cancelled() {
                return self.release().await;
            }
            self.store_answers().await?;
            let more = self.run_backfills(wait).await?;
            let recheck = std::mem::take(&mut self.undecided);
            let retry_delay = async {
                match wait {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return self.release().await,
                () = retry_delay => {}
                () = self.parts.pending_answers.arrived(), if wait.is_none() => {}
                () = std::future::ready(()), if more && wait.is_none() => {}
                () = tokio::time::sleep(RECHECK_AFTER), if recheck && wait.is_none() => {}
                changed = node_view.changed(), if wait.is_none() => {
                    if changed.is_err() {
                        // The follower ends only on shutdown.
                        return self.release().await;
                    }
                }
            }
        }
    }

    /// Runs contract backfills, then price backfills: one step, or as many as fit before `wait`. Returns whether more
    /// is left.
    async fn run_backfills(&mut self, wait: Option<Instant>) -> Result<bool, IngestError> {
        loop {
            let step = self.contracts.step(&mut self.writer);
            let more = self.parts.within(COMMIT_TIMEOUT, step).await?;
            let more = more || self.backfill_prices().await?;
            let time = wait.is_some_and(|wait| Instant::now() < wait);
            if !more || !time || self.stop.is_cancelled() {
                return Ok(more);
            }
        }
    }

    /// One step. Returns whether more may be left.
    async fn backfill_prices(&mut self) -> Result<bool, IngestError> {
        let parts = self.parts;
        let sources = parts.decoder.on_chain();
        let step = self
            .price_backfills
            .step(&mut self.writer, sources, self.start);
        let stepped = parts.within(COMMIT_TIMEOUT, step).await?;
        // The price writer keeps the newest tick of each source: this may be the source's first.
        if stepped.replaced {
            parts.signals.send(PriceSignal::Reload);
        } else if let Some(newest) = stepped.newest {
            parts.signals.send(PriceSignal::Ticks(vec![newest]));
        }
        Ok(stepped.more)
    }

    /// Reads the windows of averages again, after older blocks were stored.
    pub(super) async fn reload_averages(&mut self) -> Result<(), IngestError> {
        let parts = self.parts;
        let read = Averages::read(
            self.writer.connection(),
            parts.decoder.on_chain(),
            parts.config.chain_id,
            self.head,
        );
        self.averages = parts.within(STORE_TIMEOUT, read).await?;
        Ok(())
    }

    /// Releases the lock; if that fails, the lock ends with its connection.
    pub(super) async fn release(self) -> Result<(), IngestError> {
        self.parts
            .within(STORE_TIMEOUT, self.writer.release())
            .await
            .ok();
        Ok(())
    }

    /// Brings the stored chain to the node's state.
    async fn step(&mut self, view: &NodeView) -> Result<(), IngestError> {
        if view.outages != self.outages_checked {
            // It was unreachable: the URL may serve another chain now.
            self.check_chain().await?;
            self.outages_checked = view.outages;
        }
        self.parts.metrics.record_position(
            self.head.map(|head| head.number),
            view.head.map(|head| head.number),
        );
        // A height that exceeds the column's type is not a valid height.
        let followed = view.head.filter(|head| i64::try_from(head.number).is_ok());
        if let Some(node_head) = followed {
            self.follow(node_head, view.source).await?;
            self.end_load().await?;
        }
        if self.stop.is_cancelled() {
            // An index build may have been interrupted: the connection is still busy with it.
            return Ok(());
        }
        self.record(view).await
    }

    /// Checks that the node serves the stored chain.
    pub(super) async fn check_chain(&self) -> Result<(), IngestError> {
        self.parts.identity().await.map(drop)
    }

    /// Follows until the node's head is indexed or known to be no change, or until `stop`.
    ///
    /// After a failover the new provider may be behind the previous one, on an abandoned branch: its branch counts only
    /// once it is higher than the indexed head, or once the previous provider has it too.
    async fn follow(&mut self, node_head: BlockRef, source: usize) -> Result<(), IngestError> {
        while !self.stop.is_cancelled() {
            match self.head {
                Some(head) if node_head == head => {
                    self.followed = Some(source);
                    return Ok(());
                }
                Some(head) if node_head.number <= head.number => {
                    let chain_id = self.parts.config.chain_id;
                    let known =
                        stored::ref_at(self.writer.connection(), chain_id, node_head.number);
                    let known = self.parts.within(STORE_TIMEOUT, known).await?;
                    match known {
                        // Only another hash at a known height proves that the chain changed; a lower head does not.
                        Some(known) if known.hash != node_head.hash => {
                            let is_confirmed = match self.followed {
                                Some(followed) if followed != source => {
                                    self.parts.node.has_canonical(followed, node_head).await
                                }
                                _ => true,
                            };
                            if !is_confirmed {
                                self.undecided = true;
                                return Ok(());
                            }
                            self.reorg(node_head).await?
                        }
                        _ => return Ok(()),
                    }
                }
                None if node_head.number < self.start => return Ok(()),
                _ => self.catch_up(node_head).await?,
            }
        }
        Ok(())
    }

    /// Stores `safe`, the node's head and a finalized block that is indexed, if they changed.
    async fn record(&mut self, view: &NodeView) -> Result<(), IngestError> {
        // A height that exceeds the column's type must not end the writer.
        let height = |block: BlockRef| i64::try_from(block.number).is_ok().then_some(block.number);
        let mut tags = Tags {
            node_head: view.head.and_then(height),
            safe_number: view.safe.and_then(height),
            finalized: self.finalized,
        };
        let mut newly_final = None;
        if let (Some(finalized), Some(head)) = (view.finalized, self.head) {
            let is_newer = self
                .finalized
                .is_none_or(|known| finalized.number > known.number);
            if is_newer && finalized.number <= head.number {
                let chain_id = self.parts.config.chain_id;
                let known = stored::ref_at(self.writer.connection(), chain_id, finalized.number);
                let known = self.parts.within(STORE_TIMEOUT, known).await?;
                if known == Some(finalized) {
                    newly_final = Some(finalized);
                    tags.finalized = newly_final;
                }
            }
        }
        if tags == self.recorded {
            return Ok(());
        }
        self.commit_tags(tags, newly_final).await?;
        self.finalized = tags.finalized;
        self.recorded = tags;
        Ok(())
    }
}
