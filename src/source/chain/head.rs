//! Where a node stands: its head, and its `safe` and `finalized` blocks.
//!
//! The head comes from `newHeads` over WebSocket when there is a URL for it, and from a poll every
//! `poll_interval_ms` in any case: the poll is the fallback, and the watchdog of a socket that went silent. What is
//! seen is a hint and no more; only the newest is kept, so a slow reader never holds anything up.
//!
//! With several providers the view is the active one's alone; all are asked every `provider_poll_ms` how high they are,
//! which decides who is the active one.

use std::{sync::Arc, time::Duration};

use alloy::{
    network::AnyNetwork,
    primitives::U64,
    providers::{Provider, RootProvider},
    pubsub::Subscription,
    rpc::client::ClientBuilder,
    transports::ws::WsConnect,
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    Backoff, ChainConfig, NodeError, ProviderConfig, Providers,
    rpc::{HeaderLink, Link, Tag},
};
use crate::model::{BlockRef, ChainId, Secret};

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
            let provider = self.node.provider(source);
            tokio::select! {
                changed = active.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = self.listen_to(source, provider.and_then(|provider| provider.ws_url.as_ref())) => {}
            }
        }
    }

    /// Listens for ever, and connects again whenever that ends.
    async fn listen_to(&self, source: usize, url: Option<&Secret>) {
        let Some(url) = url else {
            return std::future::pending().await;
        };
        let mut backoff = Backoff::default();
        let mut told = false;
        loop {
            let mut heard = false;
            let error = self.listen_once(source, url, &mut heard).await;
            if heard {
                backoff = Backoff::default();
                told = false;
            }
            if !told {
                tracing::warn!(chain_id = self.chain_id, %error, "newHeads is lost; the head is polled meanwhile");
                told = true;
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Why the subscription ended; `heard` is set once it stood.
    async fn listen_once(&self, source: usize, url: &Secret, heard: &mut bool) -> NodeError {
        let (_provider, mut heads) = match self.subscribe(url).await {
            Ok(subscribed) => subscribed,
            Err(error) => return error,
        };
        *heard = true;
        tracing::info!(
            chain_id = self.chain_id,
            node = url.redacted_url(),
            "listening to newHeads"
        );
        while let Ok(header) = heads.recv().await {
            let head = Link::from(header).block;
            self.node.heard(source, head);
            self.view
                .send_if_modified(|view| view.learn(head, source, Instant::now()));
        }
        NodeError::Unreachable {
            url: url.redacted_url(),
            reason: "the WebSocket closed".to_owned(),
        }
    }

    /// Subscribes to `newHeads` of the right chain. The provider must be kept: the subscription ends with it.
    async fn subscribe(
        &self,
        url: &Secret,
    ) -> Result<(RootProvider<AnyNetwork>, Subscription<HeaderLink>), NodeError> {
        // One attempt: waiting between attempts is done by the caller, with jitter.
        let connect = WsConnect::new(url.expose())
            .with_max_retries(1)
            .with_retry_interval(Duration::from_millis(1));
        let subscribing = async {
            let client = ClientBuilder::default().ws(connect).await?;
            let provider = RootProvider::<AnyNetwork>::new(client);
            let chain_id: U64 = provider.client().request("eth_chainId", ()).await?;
            let heads = provider.subscribe::<_, HeaderLink>(("newHeads",)).await?;
            Ok((provider, chain_id, heads))
        };
        let (provider, chain_id, heads) =
            match tokio::time::timeout(self.request_timeout, subscribing).await {
                Ok(Ok(subscribed)) => subscribed,
                Ok(Err(error)) => return Err(NodeError::of_transport(url, "eth_subscribe", error)),
                Err(_) => {
                    return Err(NodeError::Unreachable {
                        url: url.redacted_url(),
                        reason: "the subscription was not answered in time".to_owned(),
                    });
                }
            };
        if chain_id.to::<u64>() != self.chain_id {
            return Err(NodeError::WrongChain {
                url: url.redacted_url(),
                expected: self.chain_id,
                actual: chain_id.to(),
            });
        }
        Ok((provider, heads))
    }

    /// Whether a provider's WebSocket accepts the subscription; `Ok` when none is configured.
    pub async fn probe(config: &ChainConfig, provider: &ProviderConfig) -> Result<(), NodeError> {
        let (follower, _) = Self::new(config, Arc::new(Providers::new(config)?))?;
        match &provider.ws_url {
            Some(url) => follower.subscribe(url).await.map(drop),
            None => Ok(()),
        }
    }
}
