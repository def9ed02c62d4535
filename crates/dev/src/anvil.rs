//! A local chain: Foundry's anvil as a child process, on loopback.
//!
//! With a state file, the chain continues after a restart: genesis, blocks, transactions, receipts and logs are the
//! same, and new blocks have the current time. anvil writes the file when it ends properly, which includes the case
//! that this process is killed, and every [`STATE_BLOCKS`] blocks. Killing anvil itself loses the blocks since then,
//! which an indexer sees as a reorg. State before the last start is lost: reorgs and `eth_call` do not reach further
//! back.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::sys::signal::Signal;

use super::{
    DevError,
    anvil_state::keep_canonical,
    binaries::find_anvil,
    child::{Child, Lines},
    lock::lock,
    orphan_processes::stop_orphan,
};

/// Blocks between two writes of the whole state file, which grows by about 40 KB per block of the demo market.
const STATE_BLOCKS: u32 = 30;
/// Frequent writes of a large file would slow the chain down; without a block time its growth is unknown.
const MIN_STATE_INTERVAL: Duration = Duration::from_secs(5);
const MAX_STATE_INTERVAL: Duration = Duration::from_secs(120);
/// Blocks whose state is kept in memory: the limit of reorgs and `eth_call`.
const STATES_IN_MEMORY: u32 = 64;
/// Gas limit of a chain, without the addition of [`new_chain_mark`].
const GAS_LIMIT: u64 = 30_000_000;
/// Loading a large state file takes time.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A process that closed its output ends soon.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Writing a large state file takes time.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// The signal on which anvil writes its state and ends.
const GRACEFUL: Signal = Signal::SIGTERM;

/// Options of a chain.
#[derive(Debug, Clone)]
pub struct AnvilOptions {
    /// TCP port on 127.0.0.1; 0 picks a free one.
    pub port: u16,
    /// Interval of blocks, including empty ones. `None`: a block per transaction, and more on demand.
    pub block_time: Option<Duration>,
    /// The file that keeps the chain; `None` keeps nothing.
    pub state_file: Option<PathBuf>,
    /// EIP-155 id.
    pub chain_id: u64,
    /// The `safe` block is one epoch behind the head and `finalized` two.
    pub slots_in_an_epoch: u64,
    /// Blocks without a gas limit: their headers contain 2^64 - 1, the maximum.
    pub disable_block_gas_limit: bool,
}

impl Default for AnvilOptions {
    /// Ethereum's epoch, anvil's default chain id, and no state file.
    fn default() -> Self {
        Self {
            port: 0,
            block_time: None,
            state_file: None,
            chain_id: 31_337,
            slots_in_an_epoch: 32,
            disable_block_gas_limit: false,
        }
    }
}

/// A running anvil. [`Anvil::stop`] shuts it down; dropping it sends the signal without waiting.
pub struct Anvil {
    child: Child,
    port: u16,
    /// Excludes a second anvil from the state file.
    _lock: Option<File>,
}

impl Anvil {
    /// Starts anvil and waits until it listens. An anvil that a killed chaincast left running on the same state file is
    /// stopped first.
    pub async fn start(options: &AnvilOptions) -> Result<Self, DevError> {
        let program = find_anvil()?;
        let state_file = options.state_file.as_deref().map(absolute).transpose()?;
        let lock = match &state_file {
            Some(state_file) => Some(take_over(state_file).await?),
            None => None,
        };
        if options.port != 0 {
            // anvil reports this too, but without the flag that helps.
            TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
                .map_err(|_| DevError::PortTaken(options.port))?;
        }

        if let Some(state_file) = &state_file {
            keep_canonical(state_file)?;
        }
        let command = command(&program, options, state_file.as_deref());
        let (mut child, lines) = Child::spawn("anvil", command, GRACEFUL).await?;
        if let Some(state_file) = &state_file {
            let pid_file = with_suffix(state_file, "pid");
            fs::write(&pid_file, child.pid().to_string())
                .map_err(DevError::file("write", pid_file))?;
        }
        let port = tokio::select! {
            biased;
            port = listening(lines) => port,
            error = child.exited() => return Err(explain(error, options.port, state_file.as_deref())),
            () = tokio::time::sleep(START_TIMEOUT) => None,
        };
        match port {
            Some(port) => Ok(Self {
                child,
                port,
                _lock: lock,
            }),
            // It closed its output without listening: it is about to end, or it hangs.
            None => match tokio::time::timeout(END_TIMEOUT, child.exited()).await {
                Ok(error) => Err(explain(error, options.port, state_file.as_deref())),
                Err(_) => Err(DevError::NotReady {
                    program: "anvil",
                    waited: START_TIMEOUT,
                    log: child.last_output(),
                }),
            },
        }
    }

    /// The TCP port on 127.0.0.1, for JSON-RPC over HTTP and WebSocket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it answers JSON-RPC over HTTP: `http://127.0.0.1:PORT`.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it answers JSON-RPC over WebSocket: `ws://127.0.0.1:PORT`.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Resolves when anvil has ended, with an error.
    pub async fn exited(&mut self) -> DevError {
        self.child.exited().await
    }

