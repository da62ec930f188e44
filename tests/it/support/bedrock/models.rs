//! What is known of each model, one row each, from the vendors' and Amazon's documentation (2026-11) and never from the
//! project's own catalogue, which it checks.

use super::{InvokeRequest, SentImage};
use crate::support::images::{Found, find_rectangle, stored_size};

/// Who made a model: the protocols and the words of its refusals follow from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Speaks both operations.
    Anthropic,
    Amazon,
    Meta,
    Mistral,
    Qwen,
}

/// Which sampling parameters a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    All,
    /// Temperature or `top_p`.
    OneOf,
    None,
}

/// Whether a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// It does not know the parameter.
    Unknown,
    /// When told to.
    Off,
    /// Unless told not to.
    On,
    /// Whatever it is told: to switch it off is an error.
    Always,
}

/// One model.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The part of its ids that names it.
    pub name: &'static str,
    pub vendor: Vendor,
    /// Longest edge in pixels and most visual tokens, where there is a published rule.
    pub sees: Option<(u32, u32)>,
    /// Boxes are written from 0 to 1000 rather than in pixels.
    pub per_mille: bool,
    /// The model can be forced to use a tool.
    pub forced_tool: bool,
    /// The service holds it to a JSON Schema.
    pub native_schema: bool,
    pub sampling: Sampling,
    pub thinking: Thinking,
    /// A conversation may end with words put into the model's mouth.
    pub prefill: bool,
    pub max_tokens: u64,
    /// It is only invoked through an inference profile.
    pub needs_profile: bool,
    /// It is no more.
    pub has_ended: bool,
}

const STANDARD: Option<(u32, u32)> = Some((1568, 1568));
const HIGH: Option<(u32, u32)> = Some((2576, 4784));

const fn claude(name: &'static str, sees: Option<(u32, u32)>, sampling: Sampling, thinking: Thinking) -> Facts {
    Facts {
        name,
        vendor: Vendor::Anthropic,
        sees,
        per_mille: false,
        forced_tool: !matches!(thinking, Thinking::Always),
        native_schema: false,
        sampling,
        thinking,
        prefill: false,
        max_tokens: 128_000,
        needs_profile: true,
        has_ended: false,
    }
}

const fn other(name: &'static str, vendor: Vendor, max_tokens: u64) -> Facts {
    Facts {
        name,
        vendor,
        sees: None,
        per_mille: matches!(vendor, Vendor::Amazon | Vendor::Qwen),
        forced_tool: !matches!(vendor, Vendor::Meta),
        native_schema: false,
        sampling: Sampling::All,
        thinking: Thinking::Unknown,
        prefill: true,
        max_tokens,
        needs_profile: !matches!(vendor, Vendor::Qwen),
        has_ended: false,
    }
}

/// Every model that the service has or had.
pub const MODELS: [Facts; 20] = [
    Facts {
        prefill: true,
        max_tokens: 4096,
        needs_profile: false,
        has_ended: true,
        ..claude("claude-3-sonnet", STANDARD, Sampling::All, Thinking::Unknown)
    },
    claude_4_5("claude-haiku-4-5"),
    claude_4_5("claude-sonnet-4-5"),
    claude_4_5("claude-opus-4-5"),
    Facts { native_schema: true, ..claude("claude-opus-4-6", STANDARD, Sampling::OneOf, Thinking::Off) },
    Facts {
        native_schema: true,
        max_tokens: 64_000,
        ..claude("claude-sonnet-4-6", STANDARD, Sampling::OneOf, Thinking::Off)
    },
    claude("claude-opus-4-7", HIGH, Sampling::None, Thinking::Off),
    claude("claude-opus-4-8", HIGH, Sampling::None, Thinking::Off),
    claude("claude-sonnet-5", HIGH, Sampling::None, Thinking::On),
    claude("claude-opus-5", HIGH, Sampling::None, Thinking::On),
    claude("claude-haiku-5-5", HIGH, Sampling::None, Thinking::On),
    claude("claude-opus-5-5", HIGH, Sampling::None, Thinking::Always),
    claude("claude-sonnet-5-5", HIGH, Sampling::None, Thinking::Always),
    claude("claude-fable-5-1", HIGH, Sampling::None, Thinking::Always),
    Facts { needs_profile: false, ..other("nova-lite-v1:0", Vendor::Amazon, 10_000) },
    Facts { needs_profile: false, ..other("nova-pro-v1:0", Vendor::Amazon, 10_000) },
    other("nova-2-lite-v1:0", Vendor::Amazon, 65_535),
    other("llama4", Vendor::Meta, 8_192),
    other("pixtral-large-2502-v1:0", Vendor::Mistral, 16_384),
    other("qwen3-vl-235b-a22b", Vendor::Qwen, 32_768),
];

