//! `chaincast verify`: reads every block from the node again with all configured checks plus the sender check, and
//! lists where the database differs from the node, from what token contracts return, or from itself. Read-only: it
//! takes no writer lock and runs beside an indexer. Therefore it does not advance `verified_through`.

mod caveats;
mod chain;
mod compare;
mod contracts;
mod progress;
mod range;
mod report;
mod retry;
mod tokens;

use clap::Args;

use self::{chain::Verification, report::Report};
use super::{ConfigArgs, Failure, terminal::stop_signal};
use chaincast_protocol::ChainId;
use chaincast_store::{Store, StoreConfig};

/// Most channels with faults that are reported.
const MAX_CHANNEL_FAULTS: u32 = 1_000;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// First block to compare; default: the first indexed block
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Last block to compare; default: the newest indexed block
    #[arg(long, value_name = "M")]
    to: Option<u64>,
    /// Chain id (EIP-155) to verify; default: all configured chains
    #[arg(long, value_name = "ID")]
    chain: Option<ChainId>,
    /// Most differences to list; the rest are only counted
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
            "chain {id} is not configured in [[chains]] of {}",
            args.config.config.display()
        )));
    }
    let contracts = config.contracts()?;
    // Verification must not change anything. Its queries read whole tables, so they have no time limit.
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
                Verification::prepare(chain, first, &store, args.from, args.to).await?;
            let contracts = contracts.iter();
            let own_contracts = contracts.filter(|contract| contract.chain_id == chain.chain_id);
            verification
                .run(own_contracts.cloned().collect(), &mut report)
                .await?;
        }
        let faults = store.channel_faults(MAX_CHANNEL_FAULTS).await;
        for fault in faults.map_err(|error| error.to_string())? {
            report.line(format_args!("updates: {fault}"));
        }
        Ok(())
    };
    let done = tokio::select! {
        () = stop => Err("stopped before the end".to_owned()),
        done = work => done,
    };
    store.close().await;
    report.end(done).map_err(Failure::Failed)
}
