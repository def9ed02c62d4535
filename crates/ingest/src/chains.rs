//! The writers of all chains of one process. Each is a failure domain of its own.
//!
//! A chain whose node is unreachable retries without delaying the other chains, at the start and later. A chain with an
//! error that a retry cannot fix (another chain behind its URL, a reorg below finality) is halted: the log, `/status`
//! and a metric report why and what to do, and the other chains continue. The set ends by itself only when every chain
//! is halted.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    ChainContext,
    chain::{ChainIngest, IngestError, Retry},
};
use chaincast_evm::chain::ChainConfig;
use chaincast_protocol::ChainId;
use chaincast_store::{chain as stored, writer::Stream};

/// How long storing a halt may take: an unresponsive database must not delay the shutdown.
const HALT_TIMEOUT: Duration = Duration::from_secs(5);

/// One writer for each chain.
pub struct ChainWriters {
    writers: Vec<ChainTask>,
    context: ChainContext,
}

enum ChainTask {
    /// The only configured chain: its errors fail the start.
    Connected(ChainId, Box<ChainIngest>),
    /// One of several chains: it connects in its own task.
    Unconnected(Box<ChainConfig>),
}

impl ChainWriters {
    /// With one chain, verifies the node's identity, so that a wrong URL fails the start. With several chains nothing is
    /// requested yet: an unreachable node must not delay the start of the other chains.
    pub async fn new(configs: &[ChainConfig], context: ChainContext) -> Result<Self, IngestError> {
        let mut writers = Vec::with_capacity(configs.len());
        for config in configs {
            describe(config.chain_id);
            writers.push(match configs.len() {
                1 => {
                    let connected = ChainIngest::connect(config.clone(), context.clone()).await;
                    let connected = match connected {
                        Ok(connected) => connected,
                        Err(error) => {
                            if error.is_final() {
                                context.record_halt(config.chain_id, &error).await;
                            }
                            return Err(error);
                        }
                    };
                    ChainTask::Connected(config.chain_id, Box::new(connected))
                }
                _ => ChainTask::Unconnected(Box::new(config.clone())),
            });
        }
        Ok(Self { writers, context })
    }

    /// Indexes until `stop`, or until every chain is halted; then returns the error of the last one.
    pub async fn run(self, stop: CancellationToken) -> Result<(), IngestError> {
        let mut running = JoinSet::new();
        for writer in self.writers {
            let (context, stop) = (self.context.clone(), stop.clone());
            running.spawn(async move {
                match writer {
                    ChainTask::Connected(chain_id, ingest) => (chain_id, ingest.run(stop).await),
                    ChainTask::Unconnected(config) => (
                        config.chain_id,
                        connect_and_run(*config, context, stop).await,
                    ),
                }
            });
        }
        while let Some(ended) = running.join_next().await {
            let (chain_id, ended) = match ended {
                Ok(ended) => ended,
                Err(failed) => match failed.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // These tasks are never aborted.
                    Err(_) => continue,
                },
            };
            let Err(error) = ended else { continue };
            self.context.record_halt(chain_id, &error).await;
            if running.is_empty() && !stop.is_cancelled() {
                return Err(error);
            }
            tracing::error!(chain_id, %error, "the chain is halted; the other chains continue");
        }
        Ok(())
    }
}

/// Retries until the node answers, then indexes.
async fn connect_and_run(
    config: ChainConfig,
    context: ChainContext,
    stop: CancellationToken,
) -> Result<(), IngestError> {
    let mut retry = Retry::new(config.chain_id);
    loop {
        let connected = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            connected = ChainIngest::connect(config.clone(), context.clone()) => connected,
        };
        match connected {
            Ok(ingest) => return ingest.run(stop).await,
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                let wait = retry.delay_after(&error);
                if let IngestError::Store(error) = &error {
                    let stream = Stream::Chain(config.chain_id);
                    context.store.record_writer_failure(stream, error).await;
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

impl ChainContext {
    /// Reports a halted chain as a metric and in the store, where every process finds it.
    async fn record_halt(&self, chain_id: ChainId, error: &IngestError) {
        metrics::gauge!("chaincast_chain_halted", "chain_id" => chain_id.to_string()).set(1.0);
        let storing = async {
            let mut connection = self.store.pool().acquire().await?;
            stored::halt(&mut connection, chain_id, &error.to_string()).await
        };
        match tokio::time::timeout(HALT_TIMEOUT, storing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(chain_id, %error, "cannot store the chain's halt");
            }
            Err(_) => {
                tracing::warn!(
                    chain_id,
                    "cannot store the chain's halt: the database did not answer in time"
                )
            }
        }
    }
}

fn describe(chain_id: ChainId) {
    metrics::describe_gauge!(
        "chaincast_chain_halted",
        "1 while the chain's writer is halted and needs an operator: see /status"
    );
    metrics::gauge!("chaincast_chain_halted", "chain_id" => chain_id.to_string()).set(0.0);
}
