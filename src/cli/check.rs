//! `chaincast check`: validates the configuration and every connection that it names, and says what is wrong where.
//!
//! A provider that cannot be used now is a warning as long as others serve its chain without it; what is configured
//! wrongly is a failure, whoever else serves. A price source that is away is a warning, as the service runs without it;
//! one that is refused is a failure.

mod prices;

use std::fmt::Display;

use super::{ConfigArgs, Failure, terminal::Paint};
use crate::{
    app::Descriptors,
    bus,
    config::{Config, Sources},
    gateway::{
        AuthMode,
        auth::{AuthError, Authenticator},
    },
    model::{ChainId, KnownBlock},
    source::chain::{ChainConfig, HeadFollower, Node, NodeError, ProviderConfig, Role, Tag, Work},
    store::{Store, StoreConfig, StoreError, chain},
};

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
        let text = format!("overrides the file: {overrides}");
        report.line("environment", Ok::<_, String>(text));
    }
    for doubt in config.doubts(&sources)? {
        report.warn("configuration", &doubt.to_string());
    }
    if let Some(doubt) =
        Descriptors::of_process(&config).and_then(|descriptors| descriptors.doubt(&config))
    {
        report.warn("open files", &doubt);
    }
    let (store, answer) = match database(&config).await {
        Ok(Some((store, read_only))) => {
            if let Some(error) = read_only {
                report.warn("database", &gateway_only(&error));
            }
            let text = format!("answers, epoch {}", store.epoch());
            (Some(store), Ok(text))
        }
        Ok(None) => (
            None,
            Ok("answers; it has no tables of chaincast, and serve will create them".to_owned()),
        ),
        Err(error) => (None, Err(error)),
    };
    report.line("database", answer);
    for chain in &config.chains {
        report.chain(&checked(chain, store.as_ref()).await);
    }
    prices::check(&config, &mut report).await;
    if config.bus.kind == bus::BusKind::Redis {
        match bus::ping_redis(&config.bus).await {
            Err(error @ bus::BusError::Redis { .. }) => {
                let without = "until it answers, updates travel by the database";
                report.warn("redis", &format!("{error}; {without}"));
            }
            answer => report.line("redis", answer.map(|()| "answers".to_owned())),
        }
    }
    report.line("token key", token_key(&config).await);
    if let Some(store) = store {
        store.close().await;
    }
    match report.failed {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} of the checks failed"))),
    }
}

struct Report {
    paint: Paint,
    failed: usize,
}

/// What was found out about one provider of a chain.
struct Checked {
    role: Role,
    /// What was looked at, and how it went.
    lines: Vec<(String, Result<String, Fault>)>,
}

/// What is wrong with a provider.
enum Fault {
    /// It cannot be used now.
    Away(String),
    /// Nothing but another configuration helps.
    Wrong(String),
}

impl Checked {
    fn is_good(&self) -> bool {
        self.lines.iter().all(|(_, result)| result.is_ok())
    }
}

/// Whether those that are good do all the work of a chain. Work for which none is configured is any one's.
fn is_served(providers: &[Checked]) -> bool {
    [Work::Live, Work::History].iter().all(|work| {
        let configured = providers.iter().any(|one| one.role.does(*work));
        let mut good = providers.iter().filter(|one| one.is_good());
        good.any(|one| !configured || one.role.does(*work))
    })
}

/// Asks every provider of a chain.
async fn checked(chain: &ChainConfig, store: Option<&Store>) -> Vec<Checked> {
    let providers = chain.named_providers();
    let several = providers.len() > 1;
    let mut all = Vec::with_capacity(providers.len());
    for (name, provider) in &providers {
        let what = match several {
            true => format!("chain {} at {name}", chain.chain_id),
            false => format!("chain {}", chain.chain_id),
        };
        let answer = node(chain, name, provider, store).await;
        let mut lines = vec![(what.clone(), answer)];
        if provider.ws_url.is_some() {
            let answer = new_heads(chain, provider).await.map_err(Fault::of);
            lines.push((format!("{what} newHeads"), answer));
        }
        all.push(Checked {
            role: provider.role,
            lines,
        });
    }
    all
}

impl Fault {
    fn of(error: NodeError) -> Self {
        let text = error.to_string();
        match error {
            NodeError::Url { .. }
            | NodeError::WrongChain { .. }
            | NodeError::WrongGenesis { .. } => Self::Wrong(text),
            _ => Self::Away(text),
        }
    }
}

