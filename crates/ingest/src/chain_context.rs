//! What the writers of all chains share.

use std::sync::Arc;

use super::{PriceSignals, TickDecoder};
use chaincast_bus::Publisher;
use chaincast_evm::contract::Contract;
use chaincast_protocol::ChainId;
use chaincast_store::Store;

/// Shared by the writers of all chains. Cheap to clone.
#[derive(Clone)]
pub struct ChainContext {
    /// The first configured chain, whose blocks are on `new-block`.
    pub first_chain: ChainId,
    /// The database that the writers write.
    pub store: Store,
    /// Hands the updates of each commit to the bus, after it.
    pub publisher: Publisher,
    /// The on-chain price sources, which decode ticks from the logs of new blocks.
    pub decoder: Arc<dyn TickDecoder>,
    /// Reports committed ticks and reorgs to the price writer.
    pub signals: PriceSignals,
    /// The configured contracts of all chains.
    pub contracts: Arc<[Contract]>,
}
