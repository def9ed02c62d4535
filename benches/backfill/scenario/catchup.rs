//! The catch-up of `chaincast serve`.

use super::backfill;
use crate::{bench::Bench, product::LoadMode, section::Section};

pub fn run(bench: &Bench) -> Section {
    let mut section = Section::new(
        "catchup",
        "Catch-up of `serve`",
        "The same for `chaincast serve --role indexer`, which starts with an empty database and is stopped when it \
         has the node's head. Its last 1,000 blocks (`announce_blocks`) are stored with their updates for \
         `new-block`, which are not rows of the four tables. The time ends there: indexes that it builds later are \
         not included.",
        backfill::COLUMNS,
    );
    section.rounds = backfill::compare(bench, &mut section, LoadMode::Serve);
    section
}
