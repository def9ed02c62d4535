//! The chain writer's price work beyond decoding logs: reads contracts and stores their answers, averages the prices of
//! pools, and backfills ticks of sources that were added later.
//!
//! Every tick belongs to a stored block, is written by the chain's single writer, and is dropped with its block.

mod averages;
mod backfill;
mod contract_reads;
mod pending_answers;
mod stored_answers;

use self::averages::view;
pub(super) use self::{
    averages::Averages, backfill::PriceBackfills, pending_answers::PendingAnswers,
};