    /// Kills it without writing the state, and waits until it has ended.
    pub fn kill(self) {
        self.child.end_now(Signal::SIGKILL);
    }

    /// Shuts it down and waits until its state is written; kills it after 30 s.
    pub async fn stop(self) -> Result<(), DevError> {
        self.child.stop(STOP_TIMEOUT).await
    }
}

fn command(program: &Path, options: &AnvilOptions, state_file: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--host", "127.0.0.1", "--color", "never"])
        .args(["--port", &options.port.to_string()])
        .args(["--chain-id", &options.chain_id.to_string()])
        .args([
            "--slots-in-an-epoch",
            &options.slots_in_an_epoch.to_string(),
        ])
        // Otherwise anvil writes the states of old blocks to a cache in the home directory.
        .args(["--prune-history", &STATES_IN_MEMORY.to_string()]);
    if let Some(block_time) = options.block_time {
        let (seconds, millis) = (block_time.as_secs(), block_time.subsec_millis());
        command.args(["--block-time", &format!("{seconds}.{millis:03}")]);
    }
    if options.disable_block_gas_limit {
        command.arg("--disable-block-gas-limit");
    } else if !state_file.is_some_and(Path::exists) {
        command.args(["--gas-limit", &(GAS_LIMIT + new_chain_mark()).to_string()]);
    }
    if let Some(state_file) = state_file {
        command.arg("--state").arg(state_file).args([
            "--state-interval",
            &state_interval(options).as_secs().to_string(),
        ]);
    }
    command
}

/// Interval between two writes of the state file.
fn state_interval(options: &AnvilOptions) -> Duration {
    let interval = options.block_time.unwrap_or(MAX_STATE_INTERVAL) * STATE_BLOCKS;
    interval.clamp(MIN_STATE_INTERVAL, MAX_STATE_INTERVAL)
}

/// A random addition to the gas limit that makes the genesis block of a new chain unique: otherwise it depends only on the
/// second of the start. Below the 1/1024 by which a gas limit may differ from its parent's.
fn new_chain_mark() -> u64 {
    rand::random_range(0..GAS_LIMIT / 1_024)
}

/// Locks the state file, and stops an anvil that still uses it.
async fn take_over(state_file: &Path) -> Result<File, DevError> {
    let path = with_suffix(state_file, "lock");
    let lock = lock(&path, state_file)?;
    let pid = fs::read_to_string(with_suffix(state_file, "pid"))
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if let Some(pid) = pid {
        stop_orphan("anvil", pid, state_file, GRACEFUL, STOP_TIMEOUT).await?;
    }
    Ok(lock)
}

/// Reads the port from anvil's output `Listening on 127.0.0.1:8545`.
async fn listening(mut lines: Lines) -> Option<u16> {
    while let Some(line) = lines.recv().await {
        if let Some(address) = line.strip_prefix("Listening on ") {
            return address.rsplit(':').next()?.trim().parse().ok();
        }
    }
    None
}

/// Adds a remedy for the common reasons to the error of an anvil that ended during its start.
fn explain(error: DevError, port: u16, state_file: Option<&Path>) -> DevError {
    let DevError::Exited {
        program,
        status,
        mut log,
    } = error
    else {
        return error;
    };
    if log.contains("Address already in use") {
        return DevError::PortTaken(port);
    }
    if let Some(state_file) = state_file.filter(|_| log.contains("--state")) {
        log.push_str(&format!(
            "\nCannot read the chain state in {state_file:?}; delete it to start a new chain."
        ));
    }
    DevError::Exited {
        program,
        status,
        log,
    }
}

fn absolute(state_file: &Path) -> Result<PathBuf, DevError> {
    let file = std::path::absolute(state_file).map_err(DevError::file("resolve", state_file))?;
    if let Some(dir) = file.parent() {
        fs::create_dir_all(dir).map_err(DevError::file("create", dir))?;
    }
    Ok(file)
}

