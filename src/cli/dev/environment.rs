//! The components that `chaincast dev` runs around the service. They are started and stopped together.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::DevArgs;
use chaincast_base::Secret;
use chaincast_dev::{
    Anvil, AnvilOptions, Deployment, DevError, MarketOptions, Node, PrivatePostgres,
    deploy_or_load, run_market,
};
use chaincast_protocol::B256;
use chaincast_store::{Store, StoreConfig, StoreError, chain};

/// The default id of anvil and Hardhat.
const CHAIN_ID: u64 = 31_337;
/// Ethereum's value: blocks are final 64 behind the head. With a smaller value, a killed anvil could restart from its
/// older state file on a branch that forks below a final block.
const SLOTS_IN_AN_EPOCH: u64 = 32;

/// The running components, and their addresses.
pub(super) struct Environment {
    pub data_dir: PathBuf,
    pub database_url: Secret,
    pub rpc_url: Secret,
    pub ws_url: Option<Secret>,
    pub chain_id: u64,
    /// Whether the node signs for its accounts and obeys the `anvil_` methods.
    pub is_anvil: bool,
    /// The first indexed block of this chain in the database. Indexing continues from there, regardless of other
    /// settings.
    pub stored_start: Option<u64>,
    /// The demo contracts; `None` if the node is not an anvil, or with `--no-demo`.
    pub deployment: Option<Deployment>,
    postgres: Option<PrivatePostgres>,
    anvil: Option<Anvil>,
    market: Option<(CancellationToken, JoinHandle<Result<(), DevError>>)>,
}

/// Why the environment cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    #[error(transparent)]
    Dev(#[from] DevError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "the database and the node have different chains with id {chain_id}: block {number} is {stored} in the database and \
         {actual} on the node; choose another --data-dir, or start with --reset to drop the index"
    )]
    DifferentChain {
        chain_id: u64,
        number: u64,
        stored: B256,
        actual: B256,
    },
}

/// What becomes of the database when the environment ends.
enum Database {
    Keep,
    /// Removed if this start created it.
    DiscardIfNew,
}

impl Environment {
    pub(super) async fn start(args: &DevArgs) -> Result<Self, EnvironmentError> {
        let data_dir = args.data_dir.clone();
        std::fs::create_dir_all(&data_dir).map_err(|source| DevError::File {
            operation: "create",
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
                // Stop what was started before the failure, and remove a database that this start created.
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
            // Before anything is sent to a chain that may be refused.
            self.check_chain(&node).await?;
        }
        self.is_anvil = self.anvil.is_some() || node.is_anvil().await?;
        if self.is_anvil {
            // anvil serves HTTP and WebSocket on one port. Other nodes may not, so their head is polled.
            let ws_url = url.replacen("http", "ws", 1);
            if !args.no_demo {
                self.deployment = Some(deploy_or_load(&url, &self.data_dir).await?);
            }
            self.ws_url = Some(Secret::new(ws_url));
        }
        Ok(())
    }

    /// Refuses a node whose chain differs from the indexed one, and reads the first indexed block.
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
        // Without block 0, the indexer identifies the chain: the stored identity block may have been replaced by a
        // reorg.
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
            // The node may have no block 0: the indexer identifies the chain by another block.
            Ok(_) | Err(DevError::Answer { .. } | DevError::Rpc { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Starts the demo market, if the demo contracts are deployed.
    pub(super) fn open_market(&mut self, seed: Option<u64>, step: Duration) {
        let Some(deployment) = self.deployment.clone() else {
            return;
        };
        let stop = CancellationToken::new();
        let (rpc_url, stopped) = (self.rpc_url.clone(), stop.clone());
        let running = tokio::spawn(async move {
            run_market(
                rpc_url.expose(),
                &deployment,
                MarketOptions { seed, step },
                stopped,
            )
            .await
        });
        self.market = Some((stop, running));
    }

    /// Waits until a component fails; returns which one and why.
    pub(super) async fn failure(&mut self) -> String {
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

    /// The directory of the private database, if it is outside the data directory.
    pub(super) fn database_elsewhere(&self) -> Option<&Path> {
        let home = self.postgres.as_ref()?.home();
        let data_dir = self.data_dir.canonicalize().ok()?;
        (!home.starts_with(data_dir)).then_some(home)
    }

    /// Stops the market, then the chain, then the database. Stops all of them even after an error, and returns the
    /// first one.
    pub(super) async fn stop(self) -> Result<(), DevError> {
        self.end(Database::Keep).await
    }

    /// As [`Environment::stop`], after a failed start: also removes a database that this start created.
    pub(super) async fn abandon(self) -> Result<(), DevError> {
        self.end(Database::DiscardIfNew).await
    }

    async fn end(self, database: Database) -> Result<(), DevError> {
        if let Some((stop, running)) = self.market {
            stop.cancel();
            if let Err(panic) = running.await {
                tracing::error!(%panic, "the demo market panicked");
            }
        }
        let anvil = match self.anvil {
            Some(anvil) => anvil.stop().await,
            None => Ok(()),
        };
        let postgres = match self.postgres {
            Some(postgres) => match database {
                Database::Keep => postgres.stop().await,
                Database::DiscardIfNew => postgres.stop_and_discard().await,
            },
            None => Ok(()),
        };
        anvil.and(postgres)
    }
}
