//! What a kind of source registers.

use std::sync::Arc;

use toml::Value;

use super::{Feed, PriceConfig, source_config::SourceSettings};
use chaincast_base::settings::{Key, Kind, Problems, Setting};

/// A kind of source: its module has one, and the table in `kinds` lists it.
pub(super) struct KindEntry {
    /// Its name in the configuration, metrics and logs, its text in `config/default.toml`, and its keys.
    pub kind: Kind,
    /// Reads these keys.
    pub read: ReadSettings,
    /// The feeds of all its sources; [`no_feeds`] for a kind on chains.
    pub feeds: fn(&PriceConfig) -> Vec<Box<dyn Feed>>,
}

/// A reader of settings; see [`Setting::read`].
type ReadSettings = fn(Value, &Key, &str, &mut Problems) -> Option<Arc<dyn SourceSettings>>;

/// Reads settings that have the keys of the kind.
pub(super) fn read<T: Setting + SourceSettings>(
    keys: Value,
    key: &Key,
    path: &str,
    problems: &mut Problems,
) -> Option<Arc<dyn SourceSettings>> {
    Some(Arc::new(T::read(keys, key, path, problems)?))
}

pub(super) fn no_feeds(_: &PriceConfig) -> Vec<Box<dyn Feed>> {
    Vec::new()
}
