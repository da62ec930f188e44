//! What was mended while reading, counted once for the whole answer.

use crate::domain::{Adjustment, BoundingBox, Frame, RawBox, Warning, WarningCode};

/// Counts what was mended and turns the counts into warnings.
#[derive(Debug, Default)]
pub(super) struct Notes {
    warnings: Vec<Warning>,
    clipped: usize,
    reordered: usize,
    boxes_dropped: usize,
    entries_dropped: usize,
    confidences_dropped: usize,
}

impl Notes {
    pub(super) fn add(&mut self, code: WarningCode, message: String) {
        self.warnings.push(Warning { code, message });
    }

    pub(super) fn output_truncated(&mut self) {
        let message = "The model reached the most output tokens; lists may be cut. Raise options.max_output_tokens.";
        self.add(WarningCode::OutputTruncated, message.to_owned());
    }

    pub(super) fn output_repaired(&mut self) {
        self.add(WarningCode::OutputRepaired, "The model's answer was no valid JSON and was repaired.".to_owned());
    }

    pub(super) fn entry_dropped(&mut self) {
        self.entries_dropped += 1;
    }

    pub(super) fn confidence_dropped(&mut self) {
        self.confidences_dropped += 1;
    }

    /// Places a box and counts what that took. `None` is a box that could not be read.
    pub(super) fn place(&mut self, frame: &Frame, raw: Option<RawBox>) -> Option<BoundingBox> {
        let Some(placed) = raw.and_then(|raw| frame.locate(raw)) else {
            self.boxes_dropped += 1;
            return None;
        };
        self.clipped += usize::from(placed.adjustments().contains(&Adjustment::Clipped));
        self.reordered += usize::from(placed.adjustments().contains(&Adjustment::Reordered));
        Some(placed)
    }

    pub(super) fn into_warnings(mut self) -> Vec<Warning> {
        let counted = [
            (WarningCode::BoxesReordered, self.reordered, "with swapped corners: put in order"),
            (WarningCode::BoxesClipped, self.clipped, "over the edge of the picture: cut there"),
            (WarningCode::BoxesDropped, self.boxes_dropped, "empty, unreadable or outside the picture: left out"),
        ];
        for (code, count, what) in counted {
            if count > 0 {
                self.add(code, format!("{count} of the model's boxes {what}."));
            }
        }
        if self.entries_dropped > 0 {
            let message =
                format!("{} entries of the model's lists could not be read and were left out.", self.entries_dropped);
            self.add(WarningCode::EntriesDropped, message);
        }
        if self.confidences_dropped > 0 {
            let message = format!("{} confidences outside [0, 1] were left out.", self.confidences_dropped);
            self.add(WarningCode::ConfidenceInvalid, message);
        }
        self.warnings
    }
}