impl Report {
    fn line<E: Display>(&mut self, what: &str, result: Result<String, E>) {
        let (mark, text) = match result {
            Ok(text) => (self.paint.green("ok  "), text),
            Err(error) => {
                self.failed += 1;
                (self.paint.red("FAIL"), error.to_string())
            }
        };
        println!("{mark} {what}: {text}");
    }

    /// What keeps nothing from running.
    fn warn(&self, what: &str, text: &str) {
        let mark = self.paint.yellow("warn");
        println!("{mark} {what}: {text}");
    }

    fn chain(&mut self, providers: &[Checked]) {
        let served = is_served(providers);
        for (what, result) in providers.iter().flat_map(|one| &one.lines) {
            match result {
                Ok(text) => self.line(what, Ok::<_, String>(text.clone())),
                Err(Fault::Away(text)) if served => {
                    self.warn(what, &format!("{text}; the chain is served without it"));
                }
                Err(Fault::Away(text) | Fault::Wrong(text)) => self.line(what, Err(text)),
            }
        }
    }
}

/// What a database that takes no writes is good for.
fn gateway_only(error: &StoreError) -> String {
    format!("only `serve --role gateway` can run with it: {error}")
}

/// The database, with what keeps it from taking writes where a process that only reads can use it: one that does not
/// migrate. `None` for a database without tables of ours, which will be migrated.
async fn database(config: &Config) -> Result<Option<(Store, Option<StoreError>)>, StoreError> {
    // Looking must not change anything.
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

/// What the node says of itself, and whether that is the chain that the database indexes.
async fn node(
    chain: &ChainConfig,
    name: &str,
    provider: &ProviderConfig,
    store: Option<&Store>,
) -> Result<String, Fault> {
    let node = Node::of(chain, name, provider).map_err(Fault::of)?;
    let head = node.tagged(Tag::Latest).await.map_err(Fault::of)?;
    let stored = match store {
        Some(store) => stored_blocks(store, chain.chain_id)
            .await
            .map_err(|error| Fault::Wrong(error.to_string()))?,
        None => Vec::new(),
    };
    let link = node
        .identity(&stored, chain.start_block)
        .await
        .map_err(Fault::of)?;
    let identity = link.block;
    let same_height = stored
        .iter()
        .find(|known| known.block.number == identity.number);
    if let Some(stored) =
        same_height.filter(|known| !known.shows_chain_of(identity, link.parent_hash))
    {
        return Err(Fault::Wrong(format!(
            "{} serves another chain than the database indexes: its block {} is {}, stored is {}; \
             point rpc_url or database.url at the right one",
            node.shown_url(),
            identity.number,
            identity.hash,
            stored.block.hash
        )));
    }
    let genesis = match identity.number {
        0 => format!("genesis {}", identity.hash),
        number => format!("known by block {number} {}", identity.hash),
    };
    let head = head.map_or("no block yet".to_owned(), |head| {
        format!("head {}", head.number)
    });
    Ok(format!("{} answers, {head}, {genesis}", node.shown_url()))
}

async fn stored_blocks(store: &Store, chain_id: ChainId) -> Result<Vec<KnownBlock>, StoreError> {
    let mut connection = store.pool().acquire().await?;
    match chain::state(&mut connection, chain_id).await? {
        Some(state) => chain::known_blocks(&mut connection, &state).await,
        None => Ok(Vec::new()),
    }
}

async fn new_heads(chain: &ChainConfig, provider: &ProviderConfig) -> Result<String, NodeError> {
    HeadFollower::probe(chain, provider).await?;
    Ok("the subscription is accepted".to_owned())
}

async fn token_key(config: &Config) -> Result<String, AuthError> {
    let auth = &config.gateway.auth;
    Authenticator::new(auth)?.load().await?;
    let keyless = auth.secret.is_empty()
        && auth.public_key_file.is_none()
        && auth.jwks_file.is_none()
        && auth.jwks_url.is_none();
    Ok(match auth.mode {
        AuthMode::Off => "tokens are not looked at".to_owned(),
        _ if keyless => "none: every token that is given will be refused".to_owned(),
        mode => format!(
            "{}, tokens are {}",
            auth.algorithm,
            format!("{mode:?}").to_lowercase()
        ),
    })
}
