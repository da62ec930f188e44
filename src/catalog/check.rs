//! The values of a catalogue file, one by one.

use std::ops::RangeInclusive;

use toml::Spanned;

use super::{
    CatalogError, Word,
    file::{Fields, Marked, WrittenEntry, WrittenImage, WrittenPrices},
    ids,
};
use crate::domain::{Prices, VisionTier};

/// Longest edge in pixels: Bedrock takes no picture over 8000, and models see little in one under 200.
const EDGES: RangeInclusive<i64> = 200..=8000;
/// Visual tokens of one picture.
const VISUAL_TOKENS: RangeInclusive<i64> = 64..=100_000;
/// Output tokens of one answer.
const OUTPUT_TOKENS: RangeInclusive<i64> = 256..=1_000_000;
/// Dollars for a million tokens.
const PRICES: RangeInclusive<f64> = 0.0..=10_000.0;
/// What Anthropic asks for a token read from the prompt cache, as a share of an input token.
const CACHE_READ_SHARE: f64 = 0.1;
/// The same for a token written to it.
const CACHE_WRITE_SHARE: f64 = 1.25;
/// Most fallbacks of a model: each may cost a caller another call's time.
const MAX_FALLBACKS: usize = 4;
/// Most further names of a model.
const MAX_NAMES: usize = 20;
/// Shortest part of an id that may stand for a model: a shorter one would be found anywhere.
const MIN_PART_CHARS: usize = 4;
/// Longest name of a model or alias.
const MAX_NAME_CHARS: usize = 128;

/// Checks values and says where in the file they stand.
pub(super) struct Checker<'a> {
    pub(super) text: &'a str,
}

