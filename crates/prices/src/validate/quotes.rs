//! Checks the quotes of sources: each must be USD or a tracked token with a path to USD.

use std::collections::HashSet;

use super::{
    super::{PriceConfig, QuotePaths, SourceConfig},
    error::{PriceConfigError, SourceEntry},
};
use chaincast_base::settings::Problems;
use chaincast_protocol::{Token, USD};

/// What the quotes of sources are checked against.
pub(super) struct Quotes<'a> {
    /// `None` if some symbols are not known.
    tokens: Option<&'a HashSet<&'a Token>>,
    /// `None` if some sources are not known.
    paths: Option<QuotePaths>,
}

impl<'a> Quotes<'a> {
    /// `has_tokens` is whether `tokens` has every configured symbol.
    pub(super) fn new(
        config: &PriceConfig,
        reported: &Problems,
        tokens: &'a HashSet<&'a Token>,
        has_tokens: bool,
    ) -> Self {
        let has_sources = ["token", "quote"]
            .iter()
            .all(|key| !reported.is_reported_in_list("prices.sources", key));
        let mut quotes = Self {
            tokens: has_tokens.then_some(tokens),
            paths: None,
        };
        if has_sources {
            // What is quoted in a wrong quote is a consequence.
            let wrong = config
                .sources
                .iter()
                .filter(|source| quotes.is_wrong(source));
            let wrong = wrong.map(|source| source.kind.quote());
            quotes.paths = Some(QuotePaths::with_quotes(config, wrong));
        }
        quotes
    }

    /// Whether the quote is neither USD nor a tracked token, or the token itself.
    fn is_wrong(&self, source: &SourceConfig) -> bool {
        let quote = source.kind.quote();
        let is_tracked = |quote: &Token| self.tokens.is_none_or(|tokens| tokens.contains(quote));
        quote != USD
            && !quote
                .parse::<Token>()
                .is_ok_and(|quote| quote != source.token && is_tracked(&quote))
    }

    /// Fails if the quote of a source cannot be converted to USD.
    pub(super) fn check(
        &self,
        source: &SourceConfig,
        at: impl Fn() -> SourceEntry,
    ) -> Result<(), PriceConfigError> {
        let quote = source.kind.quote();
        if quote == USD {
            return Ok(());
        }
        let unknown = || PriceConfigError::UnknownQuote {
            at: at(),
            quote: quote.to_owned(),
        };
        let quote: Token = quote.parse().map_err(|_| unknown())?;
        if self.tokens.is_some_and(|tokens| !tokens.contains(&quote)) {
            return Err(unknown());
        }
        if quote == source.token {
            return Err(PriceConfigError::QuotedInItself {
                at: at(),
                token: quote,
            });
        }
        let Some(paths) = &self.paths else {
            return Ok(());
        };
        if !paths.reaches_usd(quote.as_str()) {
            return Err(PriceConfigError::QuoteWithoutUsd { at: at(), quote });
        }
        if paths.depends_on(quote.as_str(), &source.token) {
            let token = source.token.clone();
            return Err(PriceConfigError::QuoteCycle {
                at: at(),
                quote,
                token,
            });
        }
        Ok(())
    }
}
