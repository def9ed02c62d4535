//! What `chaincast dev` needs around the service, started and stopped as one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::DevArgs;
use crate::{
    dev::{
        Anvil, AnvilOptions, Deployment, DevError, MarketOptions, Node, PrivatePostgres,
        deploy_or_load, run_market,
    },
    model::{B256, Secret},
    store::{Store, StoreConfig, StoreError, chain},
};

/// anvil's and Hardhat's customary id.
const CHAIN_ID: u64 = 31_337;
/// Ethereum's: blocks are final 64 behind the head. Shorter, and an anvil that was killed, whose state file is some
/// blocks old, would come back on another branch below a block that was final already.
const SLOTS_IN_AN_EPOCH: u64 = 32;

/// The embedded parts that run, and the addresses of all.
pub(super) struct Environment {
    pub data_dir: PathBuf,
    pub database_url: Secret,
    pub rpc_url: Secret,
    pub ws_url: Option<Secret>,
    pub chain_id: u64,
    /// Whether the node signs for its accounts and obeys the `anvil_` methods.
    pub is_anvil: bool,
    /// The first block that the database has of this chain: indexing goes on from there, whatever else was chosen.
    pub stored_start: Option<u64>,
    /// The demo contracts, when the node lets us deploy them: an anvil.
    pub deployment: Option<Deployment>,
    postgres: Option<PrivatePostgres>,
    anvil: Option<Anvil>,
    market: Option<(CancellationToken, JoinHandle<Result<(), DevError>>)>,
}

/// Why the environment could not be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the database indexes another chain {chain_id} than the node serves: block {number} {stored} is stored, the node \
         has {actual}; choose another --data-dir, or start with --reset to drop the index"
    )]
    DifferentChain {
        chain_id: u64,
        number: u64,
        stored: B256,
        actual: B256,
    },
}

impl Environment {
    pub async fn start(args: &DevArgs) -> Result<Self, EnvironmentError> {
        let data_dir = args.data_dir.clone();
        std::fs::create_dir_all(&data_dir).map_err(|source| DevError::File {
            doing: "create",
            path: data_dir.clone(),
            source,
        })?;
        let mut environment = Self {
            data_dir,
            database_url: Secret::new(args.database_url.clone().unwrap_or_default()),
            rpc_url: Secret::new(args.rpc_url.clone().unwrap_or_default()),
            ws_url: None,
            chain_id: CHAIN_ID,
            is_anvil: false,
            stored_start: None,
            deployment: None,
            postgres: None,
            anvil: None,
            market: None,
        };
        match environment.set_up(args).await {
            Ok(()) => Ok(environment),
            Err(error) => {
                // What was started before the failure is not left running, and a database that was made is not left.
                if let Err(error) = environment.abandon().await {
                    tracing::warn!(%error, "a part could not be stopped");
                }
                Err(error)
            }
        }
    }

    async fn set_up(&mut self, args: &DevArgs) -> Result<(), EnvironmentError> {
        if args.database_url.is_none() {
            let postgres = PrivatePostgres::start(&self.data_dir).await?;
            self.database_url = Secret::new(postgres.url());
            self.postgres = Some(postgres);
        }
        if args.rpc_url.is_none() {
            let anvil = Anvil::start(&AnvilOptions {
                port: args.anvil_port,
                block_time: Some(args.block_time),
                state_file: Some(self.data_dir.join("anvil.json")),
                chain_id: CHAIN_ID,
                slots_in_an_epoch: SLOTS_IN_AN_EPOCH,
                ..AnvilOptions::default()
            })
            .await?;
            self.rpc_url = Secret::new(anvil.http_url());
            self.anvil = Some(anvil);
        }
        let url = self.rpc_url.expose().to_owned();
        let node = Node::connect(&url)?;
        self.chain_id = node.chain_id().await?;
        if !args.reset {
            // Before anything is sent to a chain that is then refused.
            self.check_chain(&node).await?;
        }
        self.is_anvil = self.anvil.is_some() || node.is_anvil().await?;
        if self.is_anvil {
            // anvil serves both on one port; of other nodes nothing is known, so their head is polled.
            let ws_url = url.replacen("http", "ws", 1);
            if !args.no_demo {
                self.deployment = Some(deploy_or_load(&url, &self.data_dir).await?);
            }
            self.ws_url = Some(Secret::new(ws_url));
        }
        Ok(())
    }

