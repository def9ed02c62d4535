//! The view of a node: its head, and its `safe` and `finalized` blocks.
//!
//! The head comes from `newHeads` over WebSocket, if configured, and always from a poll every `poll_interval_ms`: the
//! poll is the fallback, and the watchdog of a silent socket, which is replaced. A view is a hint; only the newest is
//! kept, so a slow reader blocks nothing. An announcement without a hash, or far above the known head, only triggers a
//! poll.
//!
//! With several providers the view is that of the active one; all heads are polled every `provider_poll_ms`, which
//! decides the active provider.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    ChainConfig, NODE_BACKOFF, NodeError, ProviderConfig, Providers,
    providers::{Provider, subscription_lost},
    rpc::Tag,
    subscription::HeadSubscription,
};
use chaincast_base::Secret;
use chaincast_protocol::{BlockRef, ChainId};

/// A subscription is silent, and replaced, if the head moves by this many blocks and at least this long without an
/// announcement.
const SILENT_BLOCKS: u64 = 3;
const SILENT_FOR: Duration = Duration::from_secs(1);
/// A subscription that lasted this long reconnects with the shortest delay.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Minimum interval of polls that implausible announcements trigger.
const REPOLL_INTERVAL: Duration = Duration::from_millis(200);

/// The state of the chain on its active provider.
#[derive(Debug, Clone, Default)]
pub struct NodeView {
    /// Its newest block; `None` before the first answer.
    pub head: Option<BlockRef>,
    /// The position of the provider that reported the head.
    pub source: usize,
    /// The block of the tag `safe`; `None` before the first answer, and if the node has none.
    pub safe: Option<BlockRef>,
    /// The block of the tag `finalized`; `None` before the first answer, and if the node has none.
    pub finalized: Option<BlockRef>,
    /// Number of outages; after one it may be another node, or another chain.
    pub outages: u64,
    /// When the node last returned its head, changed or not. It alone does not wake receivers.
    pub last_answer: Option<Instant>,
    /// When the head last changed, to discard older answers.
    head_changed: Option<Instant>,
}

impl NodeView {
    /// Records a head requested at `requested_at`. A head received since is newer and stays.
    fn update_head(&mut self, head: BlockRef, source: usize, requested_at: Instant) -> bool {
        self.last_answer = Some(Instant::now());
        if self.head == Some(head) {
            // The same head from another provider is a change: it may be more trusted.
            return std::mem::replace(&mut self.source, source) != source;
        }
        if self
            .head_changed
            .is_some_and(|head_changed| head_changed > requested_at)
        {
            return false;
        }
        self.head = Some(head);
        self.source = source;
        self.head_changed = Some(Instant::now());
        true
    }
}

/// Follows the active provider of a chain and publishes its view.
pub struct HeadFollower {
    node: Arc<Providers>,
    chain_id: ChainId,
    poll_interval: Duration,
    provider_poll: Duration,
    request_timeout: Duration,
    /// Announced heads up to this many blocks above the known one are accepted.
    near_blocks: u64,
    view: watch::Sender<NodeView>,
}

impl HeadFollower {
    /// Prepares to follow `node`; the receiver holds the newest view once [`HeadFollower::run`] runs.
    pub fn new(
        config: &ChainConfig,
        node: Arc<Providers>,
    ) -> Result<(Self, watch::Receiver<NodeView>), NodeError> {
        let providers = config.named_providers();
        for url in providers
            .iter()
            .filter_map(|(_, provider)| provider.ws_url.as_ref())
        {
            let text = url.expose();
            if !(text.starts_with("ws://") || text.starts_with("wss://")) {
                return Err(NodeError::Url {
                    key: "chains.ws_url",
                    reason: "it does not start with ws:// or wss://".to_owned(),
                    schemes: "ws://HOST:PORT or wss://HOST/PATH",
                });
            }
        }
        let (view, receiver) = watch::channel(NodeView::default());
        let follower = Self {
            node,
            chain_id: config.chain_id,
            poll_interval: Duration::from_millis(config.poll_interval_ms.max(1)),
            provider_poll: Duration::from_millis(config.provider_poll_ms.max(1)),
            request_timeout: Duration::from_millis(config.request_timeout_ms),
            near_blocks: config.lag_blocks,
            view,
        };
        Ok((follower, receiver))
    }

