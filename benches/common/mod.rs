//! Code that the suites share.

pub mod arguments;
pub mod child_process;
pub mod machine;
pub mod postgres;
pub mod process;
pub mod report;
pub mod section;
pub mod stats;
pub mod usage;
