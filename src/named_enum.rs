//! Enums whose variants have a name and are counted or listed: one list each.

/// Declares an enum of which every variant has a name: `Variant = "name"`.
///
/// Beside the enum it makes `ALL`, every variant in the order of declaration, so that `variant as usize` is its place in
/// there, `name` and `from_name`. None can lack a variant.
macro_rules! named_enum {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident {
            $( $(#[$of_variant:meta])* $variant:ident = $text:literal, )+
        }
    ) => {
        $(#[$attribute])*
        $visibility enum $name {
            $( $(#[$of_variant])* $variant, )+
        }

        impl $name {
            /// Every variant, in order.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// Its name, as files, requests and metrics spell it.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )+
                }
            }

            /// The one of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|variant| variant.name() == name)
            }
        }
    };
}

pub(crate) use named_enum;