    /// Follows until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let following = async {
            tokio::join!(
                self.poll_head(),
                self.poll_providers(),
                self.poll_tags(),
                self.listen()
            );
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = following => {}
        }
    }

    async fn poll_head(&self) {
        let mut ticks = tokio::time::interval(self.poll_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reachable = true;
        loop {
            ticks.tick().await;
            let requested_at = Instant::now();
            let polled = self.node.head().await;
            self.node.review();
            match polled {
                Ok((source, Some(head))) => {
                    if !reachable {
                        tracing::info!(
                            chain_id = self.chain_id,
                            node = self.node.redacted_url(),
                            "the node is reachable again"
                        );
                    }
                    reachable = true;
                    self.view
                        .send_if_modified(|view| view.update_head(head, source, requested_at));
                }
                // A starting node has no head yet.
                Ok((_, None)) => {}
                Err(error) => {
                    // A node that limits the rate is reachable; poll again right after the pause.
                    if let Some(rest) = error.retry_delay() {
                        tokio::time::sleep(rest).await;
                        ticks.reset_immediately();
                        continue;
                    }
                    if reachable {
                        tracing::warn!(chain_id = self.chain_id, %error, "cannot poll the head; retrying");
                        self.view.send_modify(|view| view.outages += 1);
                    }
                    reachable = false;
                }
            }
        }
    }

    /// Polls the heads of all providers at an interval, if there are several.
    async fn poll_providers(&self) {
        if self.node.count() < 2 {
            return;
        }
        let mut ticks = tokio::time::interval(self.provider_poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.node.poll_all().await;
        }
    }

    /// Requests `safe` and `finalized` after the head changed, at most once per poll interval.
    async fn poll_tags(&self) {
        let mut view = self.view.subscribe();
        let mut asked_at = None;
        loop {
            let head = view.borrow_and_update().head;
            if head.is_some() && head != asked_at {
                let tags = tokio::try_join!(
                    self.node.tagged(Tag::Safe),
                    self.node.tagged(Tag::Finalized)
                );
                // The head poll logs outages.
                if let Ok((safe, finalized)) = tags {
                    asked_at = head;
                    self.view.send_if_modified(|view| {
                        let moved = (view.safe, view.finalized) != (safe, finalized);
                        (view.safe, view.finalized) = (safe, finalized);
                        moved
                    });
                }
                tokio::time::sleep(self.poll_interval).await;
                continue;
            }
            if view.changed().await.is_err() {
                return;
            }
        }
    }

    /// Subscribes to `newHeads` of the active provider.
    async fn listen(&self) {
        let mut active = self.node.active();
        loop {
            let source = *active.borrow_and_update();
            tokio::select! {
                changed = active.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = self.listen_to(source) => {}
            }
        }
    }

    /// Keeps a subscription open, reconnecting when it ends. The loss is logged once, until heads are announced again.
    async fn listen_to(&self, source: usize) {
        let provider = self.node.provider(source);
        let Some((provider, url)) =
            provider.and_then(|provider| Some((provider, provider.ws_url.as_ref()?)))
        else {
            return std::future::pending().await;
        };
        let mut backoff = NODE_BACKOFF;
        let mut lost = false;
        loop {
            let began = Instant::now();
            let mut announced = false;
            let listening = self.listen_once(source, provider, url, &mut announced, lost);
            let (reason, error) = listening.await;
            subscription_lost(self.chain_id, &provider.name, reason);
            if announced {
                lost = false;
            }
            if announced || began.elapsed() >= STABLE_AFTER {
                backoff.reset();
            }
            if !lost {
                tracing::warn!(chain_id = self.chain_id, %error, "newHeads subscription lost; polling the head");
                lost = true;
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Runs one subscription; returns why it ended. Sets `announced` at the first announcement.
    async fn listen_once(
        &self,
        source: usize,
        provider: &Provider,
        url: &Secret,
        announced: &mut bool,
        lost: bool,
    ) -> (&'static str, NodeError) {
        let opened =
            HeadSubscription::open(url, &provider.headers, self.chain_id, self.request_timeout);
        let mut heads = match opened.await {
            Ok(heads) => heads,
            Err(error) => return ("refused", error),
        };
        if !lost {
            tracing::info!(
                chain_id = self.chain_id,
                node = url.redacted_url(),
                "subscribed to newHeads"
            );
        }
        let mut view = self.view.subscribe();
        let height =
            |view: &watch::Receiver<NodeView>| view.borrow().head.map_or(0, |head| head.number);
        // The known height at the last announcement.
        let mut reached = height(&view);
        let mut last = Instant::now();
        let mut last_poll = None;
        loop {
            let next = tokio::select! {
                next = heads.next() => next,
                // Fails only without a sender, which is `self`.
                _ = view.changed() => {
                    let missed = height(&view).saturating_sub(reached);
                    if missed >= SILENT_BLOCKS && last.elapsed() >= SILENT_FOR {
                        return ("silent", NodeError::Unreachable {
                            url: url.redacted_url(),
                            reason: format!(
                                "no newHeads announcement for {:.1} s while the head moved by {missed} blocks",
                                last.elapsed().as_secs_f64()
                            ),
                        });
                    }
                    continue;
                }
            };
            let head = match next {
                Ok(head) => head,
                Err(error) => return ("closed", error),
            };
            if !std::mem::replace(announced, true) && lost {
                tracing::info!(
                    chain_id = self.chain_id,
                    node = url.redacted_url(),
                    "newHeads subscription recovered"
                );
            }
            match head.filter(|head| self.is_near(*head)) {
                Some(head) => {
                    self.node.record_head(source, head);
                    self.view
                        .send_if_modified(|view| view.update_head(head, source, Instant::now()));
                }
                // An implausible announcement triggers a poll, at a bounded rate.
                None if last_poll.is_none_or(|at: Instant| at.elapsed() >= REPOLL_INTERVAL) => {
                    last_poll = Some(Instant::now());
                    self.poll_now().await;
                }
                None => {}
            }
            (reached, last) = (height(&view), Instant::now());
        }
    }

    /// Whether an announced head is plausible. One far above the known head is polled first.
    fn is_near(&self, head: BlockRef) -> bool {
        let known = self.view.borrow().head;
        known.is_some_and(|known| head.number <= known.number.saturating_add(self.near_blocks))
    }

    /// Polls the head between two regular polls.
    async fn poll_now(&self) {
        let requested_at = Instant::now();
        // The head poll logs outages.
        if let Ok((source, Some(head))) = self.node.head().await {
            self.view
                .send_if_modified(|view| view.update_head(head, source, requested_at));
        }
    }

    /// Checks that a provider's WebSocket accepts the subscription; `Ok` if none is configured.
    pub async fn probe(config: &ChainConfig, provider: &ProviderConfig) -> Result<(), NodeError> {
        let Some(url) = &provider.ws_url else {
            return Ok(());
        };
        let time_limit = Duration::from_millis(config.request_timeout_ms);
        HeadSubscription::open(url, &provider.headers, config.chain_id, time_limit)
            .await
            .map(drop)
    }
}
