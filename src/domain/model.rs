//! What the service must know of a model before it calls it. Which models there are is the catalogue's matter.
//!
//! Source: Anthropic's "Vision" and "Coordinates and bounding boxes" pages, Amazon Bedrock's model cards (2026-11).

/// The size rule of a family of models: a picture that exceeds a bound is reduced before the model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VisionTier {
    /// Longest edge in pixels; with a bound on visual tokens, counted in whole 28-pixel patches.
    pub max_edge: u32,
    /// Most visual tokens, one for each 28x28 patch begun; `None` for a model that publishes no such rule.
    pub max_visual_tokens: Option<u32>,
}

impl VisionTier {
    /// Claude 3 to 4.6.
    pub const STANDARD: Self = Self { max_edge: 1568, max_visual_tokens: Some(1568) };
    /// Claude 4.7 and later.
    pub const HIGH_RESOLUTION: Self = Self { max_edge: 2576, max_visual_tokens: Some(4784) };
}

/// The operation of Bedrock Runtime that a model is asked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// Claude's Messages API, over InvokeModel.
    Messages,
    /// Converse, which all vendors' models speak.
    Converse,
}

/// The frame in which a model writes the coordinates of its boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coordinates {
    /// Absolute pixels of the picture as the model sees it.
    Pixels,
    /// 0 to 1000 on both axes, whatever the picture's size.
    PerMille,
}

/// A way to get an answer of a given shape from a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// The service holds the model to a JSON Schema.
    NativeSchema,
    /// The model must call a tool whose input is the answer.
    ForcedTool,
    /// The model is offered the tool and told to call it.
    AutoTool,
    /// The model is told to write JSON, and is shown the schema.
    PromptedJson,
}

/// Which sampling parameters a model takes. Others make it refuse the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sampling {
    /// None.
    None,
    /// `temperature` alone.
    Temperature,
    /// Either `temperature` or `top_p`.
    OneOf,
    /// `temperature`, `top_p` and `top_k` together.
    All,
}

impl Sampling {
    /// Whether `temperature` may be sent.
    pub fn takes_temperature(self) -> bool {
        self != Self::None
    }
}

/// What a model does about extended thinking, which eats output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Thinking {
    /// Off unless asked for: nothing is sent.
    OffByDefault,
    /// On unless switched off: it is switched off, or asked for little where that is refused.
    Disable,
    /// Cannot be switched off: it is asked for little, and gets output tokens of its own.
    Always,
}

/// What a model costs, in US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// Input tokens.
    pub input: f64,
    /// Output tokens.
    pub output: f64,
    /// Input tokens read from the prompt cache.
    pub cache_read: f64,
    /// Input tokens written to the prompt cache.
    pub cache_write: f64,
}

/// A model and how it must be spoken to.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelProfile {
    /// Its name in the catalogue; the id of a model that the catalogue does not know.
    pub name: String,
    /// Whole Bedrock model id, inference-profile id or ARN.
    pub id: String,
    /// How it is called.
    pub api: Api,
    /// How large a picture it sees.
    pub tier: VisionTier,
    /// How it writes boxes.
    pub coordinates: Coordinates,
    /// How it is asked for JSON: the first that the service takes. Never empty.
    pub strategies: Vec<Strategy>,
    /// Which sampling parameters it takes.
    pub sampling: Sampling,
    /// Its rule on thinking.
    pub thinking: Thinking,
    /// Most output tokens that it takes in a request.
    pub max_output_tokens: u32,
    /// AWS Region to call it in; `None` means the server's own.
    pub region: Option<String>,
    /// What it costs; `None` when the catalogue does not say.
    pub prices: Option<Prices>,
    /// Models to ask instead when it cannot answer, by alias, name or id, in order.
    pub fallbacks: Vec<String>,
    /// Its vendor or Bedrock has ended it.
    pub has_ended: bool,
    /// Whether the catalogue knows the model.
    pub is_familiar: bool,
    /// Whether it is an object detector that only speaks a language model's protocol.
    pub is_detector: bool,
}

impl ModelProfile {
    /// The alias of the model that is used when a request names none.
    pub const DEFAULT_ALIAS: &'static str = "default";
    /// The detector behind the embedded endpoint.
    pub const DETECTOR_ID: &'static str = "sightline.nanodet-416";

    /// The features that this model can never answer, by their field names: it is not asked for them.
    pub fn unsupported(&self) -> &'static [&'static str] {
        if self.is_detector { &["text", "extraction"] } else { &[] }
    }
}
