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
    pub store: Store,
    pub publisher: Publisher,
    pub decoder: Arc<dyn TickDecoder>,
    pub signals: PriceSignals,
    /// The configured contracts of all chains.
    pub contracts: Arc<[Contract]>,
}
