//! The names of a chain's providers.

use crate::chain::{ChainConfig, ProviderConfig};

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
    use crate::chain::Role;
    use chaincast_base::Secret;

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
