//! `chaincast verify`: reads every block from the node again, with every configured check and that of senders, and lists
//! where the database differs from it, from what token contracts answer, or from itself. Read-only: it takes no
//! writer's lock, works beside a running indexer, and therefore does not move `verified_through` either.

mod caveat;
mod chain;
mod compare;
mod contracts;
mod patience;
mod progress;
mod report;
mod tokens;

use clap::Args;

use self::{chain::Verification, report::Report};
use super::{ConfigArgs, Failure, terminal::stop_signal};
use crate::{
    model::ChainId,
    store::{Store, StoreConfig},
};

/// Channels that are listed at most.
const MOST_CHANNELS: u32 = 1_000;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// First block to compare; the first indexed one when left out
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Last block to compare; the newest that is indexed when left out
    #[arg(long, value_name = "M")]
    to: Option<u64>,
    /// The chain to verify, by its EIP-155 id; all configured ones when left out
    #[arg(long, value_name = "ID")]
    chain: Option<ChainId>,
    /// Differences that are listed; the rest is counted
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
}

pub(super) async fn run(args: VerifyArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::Usage(format!("--from {from} is above --to {to}")));
    }
    let chains: Vec<_> = config
        .chains
        .iter()
        .filter(|chain| args.chain.is_none_or(|id| chain.chain_id == id))
        .collect();
    if let (true, Some(id)) = (chains.is_empty(), args.chain) {
        return Err(Failure::Usage(format!(
            "chain {id} is not among [[chains]] of {}",
            args.config.config.display()
        )));
    }
    let contracts = config.contracts()?;
    // Looking must not change anything; to look over whole tables takes the time that it takes.
    let database = StoreConfig {
        auto_migrate: false,
        statement_timeout_ms: 0,
        ..config.database.clone()
    };
    let stop = stop_signal().map_err(Failure::failed)?;
    let store = Store::connect(&database).await.map_err(Failure::failed)?;
    let mut report = Report::new(args.limit);
    let work = async {
        for chain in chains {
            let first = config.first_chain();
            let verification =
                Verification::begin(chain, first, &store, args.from, args.to).await?;
            let contracts = contracts.iter();
            let ours = contracts.filter(|contract| contract.chain_id == chain.chain_id);
            verification
                .run(ours.cloned().collect(), &mut report)
                .await?;
        }
        let faults = store.channel_faults(MOST_CHANNELS).await;
        for fault in faults.map_err(|error| error.to_string())? {
            report.line(format_args!("updates: {fault}"));
        }
        Ok(())
    };
    let done = tokio::select! {
        () = stop => Err("it was stopped before the end".to_owned()),
        done = work => done,
    };
    store.close().await;
    report.end(done).map_err(Failure::Failed)
}
