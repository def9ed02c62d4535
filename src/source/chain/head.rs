//! Where a node stands: its head, and its `safe` and `finalized` blocks.
//!
//! The head comes from `newHeads` over WebSocket when there is a URL for it, and from a poll every
//! `poll_interval_ms` in any case: the poll is the fallback, and the watchdog of a socket that went silent, which is
//! replaced. What is seen is a hint and no more; only the newest is kept, so a slow reader never holds anything up. An
//! announcement without a hash, or far above the known head, is not believed: it only leads to a poll.
//!
//! With several providers the view is the active one's alone; all are asked every `provider_poll_ms` how high they are,
//! which decides who is the active one.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    Backoff, ChainConfig, NodeError, ProviderConfig, Providers,
    providers::{Provider, subscription_lost},
    rpc::Tag,
    subscription::HeadSubscription,
};
use crate::model::{BlockRef, ChainId, Secret};

/// A subscription that announces nothing while the head moves by this many blocks, for at least this long, is replaced.
const SILENT_BLOCKS: u64 = 3;
const SILENT_FOR: Duration = Duration::from_secs(1);
/// One that stood for this long is replaced at once.
const STOOD: Duration = Duration::from_secs(60);
/// Announcements that are not believed lead to a poll at most this often.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What is known of the chain, as its active provider shows it.
#[derive(Debug, Clone, Default)]
pub struct NodeView {
    pub head: Option<BlockRef>,
    /// The position of the provider that told the head.
    pub source: usize,
    pub safe: Option<BlockRef>,
    pub finalized: Option<BlockRef>,
    /// Counts the times the node could not be asked; after such a time it may be another node, or another chain.
    pub outages: u64,
    /// When the node last told its head, be it news or not. That alone is no change that receivers wake for.
    pub heard: Option<Instant>,
    /// When the head was learnt, to tell an older answer from a newer one.
    learnt: Option<Instant>,
}

impl NodeView {
    /// Takes a head asked for at `asked`. One that came meanwhile is newer, and stays.
    fn learn(&mut self, head: BlockRef, source: usize, asked: Instant) -> bool {
        self.heard = Some(Instant::now());
        if self.head == Some(head) {
            // Another provider that shows the same is news: it may be believed more.
            return std::mem::replace(&mut self.source, source) != source;
        }
        if self.learnt.is_some_and(|learnt| learnt > asked) {
            return false;
        }
        self.head = Some(head);
        self.source = source;
        self.learnt = Some(Instant::now());
        true
    }
}

/// Follows the active one of a chain's providers and tells what it sees.
pub struct HeadFollower {
    node: Arc<Providers>,
    chain_id: ChainId,
    poll_interval: Duration,
    provider_poll: Duration,
    request_timeout: Duration,
    /// An announced head this many blocks above the known one is believed.
    near_blocks: u64,
    view: watch::Sender<NodeView>,
}

