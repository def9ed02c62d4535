//! `chaincast migrate`: applies the pending migrations.

use super::{ConfigArgs, Failure};
use chaincast_store::Store;

pub(super) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let config = args.load()?;
    let version = Store::migrate(&config.database)
        .await
        .map_err(Failure::failed)?;
    println!("the database is at migration {version}");
    Ok(())
}
