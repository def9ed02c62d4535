//! What the suites share.

pub mod arguments;
pub mod machine;
pub mod postgres;
pub mod process;
pub mod report;
pub mod running;
pub mod section;
pub mod stats;
pub mod usage;