/// `state.json` and `pid` give `state.json.pid`.
fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChainControl, Node, Transaction};
    use alloy::primitives::{U256, address};
    use chaincast_testkit::test_dir::TestDir;
    use serde_json::Value;

    fn options_in(dir: &TestDir) -> AnvilOptions {
        AnvilOptions {
            state_file: Some(dir.path().join("state.json")),
            ..AnvilOptions::default()
        }
    }

    /// Everything that an indexer reads of a block.
    async fn contents(node: &Node, number: u64) -> (Value, Value) {
        let tag = format!("{number:#x}");
        let block = node
            .request("eth_getBlockByNumber", (&tag, true))
            .await
            .unwrap();
        let receipts = node.request("eth_getBlockReceipts", (&tag,)).await.unwrap();
        (block, receipts)
    }

    #[tokio::test]
    async fn chain_survives_restarts_and_reorgs() {
        let dir = TestDir::new("anvil-restarts");
        let anvil = Anvil::start(&options_in(&dir)).await.unwrap();
        let node = Node::connect(&anvil.http_url()).unwrap();
        ChainControl::new(node.clone()).mine(3).await.unwrap();
        let mut chain = vec![
            node.block_hash(0).await.unwrap(),
            node.block_hash(1).await.unwrap(),
        ];
        let mut running = anvil;
        for _ in 0..6 {
            running.stop().await.unwrap();
            running = Anvil::start(&options_in(&dir)).await.unwrap();
            let node = Node::connect(&running.http_url()).unwrap();
            for (number, hash) in chain.iter().enumerate() {
                assert_eq!(
                    node.block_hash(number as u64).await.unwrap(),
                    *hash,
                    "block {number}"
                );
            }
            // A new block, and one that is replaced by a reorg.
            let control = ChainControl::new(node.clone());
            control.mine(2).await.unwrap();
            control.reorg(1).await.unwrap();
            let (head, _) = control.head().await.unwrap();
            for number in chain.len() as u64..=head {
                chain.push(node.block_hash(number).await.unwrap());
            }
        }
        running.stop().await.unwrap();
    }

    #[tokio::test]
    async fn restart_keeps_blocks_and_receipts() {
        let dir = TestDir::new("anvil-state");
        let anvil = Anvil::start(&options_in(&dir)).await.unwrap();
        let node = Node::connect(&anvil.http_url()).unwrap();
        let from = node.accounts(1).await.unwrap()[0];
        let to = address!("00000000000000000000000000000000000000aa");
        let sent = node
            .send(Transaction::payment(from, to, U256::from(5)))
            .await
            .unwrap();
        node.mined(&[sent]).await.unwrap();
        ChainControl::new(node.clone()).mine(3).await.unwrap();
        let before = [
            contents(&node, 0).await,
            contents(&node, 1).await,
            contents(&node, 4).await,
        ];
        anvil.stop().await.unwrap();

        let anvil = Anvil::start(&options_in(&dir)).await.unwrap();
        let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let restarted = now();
        let node = Node::connect(&anvil.http_url()).unwrap();
        let after = [
            contents(&node, 0).await,
            contents(&node, 1).await,
            contents(&node, 4).await,
        ];
        assert_eq!(before, after);
        ChainControl::new(node.clone()).mine(1).await.unwrap();
        let (new, _) = contents(&node, 5).await;
        assert_eq!(new["parentHash"], after[2].0["hash"]);
        let time = |block: &Value| {
            let text = block["timestamp"]
                .as_str()
                .unwrap()
                .trim_start_matches("0x");
            u64::from_str_radix(text, 16).unwrap()
        };
        // Blocks mined in quick succession may be up to a second each ahead of the clock; an anvil that starts slowly
        // is behind it.
        assert!(
            (restarted - 30..=now() + 30).contains(&time(&new)),
            "a new block must have the current time"
        );
        anvil.stop().await.unwrap();
    }

    #[tokio::test]
    async fn replaces_orphaned_anvil() {
        let dir = TestDir::new("anvil-orphan");
        let anvil = Anvil::start(&options_in(&dir)).await.unwrap();
        let node = Node::connect(&anvil.http_url()).unwrap();
        ChainControl::new(node.clone()).mine(2).await.unwrap();
        let genesis = node.block_hash(0).await.unwrap();
        let Anvil {
            mut child, _lock, ..
        } = anvil;
        drop(_lock);

        let anvil = Anvil::start(&options_in(&dir)).await.unwrap();
        assert!(matches!(child.exited().await, DevError::Exited { .. }));
        let node = Node::connect(&anvil.http_url()).unwrap();
        assert_eq!(node.block_hash(0).await.unwrap(), genesis);
        assert_eq!(node.block_number().await.unwrap(), 2);
        anvil.stop().await.unwrap();
    }

    #[tokio::test]
    async fn error_for_used_port_names_flag() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let options = AnvilOptions {
            port,
            ..AnvilOptions::default()
        };
        let error = Anvil::start(&options).await.err().unwrap().to_string();
        assert!(
            error.contains(&port.to_string()) && error.contains("--anvil-port"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn error_for_broken_state_file_names_remedy() {
        let dir = TestDir::new("anvil-broken");
        let options = options_in(&dir);
        fs::write(dir.path().join("state.json"), "{\"half").unwrap();
        let error = Anvil::start(&options).await.err().unwrap().to_string();
        assert!(
            error.contains("state.json") && error.contains("delete it"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn block_time_mines_automatically() {
        let block_time = Some(Duration::from_millis(200));
        let anvil = Anvil::start(&AnvilOptions {
            block_time,
            ..AnvilOptions::default()
        })
        .await
        .unwrap();
        let node = Node::connect(&anvil.http_url()).unwrap();
        let grows = async {
            while node.block_number().await.unwrap() < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(180), grows)
            .await
            .unwrap();
        anvil.stop().await.unwrap();
    }
}
