//! The queries of readers with example arguments, for `make explain` and the test of their plans. The file of each
//! aggregate has its own, in a function `explained`.

use std::{future::Future, pin::Pin};

use super::{Store, StoreError};
use chaincast_protocol::{Address, B256, ChainId, Channel, Token};

/// Arguments that have results in the database of the caller.
#[derive(Debug, Clone)]
pub struct Known {
    /// EIP-155 id of the chain.
    pub chain: ChainId,
    /// Items per page.
    pub limit: u32,
    /// A height in the middle of the chain.
    pub number: u64,
    /// Hash of the block there.
    pub block: B256,
    /// Hash of one of its transactions.
    pub transaction: B256,
    /// An account with a large share of the traffic.
    pub busy: Address,
    /// An account with almost no traffic.
    pub quiet: Address,
    /// A tracked token.
    pub token: Token,
    /// A channel with updates.
    pub channel: Channel,
}

/// A query that has not run yet.
pub struct Query<'a> {
    /// The name of its function, and what the arguments are.
    pub name: &'static str,
    /// Runs it once and drops what it returns.
    pub run: Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>,
}

impl<'a> Query<'a> {
    pub(crate) fn new<T: 'a>(
        name: &'static str,
        read: impl Future<Output = Result<T, StoreError>> + 'a,
    ) -> Self {
        let run = Box::pin(async move { read.await.map(drop) });
        Self { name, run }
    }
}

/// The queries of one file.
pub(crate) type Explained = for<'a> fn(&'a Store, &'a Known) -> Vec<Query<'a>>;
