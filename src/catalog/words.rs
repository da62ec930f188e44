//! The words of a catalogue file for the vocabulary of models.

use crate::domain::{Api, Coordinates, Sampling, Strategy, Thinking};

/// A value that a catalogue file names by a word.
pub trait Word: Copy + PartialEq + 'static {
    /// Every value and its word.
    const WORDS: &'static [(Self, &'static str)];

    /// The word for the value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(value, _)| *value == self).map_or("", |(_, word)| word)
    }

    /// The value of the word, if there is one.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(value, _)| *value)
    }
}

impl Word for Api {
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Messages, "messages"), (Self::Converse, "converse")];
}

impl Word for Coordinates {
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Pixels, "pixels"), (Self::PerMille, "per_mille")];
}

impl Word for Strategy {
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::NativeSchema, "native_schema"),
        (Self::ForcedTool, "forced_tool"),
        (Self::AutoTool, "auto_tool"),
        (Self::PromptedJson, "prompted_json"),
    ];
}

impl Word for Sampling {
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::None, "none"), (Self::Temperature, "temperature"), (Self::OneOf, "one_of"), (Self::All, "all")];
}

impl Word for Thinking {
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::OffByDefault, "off"), (Self::Disable, "disable"), (Self::Always, "always")];
}