const fn claude_4_5(name: &'static str) -> Facts {
    Facts {
        native_schema: true,
        prefill: true,
        max_tokens: 64_000,
        ..claude(name, STANDARD, Sampling::OneOf, Thinking::Off)
    }
}

impl Facts {
    /// The model of an id, whatever its prefix and date, or in an ARN; `None` for a stranger.
    pub fn of(model_id: &str) -> Option<&'static Self> {
        MODELS.iter().find(|model| {
            let Some((_, rest)) = model_id.split_once(model.name) else { return false };
            // What follows the name: nothing, a date or a version such as `-v1:0`. `claude-opus-5` is not
            // `claude-opus-5-5`.
            let version = rest.strip_prefix('-').and_then(|rest| rest.split('-').next());
            !version.is_some_and(|part| part.len() < 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
        })
    }

    /// The size at which the model sees a picture: the largest of its aspect that fits. Counted down from the original's
    /// long edge, as plainly as the rule is written.
    pub fn seen_size(&self, (width, height): (u32, u32)) -> (u32, u32) {
        let Some((edge, tokens)) = self.sees else { return (width, height) };
        let fits = |(w, h): (u32, u32)| {
            w.div_ceil(28) * 28 <= edge && h.div_ceil(28) * 28 <= edge && patches((w, h)) <= u64::from(tokens)
        };
        if fits((width, height)) {
            return (width, height);
        }
        let (long, short) = (width.max(height), width.min(height));
        let aspect = f64::from(long) / f64::from(short);
        let scaled = |long: u32| {
            let short = ((f64::from(long) / aspect).round_ties_even() as u32).max(1);
            if height > width { (short, long) } else { (long, short) }
        };
        (1..long).rev().map(scaled).find(|size| fits(*size)).unwrap_or((1, 1))
    }

    /// Input tokens of a picture.
    pub fn image_tokens(&self, image: &SentImage) -> u64 {
        patches(self.seen_size(stored_size(&image.bytes)))
    }
}

/// Patches of 28x28 pixels, those begun counted.
fn patches((width, height): (u32, u32)) -> u64 {
    u64::from(width.div_ceil(28)) * u64::from(height.div_ceil(28))
}

impl InvokeRequest {
    /// What is known of the model that is asked; `None` for a stranger.
    pub fn facts(&self) -> Option<&'static Facts> {
        Facts::of(&self.model_id)
    }

    /// Input tokens as the service counts them: those of the pictures by the published rule, and one for four bytes of
    /// everything else.
    pub fn input_tokens(&self) -> u64 {
        let images = self.images.iter().map(|image| match self.facts() {
            Some(facts) => facts.image_tokens(image),
            None => patches(stored_size(&image.bytes)),
        });
        let words = self.system_text().len() + self.user_text().len();
        let schema = self.schema().map_or(0, |schema| schema.to_string().len());
        images.sum::<u64>() + (words + schema).div_ceil(4) as u64
    }

    /// The rectangle of the picture as this model writes it: in pixels of the picture as it sees it, or from 0 to 1000.
    /// `None` when there is none.
    pub fn rectangle(&self) -> Option<Found> {
        let file = &self.image().bytes;
        let (found, size) = (find_rectangle(file)?, stored_size(file));
        Some(match self.facts() {
            Some(facts) if facts.per_mille => found.scaled(size, (1000, 1000)),
            Some(facts) => found.scaled(size, facts.seen_size(size)),
            None => found,
        })
    }
}