impl HeadFollower {
    /// Prepares to follow `node`; the receiver shows the newest view once [`HeadFollower::run`] runs.
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
        let (view, seen) = watch::channel(NodeView::default());
        let follower = Self {
            node,
            chain_id: config.chain_id,
            poll_interval: Duration::from_millis(config.poll_interval_ms.max(1)),
            provider_poll: Duration::from_millis(config.provider_poll_ms.max(1)),
            request_timeout: Duration::from_millis(config.request_timeout_ms),
            near_blocks: config.lag_blocks,
            view,
        };
        Ok((follower, seen))
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
            let asked = Instant::now();
            let told = self.node.head().await;
            self.node.review();
            match told {
                Ok((source, Some(head))) => {
                    if !reachable {
                        tracing::info!(
                            chain_id = self.chain_id,
                            node = self.node.shown_url(),
                            "the node answers again"
                        );
                    }
                    reachable = true;
                    self.view
                        .send_if_modified(|view| view.learn(head, source, asked));
                }
                // A node that starts has no head yet.
                Ok((_, None)) => {}
                Err(error) => {
                    // One that asks to be asked less is there, and is asked again as soon as its rest is over.
                    if let Some(rest) = error.rest() {
                        tokio::time::sleep(rest).await;
                        ticks.reset_immediately();
                        continue;
                    }
                    if reachable {
                        tracing::warn!(chain_id = self.chain_id, %error, "the head cannot be polled; trying on");
                        self.view.send_modify(|view| view.outages += 1);
                    }
                    reachable = false;
                }
            }
        }
    }

    /// Asks all providers for their heads, now and then, when there are several.
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

    /// Asks for `safe` and `finalized` after the head moved, at most once per poll interval.
    async fn poll_tags(&self) {
        let mut seen = self.view.subscribe();
        let mut asked_at = None;
        loop {
            let head = seen.borrow_and_update().head;
            if head.is_some() && head != asked_at {
                let tags = tokio::try_join!(
                    self.node.tagged(Tag::Safe),
                    self.node.tagged(Tag::Finalized)
                );
                // That the node cannot be asked is told by the poll of the head.
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
            if seen.changed().await.is_err() {
                return;
            }
        }
    }

    /// Listens to `newHeads` of whichever provider is active.
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

    /// Listens for ever, and connects again whenever that ends. That it ended is logged once, until heads are
    /// announced again.
    async fn listen_to(&self, source: usize) {
        let provider = self.node.provider(source);
        let Some((provider, url)) =
            provider.and_then(|provider| Some((provider, provider.ws_url.as_ref()?)))
        else {
            return std::future::pending().await;
        };
        let mut backoff = Backoff::default();
        let mut lost = false;
        loop {
            let began = Instant::now();
            let mut announced = false;
            let ended = self.listen_once(source, provider, url, &mut announced, lost);
            let (reason, error) = ended.await;
            subscription_lost(self.chain_id, &provider.name, reason);
            if announced {
                lost = false;
            }
            if announced || began.elapsed() >= STOOD {
                backoff = Backoff::default();
            }
            if !lost {
                tracing::warn!(chain_id = self.chain_id, %error, "newHeads is lost; the head is polled meanwhile");
                lost = true;
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Why the subscription ended; `announced` is set with the first announcement.
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
                "listening to newHeads"
            );
        }
        let mut view = self.view.subscribe();
        let height =
            |view: &watch::Receiver<NodeView>| view.borrow().head.map_or(0, |head| head.number);
        // What was known when something was last announced.
        let mut reached = height(&view);
        let mut last = Instant::now();
        let mut looked = None;
        loop {
            let next = tokio::select! {
                next = heads.next() => next,
                // It fails only without a sender, which is `self`.
                _ = view.changed() => {
                    let missed = height(&view).saturating_sub(reached);
                    if missed >= SILENT_BLOCKS && last.elapsed() >= SILENT_FOR {
                        return ("silent", NodeError::Unreachable {
                            url: url.redacted_url(),
                            reason: format!(
                                "newHeads announced nothing for {:.1} s, while the head moved by {missed} blocks",
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
                    "newHeads announces heads again"
                );
            }
            match head.filter(|head| self.is_near(*head)) {
                Some(head) => {
                    self.node.heard(source, head);
                    self.view
                        .send_if_modified(|view| view.learn(head, source, Instant::now()));
                }
                // A wrong or incomplete announcement is a reason to ask, but not too often.
                None if looked.is_none_or(|at: Instant| at.elapsed() >= LOOK_AGAIN) => {
                    looked = Some(Instant::now());
                    self.look().await;
                }
                None => {}
            }
            (reached, last) = (height(&view), Instant::now());
        }
    }

    /// Whether an announced head lies where the next one may be. One far above the known head is first asked for.
    fn is_near(&self, head: BlockRef) -> bool {
        let known = self.view.borrow().head;
        known.is_some_and(|known| head.number <= known.number.saturating_add(self.near_blocks))
    }

    /// Asks for the head, between two polls.
    async fn look(&self) {
        let asked = Instant::now();
        // That the node cannot be asked is told by the poll of the head.
        if let Ok((source, Some(head))) = self.node.head().await {
            self.view
                .send_if_modified(|view| view.learn(head, source, asked));
        }
    }

    /// Whether a provider's WebSocket accepts the subscription; `Ok` when none is configured.
    pub async fn probe(config: &ChainConfig, provider: &ProviderConfig) -> Result<(), NodeError> {
        let Some(url) = &provider.ws_url else {
            return Ok(());
        };
        let patience = Duration::from_millis(config.request_timeout_ms);
        HeadSubscription::open(url, &provider.headers, config.chain_id, patience)
            .await
            .map(drop)
    }
}
