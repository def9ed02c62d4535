//! `chaincast check`: validates the configuration, tests every connection in it, and reports each problem with its
//! place.
//!
//! An unusable provider is a warning while other providers serve its chain; a misconfigured provider is always a
//! failure. An unreachable price source is a warning, because the service runs without it; a rejected one is a failure.

mod prices;
mod report;

use self::report::Report;
use super::{ConfigArgs, Failure, terminal::Paint};
use crate::{
    app::Descriptors,
    config::{Config, Sources},
};
use chaincast_evm::chain::{
    ChainConfig, HeadFollower, Node, NodeError, ProviderConfig, Role, Tag, Work,
};
use chaincast_gateway::{
    AuthMode,
    auth::{AuthError, Authenticator},
};
use chaincast_model::KnownBlock;
use chaincast_protocol::ChainId;
use chaincast_store::{Store, StoreConfig, StoreError, chain};

pub(super) async fn run(args: ConfigArgs) -> Result<(), Failure> {
    let config = args.load()?;
    let mut report = Report {
        paint: Paint::stdout(),
        failed: 0,
    };
    report.line(
        "configuration",
        Ok::<_, String>(format!("{} is valid", args.config.display())),
    );
    let sources = Sources::from_process(Some(&args.config));
    if let Some(overrides) = sources.overrides_text() {
        let text = format!("overrides the configuration file: {overrides}");
        report.line("environment", Ok::<_, String>(text));
    }
    for warning in config.warnings(&sources)? {
        report.warn("configuration", &warning.to_string());
    }
    if let Some(warning) =
        Descriptors::of_process(&config).and_then(|descriptors| descriptors.warning(&config))
    {
        report.warn("open files", &warning);
    }
    let (store, answer) = match database(&config).await {
        Ok(Some((store, read_only))) => {
            if let Some(error) = read_only {
                report.warn("database", &gateway_only(&error));
            }
            let text = format!("reachable, epoch {}", store.epoch());
            (Some(store), Ok(text))
        }
        Ok(None) => (
            None,
            Ok("reachable; no chaincast tables yet, `serve` creates them".to_owned()),
        ),
        Err(error) => (None, Err(error)),
    };
    report.line("database", answer);
    for chain in &config.chains {
        report.chain(&check_providers(chain, store.as_ref()).await);
    }
    prices::check(&config, &mut report).await;
    if config.bus.kind == chaincast_bus::BusKind::Redis {
        match chaincast_bus::ping_redis(&config.bus).await {
            Err(error @ chaincast_bus::BusError::Redis { .. }) => {
                let fallback = "until it is reachable, updates are delivered through the database";
                report.warn("redis", &format!("{error}; {fallback}"));
            }
            answer => report.line("redis", answer.map(|()| "reachable".to_owned())),
        }
    }
    report.line("JWT key", token_key(&config).await);
    if let Some(store) = store {
        store.close().await;
    }
    match report.failed {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("checks failed: {failed}"))),
    }
}

/// The check results of one provider of a chain.
struct CheckedProvider {
    role: Role,
    /// Name of each check, and its result.
    lines: Vec<(String, Result<String, ProviderFault>)>,
}

/// Why a provider failed a check.
enum ProviderFault {
    /// It is unusable now and may recover.
    Unavailable(String),
    /// It stays unusable until the configuration changes.
    Misconfigured(String),
}

impl CheckedProvider {
    fn is_ok(&self) -> bool {
        self.lines.iter().all(|(_, result)| result.is_ok())
    }
}

/// Whether the usable providers cover both kinds of work of a chain. Work that no provider is configured for may be
/// done by any provider.
fn is_served(providers: &[CheckedProvider]) -> bool {
    [Work::Live, Work::History].iter().all(|work| {
        let configured = providers.iter().any(|one| one.role.does(*work));
        let mut usable = providers.iter().filter(|one| one.is_ok());
        usable.any(|one| !configured || one.role.does(*work))
    })
}

/// Checks every provider of a chain.
async fn check_providers(chain: &ChainConfig, store: Option<&Store>) -> Vec<CheckedProvider> {
    let providers = chain.named_providers();
    let several = providers.len() > 1;
    let mut all = Vec::with_capacity(providers.len());
    for (name, provider) in &providers {
        let what = match several {
            true => format!("chain {} at {name}", chain.chain_id),
            false => format!("chain {}", chain.chain_id),
        };
        let answer = check_node(chain, name, provider, store).await;
        let mut lines = vec![(what.clone(), answer)];
        if provider.ws_url.is_some() {
            let answer = check_new_heads(chain, provider)
                .await
                .map_err(ProviderFault::from_error);
            lines.push((format!("{what} newHeads"), answer));
        }
        all.push(CheckedProvider {
            role: provider.role,
            lines,
        });
    }
    all
}

