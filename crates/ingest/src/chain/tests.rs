//! The chain writer with a real PostgreSQL and a real anvil, or with scripted faulty nodes.

mod amsterdam;
mod announcements;
mod anvil_fixture;
mod backfill;
mod branches;
mod contract;
mod faults;
mod follow;
mod gate;
mod header;
mod identity;
mod inverse;
mod large;
mod modes;
mod price;
mod proof;
mod property;
mod providers;
mod proxy;
mod repeated;
mod scripted_fixture;
mod scripts;
mod stored;
mod unreachable_node;
mod watched;
mod watches;
