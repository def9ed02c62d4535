//! The writer while it holds the right to write: what is stored is known here and changed by nobody else.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    IngestError, Outage, Parts,
    commit::COMMIT_PATIENCE,
    contract::Contracts,
    give_way::Stuck,
    price::{Averages, Pasts},
    token::SeenTokens,
};
use crate::{
    ingest::PriceSignal,
    model::BlockRef,
    source::chain::NodeView,
    store::{
        chain::{self as stored, Tags},
        watches,
        writer::Writer,
    },
};

/// A database that takes longer for one step is taken for gone; see `COMMIT_PATIENCE` for one with blocks.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Providers that do not agree are asked again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// From taking the lock to losing the connection that holds it, or the lease.
pub(super) struct Session<'a> {
    pub(super) parts: &'a Parts,
    pub(super) writer: Writer,
    /// The first block that is indexed, or is to be.
    pub(super) start: u64,
    pub(super) head: Option<BlockRef>,
    pub(super) finalized: Option<BlockRef>,
    /// What is stored of what the node said; nothing is known of it after a reorg, which may lower it.
    pub(super) recorded: Tags,
    /// Checks that are stored as off for blocks that count as proven.
    pub(super) unproved: Vec<&'static str>,
    pub(super) contracts: Contracts,
    pub(super) tokens: SeenTokens,
    pub(super) averages: Averages,
    pub(super) pasts: Pasts,
    /// [`NodeView::outages`] when the node last proved which chain it serves.
    known_at: u64,
    /// The provider whose head was last seen to be the stored one.
    followed: Option<usize>,
    /// The node's head was not followed, and may have to be later though nothing new is seen.
    undecided: bool,
    /// Whether an index may be missing that a large load left out.
    pub(super) indexes_missing: bool,
    pub(super) stop: CancellationToken,
}

impl<'a> Session<'a> {
    /// Takes the lock, enters the chain when it is new, and reads where it stands. A node that is away is waited for
    /// with the lock, so that whoever asks who writes the chain gets one answer meanwhile; for a minute, if another process
    /// waits for the lock.
    pub(super) async fn open(
        parts: &'a Parts,
        stop: &CancellationToken,
        outage: &mut Outage,
    ) -> Result<Self, IngestError> {
        let mut writer = parts.acquire().await?;
        let mut stuck = Stuck::default();
        let identity = loop {
            let error = match parts.identity_meanwhile(&mut writer, stop).await {
                Ok(identity) => break identity,
                Err(error @ IngestError::Node { .. }) if !error.is_final() => error,
                Err(error) => return Err(error),
            };
            let wait = outage.failed(&error);
            parts.database_works(&writer);
            if parts.gives_way(stuck.failed(None), &mut writer).await? {
                parts.stand_aside(writer, stop).await;
                return Err(error);
            }
            tokio::select! {
                lost = writer.lease().lost() => return Err(lost.into()),
                () = tokio::time::sleep(wait) => {}
            }
        };
        let session = Self::enter(parts, writer, identity, stop).await?;
        if session.head.is_some() {
            parts.check_start(session.start)?;
        }
        Ok(session)
    }

    /// As [`Session::open`], where what is below the stored blocks may be wanted too; fails when the node is away.
    pub(super) async fn open_anywhere(
        parts: &'a Parts,
        stop: &CancellationToken,
    ) -> Result<Self, IngestError> {
        let mut writer = parts.acquire().await?;
        let identity = parts.identity_meanwhile(&mut writer, stop).await?;
        Self::enter(parts, writer, identity, stop).await
    }

