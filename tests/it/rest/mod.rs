//! REST over a database that the tests fill themselves.

mod chain;
mod fixture;
mod outages;
mod prices;
mod problems;
mod updates;

use fixture::{Answer, Api};
