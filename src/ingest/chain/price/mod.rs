//! What the chain writer does for prices beyond decoding logs: asks contracts what they are, stores the answers that
//! they had when they were asked, averages the prices of pools, and decodes what was stored before a source was known.
//!
//! Everything that becomes a tick is of a stored block, is written by the chain's one writer, and goes with its block.

mod answers;
mod averages;
mod facts;
mod past;

use self::averages::view;
pub(super) use self::{answers::Answers, averages::Averages, past::Pasts};