    async fn enter(
        parts: &'a Parts,
        mut writer: Writer,
        identity: BlockRef,
        stop: &CancellationToken,
    ) -> Result<Self, IngestError> {
        let chain_id = parts.config.chain_id;
        let start = parts.config.start_block;
        let registered = stored::register(writer.connection(), chain_id, identity, start);
        let state = parts.within(PATIENCE, registered).await?;
        parts.check_mode(&state)?;
        let mode = stored::set_index_mode(writer.connection(), chain_id, parts.config.index);
        parts.within(PATIENCE, mode).await?;
        let depth = parts.config.confirmations;
        let told = watches::set_confirmations(writer.connection(), chain_id, depth);
        parts.within(PATIENCE, told).await?;
        let unhalted = stored::unhalt(writer.connection(), chain_id);
        parts.within(PATIENCE, unhalted).await?;
        let contracts = parts.contracts(&mut writer, &state).await?;
        parts.ask_contracts_first().await;
        let averages = Averages::read(
            writer.connection(),
            parts.decoder.on_chain(),
            chain_id,
            state.head,
        );
        let averages = parts.within(PATIENCE, averages).await?;
        let (sources, kept) = (parts.decoder.on_chain(), parts.store.ticks_retention());
        let pasts = Pasts::open(&mut writer, &state, sources, kept);
        let pasts = parts.within(PATIENCE, pasts).await?;
        if !parts.indexes.swap(true, Ordering::Relaxed) {
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
            pasts,
            known_at: 0,
            followed: None,
            undecided: false,
            indexes_missing: true,
            stop: stop.clone(),
        })
    }

    /// Follows the node until `stop`, or until the database fails. What the node does wrong is waited out here, so
    /// that the lock is kept; for a minute without progress, if another process waits for the lock.
    pub(super) async fn run(
        mut self,
        seen: &mut watch::Receiver<NodeView>,
        outage: &mut Outage,
    ) -> Result<(), IngestError> {
        self.known_at = seen.borrow().outages;
        let stop = self.stop.clone();
        let mut stuck = Stuck::default();
        loop {
            let view = seen.borrow_and_update().clone();
            let wait = match self.step(&view).await {
                Ok(()) => {
                    outage.ended();
                    stuck.ended();
                    self.parts.database_works(&self.writer);
                    None
                }
                Err(error @ IngestError::Node { .. }) if !error.is_final() => {
                    let wait = outage.failed(&error);
                    self.parts.database_works(&self.writer);
                    let stuck = stuck.failed(self.head);
                    if self.parts.gives_way(stuck, &mut self.writer).await? {
                        self.parts.stand_aside(self.writer, &stop).await;
                        return Err(error);
                    }
                    self.regain_indexes().await?;
                    Some(Instant::now() + wait)
                }
                Err(error) => return Err(error),
            };
            if stop.is_cancelled() {
                return self.release().await;
            }
            self.store_answers().await?;
            let more = self.decode_past(wait).await?;
            let look_again = std::mem::take(&mut self.undecided);
            let retry = async {
                match wait {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return self.release().await,
                () = retry => {}
                () = self.parts.answers.came(), if wait.is_none() => {}
                () = std::future::ready(()), if more && wait.is_none() => {}
                () = tokio::time::sleep(LOOK_AGAIN), if look_again && wait.is_none() => {}
                changed = seen.changed(), if wait.is_none() => {
                    if changed.is_err() {
                        // The follower ends only when it is stopped.
                        return self.release().await;
                    }
                }
            }
        }
    }

    /// Decodes some of the past of contracts, then of price sources: one piece, or as much as there is time for until `wait` is over.
    /// Returns whether more is left.
    async fn decode_past(&mut self, wait: Option<Instant>) -> Result<bool, IngestError> {
        loop {
            let step = self.contracts.step(&mut self.writer);
            let more = self.parts.within(COMMIT_PATIENCE, step).await?;
            let more = more || self.decode_past_of_prices().await?;
            let time = wait.is_some_and(|wait| Instant::now() < wait);
            if !more || !time || self.stop.is_cancelled() {
                return Ok(more);
            }
        }
    }

    /// One piece. Returns whether more may be left.
    async fn decode_past_of_prices(&mut self) -> Result<bool, IngestError> {
        let parts = self.parts;
        let sources = parts.decoder.on_chain();
        let step = self.pasts.step(&mut self.writer, sources, self.start);
        let stepped = parts.within(COMMIT_PATIENCE, step).await?;
        // The price writer keeps the newest of a source: one that had none has its first now.
        if stepped.replaced {
            parts.signals.send(PriceSignal::Reload);
        } else if let Some(newest) = stepped.newest {
            parts.signals.send(PriceSignal::Ticks(vec![newest]));
        }
        Ok(stepped.more)
    }

    /// A lock that cannot be given back goes with its connection.
    pub(super) async fn release(self) -> Result<(), IngestError> {
        self.parts
            .within(PATIENCE, self.writer.release())
            .await
            .ok();
        Ok(())
    }

    /// Brings what is stored to what the node shows.
    async fn step(&mut self, view: &NodeView) -> Result<(), IngestError> {
        if view.outages != self.known_at {
            // It was away: what answers now may be another chain under the same URL.
            self.check_chain().await?;
            self.known_at = view.outages;
        }
        self.parts.metrics.stands(
            self.head.map(|head| head.number),
            view.head.map(|head| head.number),
        );
        // What no column holds is no height of a chain.
        let followed = view.head.filter(|head| i64::try_from(head.number).is_ok());
        if let Some(node_head) = followed {
            self.follow(node_head, view.source).await?;
            self.end_load().await?;
        }
        if self.stop.is_cancelled() {
            // Building indexes may have been broken off: the connection still waits for that.
            return Ok(());
        }
        self.record(view).await
    }

    /// That a node serves the stored chain.
    pub(super) async fn check_chain(&self) -> Result<(), IngestError> {
        self.parts.identity().await.map(drop)
    }

    /// Follows until the node's head is indexed, or known not to be news, or until `stop`.
    ///
    /// A provider that took over may be behind the one before it, on a branch that is left meanwhile: its other
    /// branch counts only once it is higher than what is indexed, or the one before it shows it too.
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
                    let known = self.parts.within(PATIENCE, known).await?;
                    match known {
                        // Only another hash at a known height says that the chain changed; a lower head does not.
                        Some(known) if known.hash != node_head.hash => {
                            let believed = match self.followed {
                                Some(followed) if followed != source => {
                                    self.parts.node.shows(followed, node_head).await
                                }
                                _ => true,
                            };
                            if !believed {
                                self.undecided = true;
                                return Ok(());
                            }
                            self.reorg(node_head).await?
                        }
                        _ => return Ok(()),
                    }
                }
                None if node_head.number < self.start => return Ok(()),
                _ => self.forward(node_head).await?,
            }
        }
        Ok(())
    }

    /// Stores `safe`, the node's head and a finalized block that is indexed, when they are news.
    async fn record(&mut self, view: &NodeView) -> Result<(), IngestError> {
        // What no column holds is no height of a chain: a node that says so must not end the writer.
        let height = |block: BlockRef| i64::try_from(block.number).is_ok().then_some(block.number);
        let mut tags = Tags {
            node_head: view.head.and_then(height),
            safe_number: view.safe.and_then(height),
            finalized: self.finalized,
        };
        let mut newly_final = None;
        if let (Some(finalized), Some(head)) = (view.finalized, self.head) {
            let news = self
                .finalized
                .is_none_or(|known| finalized.number > known.number);
            if news && finalized.number <= head.number {
                let chain_id = self.parts.config.chain_id;
                let known = stored::ref_at(self.writer.connection(), chain_id, finalized.number);
                let known = self.parts.within(PATIENCE, known).await?;
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
