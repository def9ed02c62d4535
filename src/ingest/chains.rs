//! The writers of all chains of one process, each a failure domain of its own.
//!
//! A chain whose node is dead waits, and the others neither wait for it nor know of it, at the start as later. A chain
//! that waiting cannot mend (another chain behind its URL, a reorg below finality) is halted: the log, `/status` and a
//! metric say so and what to do, and the others go on. The set ends by itself only when no chain is left.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    PriceSignals,
    chain::{ChainIngest, IngestError, Outage, TickDecoder},
};
use crate::{
    bus::Publisher,
    model::ChainId,
    source::{chain::ChainConfig, contract::Contract},
    store::{Store, chain as stored, writer::Stream},
};

/// That a chain is halted is told where it can be; a database that does not answer must not hold up the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the writers of all chains share. Cheap to clone.
#[derive(Clone)]
pub struct ChainContext {
    /// The first configured chain, whose blocks are on `new-block`.
    pub first_chain: ChainId,
    pub store: Store,
    pub publisher: Publisher,
    pub decoder: Arc<dyn TickDecoder>,
    pub signals: PriceSignals,
    /// Of all chains.
    pub contracts: Arc<[Contract]>,
}

/// One writer a chain.
pub struct ChainWriters {
    writers: Vec<ChainWriter>,
    context: ChainContext,
}

enum ChainWriter {
    /// Of the only chain: what is wrong with it failed the start.
    Connected(ChainId, Box<ChainIngest>),
    /// Of one of several: it connects by itself.
    Waiting(Box<ChainConfig>),
}

impl ChainWriters {
    /// With one chain, asks its node who it is, so that a wrong URL fails the start (see [`ChainIngest::connect`]).
    /// With several nothing is asked yet: one dead node must not hold up the start of the others.
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
                                context.halted(config.chain_id, &error).await;
                            }
                            return Err(error);
                        }
                    };
                    ChainWriter::Connected(config.chain_id, Box::new(connected))
                }
                _ => ChainWriter::Waiting(Box::new(config.clone())),
            });
        }
        Ok(Self { writers, context })
    }

    /// Indexes until `stop`, or until the last chain is halted: then with what halted that.
    pub async fn run(self, stop: CancellationToken) -> Result<(), IngestError> {
        let mut running = JoinSet::new();
        for writer in self.writers {
            let (context, stop) = (self.context.clone(), stop.clone());
            running.spawn(async move {
                match writer {
                    ChainWriter::Connected(chain_id, ingest) => (chain_id, ingest.run(stop).await),
                    ChainWriter::Waiting(config) => {
                        (config.chain_id, follow(*config, context, stop).await)
                    }
                }
            });
        }
        while let Some(ended) = running.join_next().await {
            let (chain_id, ended) = match ended {
                Ok(ended) => ended,
                Err(failed) => match failed.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // Nobody aborts them.
                    Err(_) => continue,
                },
            };
            let Err(error) = ended else { continue };
            self.context.halted(chain_id, &error).await;
            if running.is_empty() && !stop.is_cancelled() {
                return Err(error);
            }
            tracing::error!(chain_id, %error, "this chain is halted; the others go on");
        }
        Ok(())
    }
}

/// Connects when the node answers, and indexes.
async fn follow(
    config: ChainConfig,
    context: ChainContext,
    stop: CancellationToken,
) -> Result<(), IngestError> {
    let mut outage = Outage::none(config.chain_id);
    loop {
        let connected = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            connected = ChainIngest::connect(config.clone(), context.clone()) => connected,
        };
        match connected {
            Ok(ingest) => return ingest.run(stop).await,
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                let wait = outage.failed(&error);
                if let IngestError::Store(error) = &error {
                    let stream = Stream::Chain(config.chain_id);
                    context.store.writer_failed(stream, error).await;
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
    /// Tells that a chain is halted, in the store for every process that is asked.
    async fn halted(&self, chain_id: ChainId, error: &IngestError) {
        metrics::gauge!("chaincast_chain_halted", "chain_id" => chain_id.to_string()).set(1.0);
        let noted = async {
            let mut connection = self.store.pool().acquire().await?;
            stored::halt(&mut connection, chain_id, &error.to_string()).await
        };
        match tokio::time::timeout(PATIENCE, noted).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(chain_id, %error, "that the chain is halted cannot be stored");
            }
            Err(_) => {
                tracing::warn!(
                    chain_id,
                    "that the chain is halted cannot be stored in time"
                )
            }
        }
    }
}

fn describe(chain_id: ChainId) {
    metrics::describe_gauge!(
        "chaincast_chain_halted",
        "1 when the chain's writer has stopped until an operator acts, see /status"
    );
    metrics::gauge!("chaincast_chain_halted", "chain_id" => chain_id.to_string()).set(0.0);
}
