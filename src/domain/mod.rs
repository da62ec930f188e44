//! The vocabulary every layer speaks: what is asked, what is answered, and the geometry between the picture as it lies
//! in S3 and the picture as the model saw it. Plain values; no I/O, no encoding, no service.

mod analysis;
mod caller;
mod geometry;
mod model;
mod request;
mod usage;
mod warning;

pub use analysis::{
    Analysis, DetectedText, Findings, ImageFacts, Label, LabelInstance, Labels, MissingCause, MissingFeature,
    ModelFacts, SensitiveFinding, Sensitivity, StopReason, TextLine, Timing, Verdict,
};
pub use caller::Caller;
pub use geometry::{Adjustment, BoundingBox, Frame, NormalizedBox, RawBox, Size};
pub use model::{Api, Coordinates, ModelProfile, Prices, Sampling, Strategy, Thinking, VisionTier};
pub use request::{
    CacheMode, DEFAULT_MAX_LABELS, DEFAULT_SENSITIVITY_CATEGORIES, ExtractionRequest, Features, LabelsRequest,
    Location, ObjectRef, Options, OversizePolicy, SensitivityRequest, sensitivity_meaning,
};
pub use usage::Usage;
pub use warning::{Warning, WarningCode};
