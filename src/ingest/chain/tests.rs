//! The chain writer between a real PostgreSQL and a real anvil, or nodes that err as a script says.

mod amsterdam;
mod announcements;
mod away;
mod backfill;
mod branches;
mod contract;
mod faults;
mod follow;
mod gate;
mod header;
mod identity;
mod inverse;
mod lab;
mod large;
mod modes;
mod price;
mod proof;
mod property;
mod providers;
mod proxy;
mod repeated;
mod scripts;
mod stage;
mod stored;
mod watched;
mod watches;
