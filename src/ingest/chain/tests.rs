//! The chain writer between a real PostgreSQL and a real anvil.

mod contract;
mod faults;
mod follow;
mod gate;
mod inverse;
mod proxy;
mod stage;
mod stored;
