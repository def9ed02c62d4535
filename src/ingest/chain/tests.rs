//! The chain writer between a real PostgreSQL and a real anvil.

mod backfill;
mod faults;
mod follow;
mod gate;
mod inverse;
mod modes;
mod proxy;
mod stage;