    /// Refuses a node whose chain is not the one that the database indexes, and reads where that begins.
    async fn check_chain(&mut self, node: &Node) -> Result<(), EnvironmentError> {
        let store = Store::connect(&StoreConfig {
            url: self.database_url.clone(),
            ..StoreConfig::default()
        })
        .await?;
        let mut connection = store.pool().acquire().await.map_err(StoreError::from)?;
        let state = chain::state(&mut connection, self.chain_id).await?;
        drop(connection);
        store.close().await;
        self.stored_start = state.as_ref().map(|state| state.start_block);
        // Which chain it is without block 0, the indexer finds out: that block may have been replaced by a reorg.
        let stored = state.map(|state| state.identity);
        let Some(stored) = stored.filter(|identity| identity.number == 0) else {
            return Ok(());
        };
        match node.block_hash(stored.number).await {
            Ok(actual) if actual != stored.hash => Err(EnvironmentError::DifferentChain {
                chain_id: self.chain_id,
                number: stored.number,
                stored: stored.hash,
                actual,
            }),
            // The node may have no block 0: the indexer looks for another block that shows which chain it is.
            Ok(_) | Err(DevError::Answer { .. } | DevError::Rpc { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the demo market going, when there are contracts to trade on.
    pub fn open_market(&mut self, seed: Option<u64>, step: Duration) {
        let Some(deployment) = self.deployment.clone() else {
            return;
        };
        let stop = CancellationToken::new();
        let (rpc_url, token) = (self.rpc_url.clone(), stop.clone());
        let running = tokio::spawn(async move {
            run_market(
                rpc_url.expose(),
                &deployment,
                MarketOptions { seed, step },
                token,
            )
            .await
        });
        self.market = Some((stop, running));
    }

    /// Waits until an embedded part dies, and says which and why.
    pub async fn failed(&mut self) -> String {
        let postgres = async {
            match &mut self.postgres {
                Some(postgres) => postgres.exited().await,
                None => std::future::pending().await,
            }
        };
        let anvil = async {
            match &mut self.anvil {
                Some(anvil) => anvil.exited().await,
                None => std::future::pending().await,
            }
        };
        let market = async {
            match &mut self.market {
                Some((_, running)) => match running.await {
                    Ok(Err(error)) => format!("the demo market stopped: {error}"),
                    Ok(Ok(())) => "the demo market stopped".to_owned(),
                    Err(panic) => format!("the demo market stopped: {panic}"),
                },
                None => std::future::pending().await,
            }
        };
        let reason = tokio::select! {
            error = postgres => error.to_string(),
            error = anvil => error.to_string(),
            reason = market => {
                self.market = None;
                reason
            }
        };
        reason
    }

    /// Where the private database is, when it is not in the data dir.
    pub fn database_elsewhere(&self) -> Option<&Path> {
        let home = self.postgres.as_ref()?.home();
        let data_dir = self.data_dir.canonicalize().ok()?;
        (!home.starts_with(data_dir)).then_some(home)
    }

    /// Stops the market, then the chain, then the database; the first error is returned after all were stopped.
    pub async fn stop(self) -> Result<(), DevError> {
        self.end(true).await
    }

    /// As [`Environment::stop`], for a start that failed: a database that it made is removed.
    pub async fn abandon(self) -> Result<(), DevError> {
        self.end(false).await
    }

    async fn end(self, keep: bool) -> Result<(), DevError> {
        if let Some((stop, running)) = self.market {
            stop.cancel();
            if let Err(panic) = running.await {
                tracing::error!(%panic, "the demo market ended badly");
            }
        }
        let anvil = match self.anvil {
            Some(anvil) => anvil.stop().await,
            None => Ok(()),
        };
        let postgres = match self.postgres {
            Some(postgres) if keep => postgres.stop().await,
            Some(postgres) => postgres.stop_and_discard().await,
            None => Ok(()),
        };
        anvil.and(postgres)
    }
}
