//! Random chains with faulty nodes: after every step the database equals the canonical branch, and the
//! updates rebuild it.
//!
//! `CHAINCAST_SEED=N` runs one case alone, and a failure prints its seed and what happened before it.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    anvil_fixture::{CHAIN, RunningWriter, eventually},
    scripted_fixture::{ReplayedChain, ScriptedFixture, config_of},
};
use chaincast_evm::chain::{ChainConfig, Role};
use chaincast_protocol::{Address, BlockRef};
use chaincast_testkit::faulty_node::{BlockTree, Contents, Fault, FaultyNode, Kind};

/// The number of seeds of every run, and steps of each.
const CASES: std::ops::Range<u64> = 0..4;
const STEPS: usize = 25;
/// Blocks that a reorg may drop here; finality stays below.
const DEEPEST: u64 = 12;

/// One random chain, its nodes, and the writer that follows them.
struct Case {
    random: StdRng,
    tree: BlockTree,
    nodes: Vec<FaultyNode>,
    config: ChainConfig,
    /// Abandoned tips, to return to.
    left: Vec<BlockRef>,
    salt: u64,
    /// The steps so far, for the failure message.
    steps: Vec<String>,
}

impl Case {
    async fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let tree = BlockTree::new(CHAIN);
        let mut nodes = Vec::new();
        for _ in 0..random.random_range(1..=2) {
            nodes.push(FaultyNode::from_tree(&tree).await.unwrap());
        }
        let all: Vec<_> = nodes.iter().map(|node| (node, Role::All)).collect();
        let config = ChainConfig {
            start_block: random.random_range(0..=2),
            announce_blocks: [4, 1_000][random.random_range(0..2)],
            batch_blocks: random.random_range(1..=6),
            ..config_of(&all)
        };
        let steps = vec![format!(
            "seed {seed}: {} nodes, start_block {}, announce_blocks {}, batch_blocks {}",
            nodes.len(),
            config.start_block,
            config.announce_blocks,
            config.batch_blocks
        )];
        Self {
            random,
            tree,
            nodes,
            config,
            left: Vec::new(),
            salt: 0,
            steps,
        }
    }

    fn contents(&mut self) -> Contents {
        self.salt += 1;
        let transactions = [0, 0, 1, 2][self.random.random_range(0..4)];
        Contents::transfers(transactions, self.salt)
    }

    fn mine(&mut self, blocks: u64) {
        self.steps.push(format!("mine {blocks}"));
        for _ in 0..blocks {
            let contents = self.contents();
            self.tree.mine(&contents);
        }
    }

    /// The chain grows, leaves a branch, or returns to one.
    fn move_chain(&mut self) {
        let head = self.tree.head();
        let floor = self.tree.finalized().map_or(0, |block| block.number);
        let floor = floor.max(self.config.start_block);
        let deepest = DEEPEST.min(head.number.saturating_sub(floor));
        match self.random.random_range(0..10) {
            0..=3 => {
                let blocks = self.random.random_range(1..=4);
                self.mine(blocks);
            }
            4..=7 if deepest > 0 => {
                let depth = self.random.random_range(1..=deepest);
                let blocks = self.random.random_range(1..=depth + 2);
                self.steps.push(format!("drop {depth}, mine {blocks}"));
                let contents: Vec<_> = (0..blocks).map(|_| self.contents()).collect();
                self.tree.reorg(depth, &contents);
                self.left.push(head);
            }
            8 => {
                let back = self.left.pop().filter(|tip| self.can_go_to(*tip, floor));
                let Some(tip) = back else { return self.mine(1) };
                self.steps
                    .push(format!("back to {} {}", tip.number, tip.hash));
                self.tree.set_head(tip.hash);
                self.left.push(head);
            }
            9 if head.number > DEEPEST => {
                let number = (head.number - DEEPEST).max(floor);
                self.steps.push(format!("finalize {number}"));
                let block = self.tree.at(number);
                self.tree.tag(Some(block), Some(block));
                self.mine(1);
            }
            _ => self.mine(1),
        }
    }

    /// Whether a branch contains the finalized block, forks within the depth limit, and has a block that the current one lacks.
    fn can_go_to(&self, tip: BlockRef, floor: u64) -> bool {
        let now: Vec<BlockRef> = self.refs(self.tree.head());
        let then = self.refs(tip);
        let common = then.iter().find(|block| now.contains(block));
        let Some(common) = common else { return false };
        let head = self.tree.head().number;
        *common != tip && common.number >= floor && head - common.number <= 3 * DEEPEST
    }

    fn refs(&self, tip: BlockRef) -> Vec<BlockRef> {
        let branch = self.tree.branch(tip.hash);
        branch.iter().map(|block| block.block_ref()).collect()
    }

    /// Injects a fault into a node, a few times.
    fn fail(&mut self) {
        let kinds = [
            Kind::Null,
            Kind::Empty,
            Kind::Keep(0),
            Kind::OmitLogs,
            Kind::Lag(2),
            Kind::OtherBlock(-1),
            Kind::Alter {
                at: "/stateRoot".to_owned(),
                to: serde_json::json!(Address::ZERO.into_word()),
            },
            Kind::Error {
                code: -32_000,
                message: "internal error".to_owned(),
            },
            Kind::Status {
                code: 503,
                retry_after: None,
            },
            Kind::Cut,
            Kind::CutAfter(30),
            Kind::Malformed,
        ];
        let methods = [
            "eth_getBlockByNumber",
            "eth_getBlockByHash",
            "eth_getBlockReceipts",
            "newHeads",
        ];
        let random = &mut self.random;
        let fault = Fault::new(
            methods[random.random_range(0..methods.len())],
            kinds[random.random_range(0..kinds.len())].clone(),
        )
        .after(random.random_range(0..3))
        .times(random.random_range(1..=2));
        let node = random.random_range(0..self.nodes.len());
        self.steps.push(format!("node {node}: {fault:?}"));
        self.nodes[node].add(fault);
    }

    /// Starts the writer, with a reorg while history is fetched.
    async fn start_into_a_reorg(&mut self, fixture: &ScriptedFixture) -> RunningWriter {
        self.mine(14);
        let held = self.random.random_range(3..12);
        self.steps.push(format!("held at {held}"));
        for node in &self.nodes {
            node.add(
                Fault::new("eth_getBlockReceipts", Kind::Hold)
                    .at(held)
                    .times(1),
            );
        }
        let running = fixture.ingest(self.config.clone()).await.unwrap();
        eventually("receipts that are held", async || {
            self.nodes.iter().any(|node| node.held() > 0).then_some(())
        })
        .await;
        self.move_chain();
        for node in &self.nodes {
            node.clear_faults();
            node.release();
        }
        running
    }
}

