//! `[[chains.providers]]`: the nodes that serve a chain, the preferred first.

use serde::Deserialize;

use super::Work;
use crate::chain::{ChainConfig, NodeHeaders};
use chaincast_base::{
    Secret,
    settings::{lower_case_word, plain_settings, settings},
};

settings! {
    /// One `[[chains.providers]]`.
    pub struct ProviderConfig {
        /// Name in logs, metrics and /status; default: host and port of the URL.
        name: Option<String> = None, example("\"backup\"");
        /// URL of the node, http or https.
        url: Secret = Secret::default(), example("\"https://other.example/KEY\""), required();
        /// Its WebSocket for newHeads, ws or wss; without it the head is only polled.
        ws_url: Option<Secret> = None, example("\"wss://other.example/KEY\"");
        /// Sent with each request, HTTP and WebSocket; at most 16, never printed.
        headers: NodeHeaders = NodeHeaders::default(), example("{ \"Authorization\" = \"Bearer …\" }");
        /// Its work: `"live"`: the head and new blocks; `"history"`: backfills; `"all"`: both.
        role: Role = Role::All;
    }
}

impl ProviderConfig {
    /// A provider for all work, named after its URL, polled.
    pub fn of(url: Secret) -> Self {
        Self {
            url,
            ..Self::default()
        }
    }
}

/// The work of a provider. Work without a configured provider goes to all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    #[default]
    All,
    Live,
    History,
}

plain_settings! { Role = lower_case_word }

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Live => "live",
            Self::History => "history",
        }
    }

    /// Whether it is configured for this work.
    pub fn does(self, work: Work) -> bool {
        match self {
            Self::All => true,
            Self::Live => work == Work::Live,
            Self::History => work == Work::History,
        }
    }
}

impl ChainConfig {
    /// Every provider with its name, the preferred first: `rpc_url` if set, then `providers`. Equal names get a number.
    pub fn named_providers(&self) -> Vec<(String, ProviderConfig)> {
        let shorthand = (!self.rpc_url.is_empty()).then(|| ProviderConfig {
            ws_url: self.ws_url.clone(),
            headers: self.headers.clone(),
            ..ProviderConfig::of(self.rpc_url.clone())
        });
        let mut named: Vec<(String, ProviderConfig)> = Vec::new();
        for provider in shorthand.into_iter().chain(self.providers.iter().cloned()) {
            let name = provider.name.clone().unwrap_or_else(|| {
                let url = provider.url.redacted_url();
                url.split_once("://")
                    .map_or(url.clone(), |(_, host)| host.to_owned())
            });
            let same = |name: &str| named.iter().any(|(other, _)| other == name);
            let name = if same(&name) {
                let number = (2..).find(|number| !same(&format!("{name}#{number}")));
                format!("{name}#{}", number.unwrap_or_default())
            } else {
                name
            };
            named.push((name, provider));
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_start_with_rpc_url_and_have_unique_names() {
        let url = |text: &str| Secret::new(text);
        let config = ChainConfig {
            ws_url: Some(url("ws://a:1")),
            providers: vec![
                ProviderConfig::of(url("https://user:key@b.example/KEY")),
                ProviderConfig::of(url("http://a:1/OTHERKEY")),
                ProviderConfig {
                    name: Some("mine".to_owned()),
                    role: Role::History,
                    ..ProviderConfig::of(url("http://a:1"))
                },
            ],
            ..ChainConfig::of(1, url("http://a:1/KEY"))
        };
        let named = config.named_providers();
        let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a:1", "b.example", "a:1#2", "mine"]);
        assert!(named[0].1.ws_url.is_some() && named[1].1.ws_url.is_none());
        let none = ChainConfig {
            rpc_url: Secret::default(),
            providers: vec![],
            ..config
        };
        assert!(none.named_providers().is_empty());
    }
}
