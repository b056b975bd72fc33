//! Suggestions for unknown names.

use super::Key;
use super::problem::Hint;

/// The longest name that is compared with the known ones; no typo makes a name longer than this.
const LONGEST_TYPO: usize = 32;

/// The sections, in the order of the file.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = None;
    Key::ALL
        .into_iter()
        .filter_map(Key::section)
        .filter(move |section| last.replace(*section) != Some(*section))
}

/// The settings of one section, or of the top of the file.
pub(super) fn keys_of(section: Option<&'static str>) -> impl Iterator<Item = Key> {
    Key::ALL.into_iter().filter(move |key| key.section() == section)
}

/// What `name` may stand for: the same name elsewhere, else a similar one here, else a similar one elsewhere.
pub(super) fn hint(section: Option<&'static str>, is_section: bool, name: &str) -> Hint {
    let here = || {
        let leaves = (!is_section).then(|| keys_of(section).map(Key::leaf));
        let sections = section.is_none().then(sections).filter(|_| is_section);
        leaves.into_iter().flatten().chain(sections.into_iter().flatten())
    };
    let elsewhere = || Key::ALL.into_iter().filter(|key| !is_section && key.section() != section);
    if let Some(key) = elsewhere().find(|key| key.leaf() == name || key.name() == name) {
        return Hint::BelongsElsewhere(key);
    }
    if let Some(near) = nearest(name, here(), |near| near) {
        return Hint::DidYouMean(near);
    }
    if let Some(key) = nearest(name, elsewhere(), Key::leaf) {
        return Hint::DidYouMeanElsewhere(key);
    }
    Hint::Known(here().collect())
}

/// The candidate with the spelling closest to `name`, if one is close enough. Ignores case, `-` and `_`.
pub(crate) fn nearest<'a, T: Copy>(
    name: &str,
    among: impl Iterator<Item = T>,
    spelt: impl Fn(T) -> &'a str,
) -> Option<T> {
    // Comparing costs time in proportion to the length, which the file chooses.
    if name.len() > LONGEST_TYPO {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    among
        .map(|candidate| (strsim::damerau_levenshtein(&name, &plain(spelt(candidate))), candidate))
        // One mistake in three letters is a typo, more is another word.
        .filter(|(distance, candidate)| *distance <= (spelt(*candidate).len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
