//! The syntax of the table of settings, and the code generated from it.

use toml::de::DeValue;

use super::Config;
use super::form::{Form, Invalid};

/// Declares the settings, one entry each, section by section:
///
/// ```text
/// /// The help text, in the words of the shipped file and the manual.
/// Variant => field: Type = default, form, Effect;
/// ```
///
/// The name of the key is its section's followed by the field's. The form (`form.rs`) defines the allowed values,
/// and the effect what an edit does, and to whom.
///
/// The macro generates [`Config`] with its sections and its default, [`Key`](super::Key) with its list, names, effects
/// and help texts, and the entry through which values are read, written and compared.
macro_rules! settings {
    (
        $(#[$top:meta])*
        struct Config {
            $(
                $(#[doc = $help:literal])*
                $key:ident => $field:ident: $type:ty = $default:expr, $form:expr, $effect:ident;
            )*
        }
        $(
            $(#[$of_section:meta])*
            struct $Section:ident in $section:ident {
                $(
                    $(#[doc = $help_in:literal])*
                    $key_in:ident => $field_in:ident: $type_in:ty = $default_in:expr, $form_in:expr, $effect_in:ident;
                )*
            }
        )*
    ) => {
        $(#[$top])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Config {
            $(
                $(#[doc = $help])*
                pub $field: $type,
            )*
            $(
                #[doc = concat!("Section `[", stringify!($section), "]`.")]
                pub $section: $Section,
            )*
        }

        $(
            $(#[$of_section])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $Section {
                $(
                    $(#[doc = $help_in])*
                    pub $field_in: $type_in,
                )*
            }
        )*

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    $($section: $Section { $($field_in: $default_in,)* },)*
                }
            }
        }

        /// One setting. The order is that of the shipped file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key {
            $(
                #[doc = concat!("`", stringify!($field), "`")]
                $key,
            )*
            $($(
                #[doc = concat!("`", stringify!($section), ".", stringify!($field_in), "`")]
                $key_in,
            )*)*
        }

        impl Key {
            /// Every setting, in order.
            pub const ALL: [Self; [$(Key::$key,)* $($(Key::$key_in,)*)*].len()] =
                [$(Self::$key,)* $($(Self::$key_in,)*)*];

            /// The name with its section, such as `limits.signal_step`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$key => stringify!($field),)*
                    $($(Self::$key_in => concat!(stringify!($section), ".", stringify!($field_in)),)*)*
                }
            }

            /// When an edit of it takes effect, and for whom.
            pub const fn effect(self) -> Effect {
                match self {
                    $(Self::$key => Effect::$effect,)*
                    $($(Self::$key_in => Effect::$effect_in,)*)*
                }
            }

            /// Its help text, in the lines of the table. User input is in backquotes.
            pub const fn help(self) -> &'static [&'static str] {
                match self {
                    $(Self::$key => &[$($help,)*],)*
                    $($(Self::$key_in => &[$($help_in,)*],)*)*
                }
            }

            /// Its part of a [`Config`].
            pub(super) fn entry(self) -> &'static dyn Entry {
                match self {
                    $(Self::$key => const {
                        &Row {
                            form: $form,
                            get: |config| &config.$field,
                            get_mut: |config| &mut config.$field,
                        }
                    },)*
                    $($(Self::$key_in => const {
                        &Row {
                            form: $form_in,
                            get: |config| &config.$section.$field_in,
                            get_mut: |config| &mut config.$section.$field_in,
                        }
                    },)*)*
                }
            }
        }
    };
}

pub(super) use settings;

/// The part of a [`Config`] for one setting, whatever its type.
pub(super) trait Entry {
    /// Writes the value of the file into `config`, or leaves it as it was.
    fn read(&self, config: &mut Config, value: &DeValue<'_>) -> Result<(), Invalid>;

    /// The value as a person writes it, without quotes; `None` for a path or port that is not configured.
    fn write(&self, config: &Config) -> Option<String>;

    /// Copies the value from `other` to `config`.
    fn copy(&self, config: &mut Config, other: &Config);

    /// What the file may contain, in words.
    fn expected(&self) -> String;

    /// As [`Form::example`].
    fn example(&self) -> Option<&'static str>;

    /// As [`Form::without`].
    fn without(&self) -> &'static str;
}

/// The part of a [`Config`] for one setting.
pub(super) struct Row<T, F> {
    pub(super) form: F,
    pub(super) get: fn(&Config) -> &T,
    pub(super) get_mut: fn(&mut Config) -> &mut T,
}

impl<T: Clone, F: Form<T>> Entry for Row<T, F> {
    fn read(&self, config: &mut Config, value: &DeValue<'_>) -> Result<(), Invalid> {
        *(self.get_mut)(config) = self.form.read(value)?;
        Ok(())
    }

    fn write(&self, config: &Config) -> Option<String> {
        self.form.write((self.get)(config))
    }

    fn copy(&self, config: &mut Config, other: &Config) {
        (self.get_mut)(config).clone_from((self.get)(other));
    }

    fn expected(&self) -> String {
        self.form.expected(self.write(&Config::default()).as_deref())
    }

    fn example(&self) -> Option<&'static str> {
        self.form.example()
    }

    fn without(&self) -> &'static str {
        self.form.without()
    }
}