async fn run(fixture: &ScriptedFixture, seed: u64) -> usize {
    fixture.clear().await;
    let mut case = Case::new(seed).await;
    let mut replayed = ReplayedChain::default();
    replayed.may_skip = case.config.announce_blocks < 1_000;
    let mut running = case.start_into_a_reorg(fixture).await;
    for step in 0..STEPS {
        let what = format!("step {step} of\n  {}\n", case.steps.join("\n  "));
        fixture.caught_up(&case.tree, &what).await;
        fixture
            .assert_equals(&case.tree, case.config.start_block, &what)
            .await;
        replayed.assert_equals(fixture, &case.tree, &what).await;

        if case.random.random_bool(0.3) {
            case.fail();
        }
        if case.random.random_bool(0.1) {
            case.steps.push("stop, and start later".to_owned());
            running.stop().await;
            for _ in 0..case.random.random_range(1..=3) {
                case.move_chain();
            }
            running = fixture.ingest(case.config.clone()).await.unwrap();
        } else {
            // Several in a row, before the first can be followed.
            for _ in 0..case.random.random_range(1..=2) {
                case.move_chain();
            }
        }
    }
    let what = format!("the end of\n  {}\n", case.steps.join("\n  "));
    fixture.caught_up(&case.tree, &what).await;
    fixture
        .assert_equals(&case.tree, case.config.start_block, &what)
        .await;
    replayed.assert_equals(fixture, &case.tree, &what).await;
    running.stop().await;
    replayed.reorgs
}

#[tokio::test(flavor = "multi_thread")]
async fn random_chains_are_stored_and_published_exactly() {
    let fixture = ScriptedFixture::new().await;
    let chosen = std::env::var("CHAINCAST_SEED").ok();
    let alone = chosen.is_some();
    let seeds = match chosen.map(|seed| seed.parse::<u64>().unwrap()) {
        Some(seed) => seed..seed + 1,
        None => CASES,
    };
    let mut reorgs = 0;
    for seed in seeds {
        reorgs += run(&fixture, seed).await;
    }
    assert!(alone || reorgs > 10, "only {reorgs} reorgs were followed");
}
