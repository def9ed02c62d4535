//! Configuration keys, each declared once in the module that owns it.
//!
//! [`settings!`] turns the declaration of a section into its struct, its defaults, its reader and its [`Key`]s. The
//! reader refuses unknown keys, wrong types and numbers out of range, and reports every one of them: a value that
//! cannot be read is replaced by its default, so that the rest is checked too. Error messages and
//! `config/default.toml` are made from the same keys.
//!
//! ```text
//! settings! {
//!     /// `[server]`
//!     pub struct ServerConfig {
//!         /// Pending connections in the listen queue.
//!         accept_backlog: u32 = 4_096, range(16, 65_535), unit("connections");
//!     }
//! }
//! ```
//!
//! The texts are those of `config/default.toml`. A key without a useful default has an `example`, which is written
//! commented out. Checks that compare keys stay functions of their owner. Values of a [`Secret`](crate::Secret)
//! are never repeated in a message.

mod amount;
mod document;
mod explain;
mod key;
mod nearest;
mod problems;
mod section;
mod setting;
#[cfg(test)]
mod tests;

/// For the code that [`settings!`] generates.
#[doc(hidden)]
pub use {serde, toml};

pub use self::{
    declare::{plain_settings, settings},
    document::document,
    key::{Key, Kind, Range, Shape, has_known_names, list_paths},
    problems::{Problem, Problems},
    section::{Fields, deserialize},
    setting::{Setting, lower_case_word, read_plain},
};

mod declare;
