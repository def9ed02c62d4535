//! The configuration of `chaincast dev`, written to the data directory so that other commands can use it.

use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use toml::{Table, Value, toml};

use super::{DevArgs, environment::Environment};
use chaincast_dev::{DevError, price_settings};

/// Bytes of the key that signs development JWTs.
const KEY_BYTES: usize = 48;
/// The first start on a foreign chain begins this many blocks behind its head instead of at genesis, or closer if the
/// node does not have that block.
const FOREIGN_HISTORY: u64 = 64;

/// Writes `chaincast.toml`, readable only by its owner because it holds the JWT key. Returns its path.
pub(super) async fn write(args: &DevArgs, environment: &Environment) -> Result<PathBuf, DevError> {
    let secret = secret_of(&environment.data_dir)?;
    let mut config = toml! {
        [server]
        [database]
        [gateway]
        public_stats = true
        [gateway.auth]
        [[gateway.rooms]]
        pattern = "lobby"
        [[gateway.rooms]]
        pattern = "demo-*"
    };
    set(&mut config, "server", "host", args.host.as_str());
    set(&mut config, "server", "port", i64::from(args.port));
    set(
        &mut config,
        "database",
        "url",
        environment.database_url.expose(),
    );
    if let Some(Value::Table(gateway)) = config.get_mut("gateway") {
        set(gateway, "auth", "secret", secret.as_str());
    }
    let mut chain = Table::new();
    chain.insert(
        "chain_id".into(),
        Value::Integer(environment.chain_id as i64),
    );
    chain.insert("rpc_url".into(), environment.rpc_url.expose().into());
    if let Some(url) = &environment.ws_url {
        chain.insert("ws_url".into(), url.expose().into());
    }
    let block_ms = i64::try_from(args.block_time.as_millis()).unwrap_or(i64::MAX);
    chain.insert("poll_interval_ms".into(), block_ms.clamp(100, 2_000).into());
    let start_block = match environment.stored_start {
        Some(stored) => Some(stored),
        None if environment.deployment.is_none() => Some(start_block(environment).await?),
        None => None,
    };
    if let Some(number) = start_block {
        chain.insert("start_block".into(), Value::Integer(number as i64));
    }
    config.insert("chains".into(), Value::Array(vec![chain.into()]));
    if let Some(deployment) = &environment.deployment {
        config.insert("prices".into(), price_settings(deployment).into());
    }
    let text = format!(
        "# Configuration of the last `chaincast dev` run; replaced at each start. Contains secrets.\n\n{config}"
    );
    let path = environment.data_dir.join("chaincast.toml");
    keep(&path, text.as_bytes())?;
    Ok(path)
}

fn set(table: &mut Table, section: &str, key: &str, value: impl Into<Value>) {
    let section = table.entry(section).or_insert_with(|| Table::new().into());
    if let Value::Table(section) = section {
        section.insert(key.to_owned(), value.into());
    }
}

/// The first block to index of a foreign chain. Kept in a file, because it must not change once blocks are indexed.
async fn start_block(environment: &Environment) -> Result<u64, DevError> {
    let path = environment
        .data_dir
        .join(format!("start-block-{}", environment.chain_id));
    if let Ok(text) = std::fs::read_to_string(&path)
        && let Ok(number) = text.trim().parse()
    {
        return Ok(number);
    }
    let node = chaincast_dev::Node::connect(environment.rpc_url.expose())?;
    let head = node.block_number().await?;
    let mut history = FOREIGN_HISTORY;
    let number = loop {
        let number = head.saturating_sub(history);
        // A pruned node, or one that starts at a fork, may have fewer blocks.
        let has = match node.block_hash(number).await {
            Ok(_) => true,
            Err(DevError::Answer { .. } | DevError::Rpc { .. }) => false,
            Err(error) => return Err(error),
        };
        if has || history == 0 {
            break number;
        }
        history /= 2;
    };
    keep(&path, number.to_string().as_bytes())?;
    Ok(number)
}

/// The key that signs the JWTs of this data directory; created at the first start.
fn secret_of(data_dir: &Path) -> Result<String, DevError> {
    let path = data_dir.join("jwt.key");
    match std::fs::read_to_string(&path) {
        Ok(key) if key.trim().len() >= 32 => return Ok(key.trim().to_owned()),
        Ok(_) => {
            tracing::warn!(path = %path.display(), "the JWT key is too short; creating a new one")
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(DevError::File {
                operation: "read",
                path,
                source,
            });
        }
    }
    let key = URL_SAFE_NO_PAD.encode(rand::random::<[u8; KEY_BYTES]>());
    keep(&path, key.as_bytes())?;
    Ok(key)
}

fn keep(path: &Path, content: &[u8]) -> Result<(), DevError> {
    let failed = |source| DevError::File {
        operation: "write",
        path: path.to_owned(),
        source,
    };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(content).map_err(failed)
}
