//! What a caller should know that is no error.

/// Something that was changed or is in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its stable code.
    pub code: WarningCode,
    /// Plain English, a sentence or two.
    pub message: String,
}

impl Warning {
    /// A warning of `code`.
    pub fn new(code: WarningCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The stable codes. The list grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WarningCode {
    /// The picture was reduced to what the model sees; small things may be lost.
    ImageResized,
    /// Transparent areas were laid on white.
    ImageFlattened,
    /// Only the first frame of an animation was analyzed.
    ImageFirstFrameOnly,
    /// The picture was compressed harder to fit the model's byte limit.
    ImageRecompressed,
    /// An edge is under 200 px; answers on such pictures are less reliable.
    ImageSmall,
    /// Boxes reached over the edge and were cut.
    BoxesClipped,
    /// Boxes with swapped corners were put in order.
    BoxesReordered,
    /// Boxes that were empty, unreadable or outside were left out.
    BoxesDropped,
    /// Boxes that the model wrote more than once were left out.
    BoxesDuplicate,
    /// Boxes that cover the whole picture, though what they mark does not, were left out or are in doubt.
    BoxesWholePicture,
    /// All boxes fit another frame of the picture than the one asked for, and were read in it.
    BoxesFrameChanged,
    /// Entries of a list that could not be read were left out.
    EntriesDropped,
    /// A confidence outside [0, 1] was left out.
    ConfidenceInvalid,
    /// The verdict was missing, not one that is known, or at odds with the findings.
    VerdictUnclear,
    /// The model stopped at the most output tokens; lists may be cut.
    OutputTruncated,
    /// The model's answer had to be repaired before it could be read.
    OutputRepaired,
    /// The model takes no sampling temperature; it was left out.
    TemperatureIgnored,
    /// The model takes fewer output tokens than were asked for.
    OutputTokensLowered,
    /// The service refused a parameter that the model should take; it was left out.
    ParameterRefused,
    /// Another model than the one asked for answered.
    ModelFallback,
    /// The model has ended or is about to.
    ModelEnded,
    /// The model's first answer could not be used; it was asked again.
    ModelAskedAgain,
    /// The model is not one this version knows; careful defaults were used.
    ModelUnfamiliar,
    /// The answer comes from an object detector, not from a language model.
    ModelIsDetector,
}

impl WarningCode {
    /// The code in UPPER_SNAKE_CASE, as callers see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImageResized => "IMAGE_RESIZED",
            Self::ImageFlattened => "IMAGE_FLATTENED",
            Self::ImageFirstFrameOnly => "IMAGE_FIRST_FRAME_ONLY",
            Self::ImageRecompressed => "IMAGE_RECOMPRESSED",
            Self::ImageSmall => "IMAGE_SMALL",
            Self::BoxesClipped => "BOXES_CLIPPED",
            Self::BoxesReordered => "BOXES_REORDERED",
            Self::BoxesDropped => "BOXES_DROPPED",
            Self::BoxesDuplicate => "BOXES_DUPLICATE",
            Self::BoxesWholePicture => "BOXES_WHOLE_PICTURE",
            Self::BoxesFrameChanged => "BOXES_FRAME_CHANGED",
            Self::EntriesDropped => "ENTRIES_DROPPED",
            Self::ConfidenceInvalid => "CONFIDENCE_INVALID",
            Self::VerdictUnclear => "VERDICT_UNCLEAR",
            Self::OutputTruncated => "OUTPUT_TRUNCATED",
            Self::OutputRepaired => "OUTPUT_REPAIRED",
            Self::TemperatureIgnored => "TEMPERATURE_IGNORED",
            Self::OutputTokensLowered => "OUTPUT_TOKENS_LOWERED",
            Self::ParameterRefused => "PARAMETER_REFUSED",
            Self::ModelFallback => "MODEL_FALLBACK",
            Self::ModelEnded => "MODEL_ENDED",
            Self::ModelAskedAgain => "MODEL_ASKED_AGAIN",
            Self::ModelUnfamiliar => "MODEL_UNFAMILIAR",
            Self::ModelIsDetector => "MODEL_IS_DETECTOR",
        }
    }
}