impl Checker<'_> {
    /// The error about a value.
    pub(super) fn error<T>(&self, value: &Spanned<T>, problem: &str) -> CatalogError {
        CatalogError::at(self.text, value.span(), problem)
    }

    fn holds<T>(&self, value: &Spanned<T>, holds: bool, problem: &str) -> Result<(), CatalogError> {
        if holds { Ok(()) } else { Err(self.error(value, problem)) }
    }

    /// A name of a model or an alias.
    pub(super) fn name(&self, name: &Marked) -> Result<(), CatalogError> {
        let text = name.get_ref();
        let fits = (1..=MAX_NAME_CHARS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        self.holds(name, fits, "a name must be 1 to 128 visible ASCII characters")
    }

    /// The count of something that is listed.
    pub(super) fn count<T>(
        &self,
        at: &Spanned<T>,
        count: usize,
        most: usize,
        things: &str,
    ) -> Result<(), CatalogError> {
        self.holds(at, count <= most, &format!("more than {most} {things}; take some out"))
    }

    fn number(&self, field: &str, value: &Spanned<i64>, range: RangeInclusive<i64>) -> Result<u32, CatalogError> {
        let problem = format!("`{field}` must lie between {} and {}", range.start(), range.end());
        let number = Some(*value.get_ref()).filter(|number| range.contains(number));
        number.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| self.error(value, &problem))
    }

    fn price(&self, field: &str, value: &Spanned<f64>) -> Result<f64, CatalogError> {
        let problem = format!("`{field}` must lie between 0 and 10000 dollars for a million tokens");
        self.holds(value, PRICES.contains(value.get_ref()), &problem)?;
        Ok(*value.get_ref())
    }

    fn word<W: Word>(&self, field: &str, value: Option<&Marked>) -> Result<Option<W>, CatalogError> {
        let Some(value) = value else { return Ok(None) };
        let problem = || {
            let words: Vec<String> = W::WORDS.iter().map(|(_, word)| format!("`{word}`")).collect();
            format!("`{field}` has no value `{}`; use {}", value.get_ref(), words.join(", "))
        };
        W::from_word(value.get_ref()).map(Some).ok_or_else(|| self.error(value, &problem()))
    }

    fn strategies<W: Word>(&self, list: &Spanned<Vec<Marked>>) -> Result<Vec<W>, CatalogError> {
        let mut values = Vec::new();
        for marked in list.get_ref() {
            let value = self.word("output", Some(marked))?;
            let is_new = value.is_some_and(|value| !values.contains(&value));
            self.holds(marked, is_new, "`output` names a way twice; leave one out")?;
            values.extend(value);
        }
        self.holds(list, !values.is_empty(), "`output` is empty; `prompted_json` works with every model")?;
        Ok(values)
    }

    fn image(&self, image: &WrittenImage) -> Result<VisionTier, CatalogError> {
        let tokens = image.max_visual_tokens.as_ref();
        Ok(VisionTier {
            max_edge: self.number("max_edge", &image.max_edge, EDGES)?,
            max_visual_tokens: tokens
                .map(|tokens| self.number("max_visual_tokens", tokens, VISUAL_TOKENS))
                .transpose()?,
        })
    }

    fn prices(&self, prices: &WrittenPrices) -> Result<Prices, CatalogError> {
        let input = self.price("input", &prices.input)?;
        let or_share = |field, price: Option<&Spanned<f64>>, share: f64| match price {
            Some(price) => self.price(field, price),
            None => Ok(input * share),
        };
        Ok(Prices {
            input,
            output: self.price("output", &prices.output)?,
            cache_read: or_share("cache_read", prices.cache_read.as_ref(), CACHE_READ_SHARE)?,
            cache_write: or_share("cache_write", prices.cache_write.as_ref(), CACHE_WRITE_SHARE)?,
        })
    }

    fn texts(&self, entry: &WrittenEntry) -> Result<(), CatalogError> {
        if let Some(id) = &entry.id {
            let problem =
                "`id` must be a Bedrock model id, inference-profile id or ARN of 1 to 2048 visible ASCII characters";
            self.holds(id, ids::is_possible(id.get_ref()), problem)?;
        }
        for (index, part) in entry.names.iter().flatten().enumerate() {
            self.count(part, index + 1, MAX_NAMES, "names")?;
            let fits = part.get_ref().len() >= MIN_PART_CHARS && ids::is_possible(part.get_ref());
            self.holds(part, fits, "a part of an id must be at least 4 visible ASCII characters")?;
        }
        if let Some(region) = &entry.region {
            let is_region =
                region.get_ref().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            let problem = "`region` must be an AWS Region such as `eu-central-1`, or empty for the server's own";
            self.holds(region, is_region && region.get_ref().len() <= 32, problem)?;
        }
        if let Some(date) = &entry.end_of_life {
            let shape: String = date.get_ref().chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            self.holds(date, shape == "0000-00-00", "`end_of_life` must be a date such as \"2027-06-30\"")?;
        }
        if let Some(fallbacks) = &entry.fallbacks {
            self.count(fallbacks, fallbacks.get_ref().len(), MAX_FALLBACKS, "fallbacks")?;
        }
        Ok(())
    }
}

/// The checked fields of an entry.
pub(super) fn fields(check: &Checker<'_>, entry: WrittenEntry) -> Result<Fields, CatalogError> {
    check.texts(&entry)?;
    let tokens = entry.max_output_tokens.as_ref();
    Ok(Fields {
        api: check.word("api", entry.api.as_ref())?,
        tier: entry.image.as_ref().map(|image| check.image(image)).transpose()?,
        coordinates: check.word("coordinates", entry.coordinates.as_ref())?,
        strategies: entry.output.as_ref().map(|output| check.strategies(output)).transpose()?,
        sampling: check.word("sampling", entry.sampling.as_ref())?,
        thinking: check.word("thinking", entry.thinking.as_ref())?,
        max_output_tokens: tokens.map(|tokens| check.number("max_output_tokens", tokens, OUTPUT_TOKENS)).transpose()?,
        prices: entry.prices.as_ref().map(|prices| check.prices(prices)).transpose()?,
        extends: entry.extends,
        id: entry.id.map(Spanned::into_inner),
        names: entry.names.map(|names| names.into_iter().map(Spanned::into_inner).collect()),
        region: entry.region.map(Spanned::into_inner),
        fallbacks: entry.fallbacks.map(Spanned::into_inner),
        has_ended: entry.ended,
        end_of_life: entry.end_of_life.map(Spanned::into_inner),
        is_detector: entry.detector,
    })
}
