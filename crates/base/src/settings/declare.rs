//! The macros that declare sections and the types of their values.

/// Declares a section: `name: Type = default, property(…), …;` for each key, with its text as documentation. The
/// properties are the methods of [`Key`](super::Key); `Type as function` passes what was read through a function. Fields in
/// `with { … }` are not keys; `label(function)` identifies an entry of a list in messages.
#[macro_export]
#[doc(hidden)]
macro_rules! __settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $text:literal])*
                $key:ident : $type:ty $(as $map:path)? = $default:expr $(, $property:ident ( $($argument:expr),* ) )* ;
            )*
        }
        $(label($label:path))?
        $(with {
            $( $(#[$other_meta:meta])* $other:ident : $other_type:ty = $other_default:expr ; )*
        })?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $( $(#[doc = $text])* pub $key: $type, )*
            $( $( $(#[$other_meta])* pub $other: $other_type, )* )?
        }

        impl $name {
            /// The keys of this section, in the order of their declaration.
            pub const KEYS: &'static [$crate::settings::Key] = &[
                $(
                    $crate::settings::Key::new::<$type>(
                        stringify!($key),
                        &[$($text),*],
                        || {
                            let default: $type = $default;
                            $crate::settings::Setting::toml(&default)
                        },
                    )
                    $(.$property($($argument),*))*,
                )*
            ];
        }

        impl Default for $name {
            /// Every default; a required key has the value of its declaration.
            fn default() -> Self {
                Self {
                    $( $key: $default, )*
                    $( $( $other: $other_default, )* )?
                }
            }
        }

        impl $crate::settings::Setting for $name {
            const SHAPE: $crate::settings::Shape = $crate::settings::Shape::Section(Self::KEYS);

            fn read(
                value: $crate::settings::toml::Value,
                _: &$crate::settings::Key,
                path: &str,
                problems: &mut $crate::settings::Problems,
            ) -> Option<Self> {
                let mut fields = $crate::settings::Fields::new(value, Self::KEYS, path, problems)?;
                Some(Self {
                    $( $key: {
                        let taken = fields.take::<$type>(stringify!($key));
                        $( let taken = taken.map($map); )?
                        taken.unwrap_or_else(|| $default)
                    }, )*
                    $( $( $other: $other_default, )* )?
                })
            }

            $(
                fn label(entry: &$crate::settings::toml::Value) -> Option<String> {
                    Some($label(entry))
                }
            )?
        }

        impl<'de> $crate::settings::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::settings::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::settings::deserialize(deserializer, Self::KEYS)
            }
        }
    };
}

/// Makes types that serde reads usable as values of keys; `Type = |value| TOML` if one is the default of a key that
/// `config/default.toml` shows.
#[macro_export]
#[doc(hidden)]
macro_rules! __plain_settings {
    ( $( $type:ty $( = $toml:expr )? ),* $(,)? ) => { $(
        impl $crate::settings::Setting for $type {
            fn read(
                value: $crate::settings::toml::Value,
                key: &$crate::settings::Key,
                path: &str,
                problems: &mut $crate::settings::Problems,
            ) -> Option<Self> {
                $crate::settings::read_plain(value, key, path, problems)
            }
            $(
                fn toml(&self) -> String {
                    let toml: fn(&Self) -> String = $toml;
                    toml(self)
                }
            )?
        }
    )* };
}

#[doc(inline)]
pub use crate::{__plain_settings as plain_settings, __settings as settings};
