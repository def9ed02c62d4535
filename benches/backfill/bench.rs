//! The environment of every scenario: the thoroughness, the database server and the node.

use std::cell::{RefCell, RefMut};

use crate::{node::NodeProcess, postgres::Postgres};

pub struct Bench {
    pub postgres: Postgres,
    /// Short runs, to check that everything works.
    pub quick: bool,
    pub rounds: usize,
    node: RefCell<Option<NodeProcess>>,
}

impl Bench {
    pub fn new(postgres: Postgres, quick: bool, rounds: usize) -> Self {
        Self {
            postgres,
            quick,
            rounds,
            node: RefCell::new(None),
        }
    }

    /// One of two numbers: for a full run or for a quick one.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Number of blocks of a run.
    pub fn blocks(&self) -> u64 {
        self.pick(5_000, 1_000)
    }

    /// The node, with `blocks` blocks above block 0 as its head. A longer chain begins with the blocks of a shorter
    /// one, so a process that has enough blocks is reused.
    pub fn node(&self, blocks: u64) -> RefMut<'_, NodeProcess> {
        let mut node = self.node.borrow_mut();
        if node.as_ref().is_none_or(|node| node.blocks < blocks) {
            // One process at a time: a chain is a gigabyte or more.
            drop(node.take());
            self.print_progress(&format!("creating a chain of {blocks} blocks"));
            *node = Some(NodeProcess::start(blocks));
        }
        let mut node = RefMut::map(node, |node| node.as_mut().expect("it was just started"));
        node.set_head(blocks);
        node
    }

    /// Prints progress.
    pub fn print_progress(&self, text: &str) {
        println!("  {text}");
    }
}