impl ProviderFault {
    fn from_error(error: NodeError) -> Self {
        let text = error.to_string();
        match error {
            NodeError::Url { .. }
            | NodeError::WrongChain { .. }
            | NodeError::WrongGenesis { .. } => Self::Misconfigured(text),
            _ => Self::Unavailable(text),
        }
    }
}

impl Report {
    fn chain(&mut self, providers: &[CheckedProvider]) {
        let served = is_served(providers);
        for (what, result) in providers.iter().flat_map(|one| &one.lines) {
            match result {
                Ok(text) => self.line(what, Ok::<_, String>(text.clone())),
                Err(ProviderFault::Unavailable(text)) if served => {
                    self.warn(what, &format!("{text}; other providers serve the chain"));
                }
                Err(ProviderFault::Unavailable(text) | ProviderFault::Misconfigured(text)) => {
                    self.line(what, Err(text))
                }
            }
        }
    }
}

/// Warns that a read-only database serves the gateway role only.
fn gateway_only(error: &StoreError) -> String {
    format!("read-only: only `serve --role gateway` can use it: {error}")
}

/// Connects to the database. The second value is the reason why the database is read-only; that is acceptable for a
/// process that only reads, which is one that does not migrate. `None` for a database without chaincast tables, which
/// will be migrated.
async fn database(config: &Config) -> Result<Option<(Store, Option<StoreError>)>, StoreError> {
    // A check must not change anything.
    let without_migrating = StoreConfig {
        auto_migrate: false,
        ..config.database.clone()
    };
    if config.database.auto_migrate {
        Store::refuse_inapplicable(&config.database).await?;
    }
    let store = match Store::connect(&without_migrating).await {
        Err(StoreError::NotMigrated) if config.database.auto_migrate => None,
        connected => Some(connected?),
    };
    match (Store::refuse_read_only(&config.database).await, store) {
        (Err(error @ (StoreError::ReadOnly(_) | StoreError::Standby(_))), Some(store))
            if !config.database.auto_migrate =>
        {
            Ok(Some((store, Some(error))))
        }
        (Err(error), _) => Err(error),
        (Ok(()), store) => Ok(store.map(|store| (store, None))),
    }
}

/// Reports the node's head and identity; fails if its chain is not the one that the database indexes.
async fn check_node(
    chain: &ChainConfig,
    name: &str,
    provider: &ProviderConfig,
    store: Option<&Store>,
) -> Result<String, ProviderFault> {
    let node = Node::of(chain, name, provider).map_err(ProviderFault::from_error)?;
    let head = node
        .tagged(Tag::Latest)
        .await
        .map_err(ProviderFault::from_error)?;
    let stored = match store {
        Some(store) => stored_blocks(store, chain.chain_id)
            .await
            .map_err(|error| ProviderFault::Misconfigured(error.to_string()))?,
        None => Vec::new(),
    };
    let link = node
        .identity(&stored, chain.start_block)
        .await
        .map_err(ProviderFault::from_error)?;
    let identity = link.block;
    let same_height = stored
        .iter()
        .find(|known| known.block.number == identity.number);
    if let Some(stored) =
        same_height.filter(|known| !known.is_same_chain(identity, link.parent_hash))
    {
        return Err(ProviderFault::Misconfigured(format!(
            "{} serves a different chain than the database indexes: block {} is {} on the node and {} in the database; \
             correct rpc_url or database.url",
            node.redacted_url(),
            identity.number,
            identity.hash,
            stored.block.hash
        )));
    }
    let genesis = match identity.number {
        0 => format!("genesis {}", identity.hash),
        number => format!("identified by block {number} {}", identity.hash),
    };
    let head = head.map_or("no blocks yet".to_owned(), |head| {
        format!("head {}", head.number)
    });
    Ok(format!(
        "{} is reachable, {head}, {genesis}",
        node.redacted_url()
    ))
}

async fn stored_blocks(store: &Store, chain_id: ChainId) -> Result<Vec<KnownBlock>, StoreError> {
    let mut connection = store.pool().acquire().await?;
    match chain::state(&mut connection, chain_id).await? {
        Some(state) => chain::known_blocks(&mut connection, &state).await,
        None => Ok(Vec::new()),
    }
}

async fn check_new_heads(
    chain: &ChainConfig,
    provider: &ProviderConfig,
) -> Result<String, NodeError> {
    HeadFollower::probe(chain, provider).await?;
    Ok("subscription accepted".to_owned())
}

async fn token_key(config: &Config) -> Result<String, AuthError> {
    let auth = &config.gateway.auth;
    Authenticator::new(auth)?.load().await?;
    let keyless = auth.secret.is_empty()
        && auth.public_key_file.is_none()
        && auth.jwks_file.is_none()
        && auth.jwks_url.is_none();
    Ok(match auth.mode {
        AuthMode::Off => "JWTs are ignored".to_owned(),
        _ if keyless => "no key configured: every JWT will be rejected".to_owned(),
        mode => format!(
            "{}, JWTs are {}",
            auth.algorithm,
            format!("{mode:?}").to_lowercase()
        ),
    })
}
