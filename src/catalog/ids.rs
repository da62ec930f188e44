//! Bedrock's ids: which known model one means, whatever its prefix, date and version.

use crate::domain::{Api, Coordinates, ModelProfile, Sampling, Strategy, Thinking, VisionTier};

/// Longest model id in bytes that Bedrock takes.
const MAX_ID_BYTES: usize = 2048;

/// Most output tokens asked of a model that nothing is known of.
const CAREFUL_OUTPUT_TOKENS: u32 = 4096;

/// The same of a Claude, which may think inside them: every one that is still there writes as many.
const CAREFUL_CLAUDE_OUTPUT_TOKENS: u32 = 16_384;

/// A longest edge in pixels that no tier of Claude reduces, whatever the picture's aspect: 39 x 39 patches at most.
const NEVER_REDUCED_EDGE: u32 = 1092;

/// Whether `id` holds `name` as the whole of a model's name: `claude-sonnet-5` is in
/// `us.anthropic.claude-sonnet-5-20260630-v1:0`, and not in `claude-sonnet-5-7`, which is another model.
pub(super) fn holds(id: &str, name: &str) -> bool {
    id.match_indices(name).any(|(at, name)| {
        let begins_word = !id.get(..at).is_some_and(|before| before.ends_with(|c: char| c.is_ascii_alphanumeric()));
        begins_word && id.get(at + name.len()..).is_some_and(ends_name)
    })
}

/// Whether `id` says another version directly behind `name` than `own_id` does: `nova-lite-v2:0` is not `nova-lite-v1:0`.
pub(super) fn is_other_version(id: &str, own_id: &str, name: &str) -> bool {
    let version = |id: &str| {
        let (_, rest) = id.split_once(name)?;
        rest.strip_prefix("-v")?.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
    };
    version(id).zip(version(own_id)).is_some_and(|(version, own)| version != own)
}

/// Whether a model's name may end before `rest`: not inside a word or number, and not before a further version number,
/// which unlike a date has one or two digits.
fn ends_name(rest: &str) -> bool {
    let Some(after) = rest.strip_prefix(['-', '.', '_']) else {
        return !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    };
    let part = after.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    !(matches!(part.len(), 1 | 2) && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether the text can be sent to Bedrock as a model id at all.
pub(super) fn is_possible(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether the text is a Bedrock id or ARN rather than a name: `vendor.model`, `arn:..`.
pub(super) fn looks_like_id(text: &str) -> bool {
    is_possible(text) && (text.contains('.') || text.starts_with("arn:"))
}

/// Whether an id says whose model it means. That of an application inference profile or of provisioned throughput does
/// not: `arn:..:application-inference-profile/a1b2c3`.
fn names_vendor(id: &str) -> bool {
    let resource = if id.starts_with("arn:") { id.splitn(6, ':').nth(5).unwrap_or_default() } else { id };
    resource.contains('.')
}

/// How large a picture is sent to a model of which only its id is known.
fn careful_tier(id: &str, is_claude: bool) -> VisionTier {
    match is_claude {
        true => VisionTier::STANDARD,
        // Other vendors count a picture's tokens by rules of their own, or do not publish them.
        false if names_vendor(id) => VisionTier { max_visual_tokens: None, ..VisionTier::STANDARD },
        // It may be any Claude, which would write boxes in the frame of a picture that it reduced unseen.
        false => VisionTier { max_edge: NEVER_REDUCED_EDGE, max_visual_tokens: None },
    }
}

/// What can be said of a model that nothing is known of but its id: what hurts least when it is wrong.
pub(super) fn careful(id: &str) -> ModelProfile {
    let is_claude = id.contains("anthropic.claude");
    let counts_per_mille = id.contains("amazon.nova") || id.contains("qwen3-vl");
    ModelProfile {
        name: id.to_owned(),
        id: id.to_owned(),
        api: if is_claude { Api::Messages } else { Api::Converse },
        tier: careful_tier(id, is_claude),
        coordinates: if counts_per_mille { Coordinates::PerMille } else { Coordinates::Pixels },
        strategies: vec![Strategy::AutoTool, Strategy::PromptedJson],
        sampling: Sampling::None,
        // Newer Claudes think unless told otherwise, and some whatever they are told. One that does not know the parameter
        // is asked without.
        thinking: if is_claude { Thinking::Always } else { Thinking::OffByDefault },
        max_output_tokens: if is_claude { CAREFUL_CLAUDE_OUTPUT_TOKENS } else { CAREFUL_OUTPUT_TOKENS },
        region: None,
        prices: None,
        fallbacks: Vec::new(),
        has_ended: false,
        is_familiar: false,
        is_detector: false,
    }
}
