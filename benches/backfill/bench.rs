//! What every scenario is given: how thorough to be, the database server and the node.

use std::cell::{RefCell, RefMut};

use crate::{node::NodeProcess, postgres::Postgres};

pub struct Bench {
    pub postgres: Postgres,
    /// Short runs, to see that everything works.
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

    /// One of two numbers: in full, or when it has to be quick.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Blocks of a run.
    pub fn blocks(&self) -> u64 {
        self.pick(5_000, 1_000)
    }

    /// The node, with `blocks` blocks above block 0 as its head. A longer chain begins like a shorter one, so that a
    /// process that has enough of them is kept.
    pub fn node(&self, blocks: u64) -> RefMut<'_, NodeProcess> {
        let mut node = self.node.borrow_mut();
        if node.as_ref().is_none_or(|node| node.blocks < blocks) {
            // One at a time: a chain is a gigabyte or more.
            drop(node.take());
            self.say(&format!("making a chain of {blocks} blocks"));
            *node = Some(NodeProcess::start(blocks));
        }
        let mut node = RefMut::map(node, |node| node.as_mut().expect("it was just started"));
        node.set_head(blocks);
        node
    }

    /// Says what is going on.
    pub fn say(&self, text: &str) {
        println!("  {text}");
    }
}
