//! `chaincast check`: validates the configuration and every connection that it names, and says what is wrong where.

use std::fmt::Display;

use super::{ConfigArgs, Failure, terminal::Paint};
use crate::{
    bus,
    config::Config,
    gateway::{
        AuthMode,
        auth::{AuthError, Authenticator},
    },
    model::{B256, ChainId},
    source::chain::{ChainConfig, HeadFollower, Node, NodeError, ProviderConfig, Tag},
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
    let (store, answer) = match database(&config).await {
        Ok(Some(store)) => {
            let text = format!("answers, epoch {}", store.epoch());
            (Some(store), Ok(text))
        }
        Ok(None) => (
            None,
            Ok("answers; it is empty, and serve will migrate it".to_owned()),
        ),
        Err(error) => (None, Err(error)),
    };
    report.line("database", answer);
    for chain in &config.chains {
        let providers = chain.named_providers();
        let several = providers.len() > 1;
        for (name, provider) in &providers {
            let what = match several {
                true => format!("chain {} at {name}", chain.chain_id),
                false => format!("chain {}", chain.chain_id),
            };
            let answer = node(chain, name, provider, store.as_ref()).await;
            report.line(&what, answer);
            if provider.ws_url.is_some() {
                let answer = new_heads(chain, provider).await;
                report.line(&format!("{what} newHeads"), answer);
            }
        }
    }
    if config.bus.kind == bus::BusKind::Redis {
        report.line(
            "redis",
            bus::ping_redis(&config.bus)
                .await
                .map(|()| "answers".to_owned()),
        );
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
}

/// `None` for a database that is empty and will be migrated.
async fn database(config: &Config) -> Result<Option<Store>, StoreError> {
    // Looking must not change anything.
    let without_migrating = StoreConfig {
        auto_migrate: false,
        ..config.database.clone()
    };
    match Store::connect(&without_migrating).await {
        Err(StoreError::NotMigrated) if config.database.auto_migrate => Ok(None),
        connected => connected.map(Some),
    }
}

/// What the node says of itself, and whether that is the chain that the database indexes.
async fn node(
    chain: &ChainConfig,
    name: &str,
    provider: &ProviderConfig,
    store: Option<&Store>,
) -> Result<String, String> {
    let told = |error: NodeError| error.to_string();
    let node = Node::of(chain, name, provider).map_err(told)?;
    let genesis = node.genesis_hash().await.map_err(told)?;
    let head = node.tagged(Tag::Latest).await.map_err(told)?;
    if let Some(store) = store {
        let stored = stored_genesis(store, chain.chain_id)
            .await
            .map_err(|error| error.to_string())?;
        if let Some(stored) = stored.filter(|stored| *stored != genesis) {
            return Err(format!(
                "{} serves another chain than the database indexes: genesis hash {genesis}, stored is {stored}; \
                 point rpc_url or database.url at the right one",
                node.shown_url()
            ));
        }
    }
    let head = head.map_or("no block yet".to_owned(), |head| {
        format!("head {}", head.number)
    });
    Ok(format!(
        "{} answers, {head}, genesis {genesis}",
        node.shown_url()
    ))
}

async fn stored_genesis(store: &Store, chain_id: ChainId) -> Result<Option<B256>, StoreError> {
    let mut connection = store.pool().acquire().await?;
    let state = chain::state(&mut connection, chain_id).await?;
    Ok(state.map(|state| state.genesis_hash))
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
