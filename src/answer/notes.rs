//! What was mended while reading, counted once for the whole answer, and what was seen that tells how to read it.

use crate::domain::{Adjustment, BoundingBox, Frame, RawBox, Warning, WarningCode};

/// Counts what was mended and turns the counts into warnings, and keeps the raw numbers that only mean something together.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    warnings: Vec<Warning>,
    clipped: usize,
    reordered: usize,
    boxes_dropped: usize,
    duplicates: usize,
    too_many: usize,
    whole_pictures: usize,
    whole_pictures_kept: usize,
    entries_dropped: usize,
    confidences_dropped: usize,
    boxes: Vec<RawBox>,
    confidences: Vec<f64>,
}

impl Notes {
    /// Adds a warning; one sentence more to the one of the same code.
    pub(super) fn add(&mut self, code: WarningCode, message: &str) {
        match self.warnings.iter_mut().find(|known| known.code == code) {
            Some(known) if known.message.contains(message) => {}
            Some(known) => known.message = format!("{} {message}", known.message),
            None => self.warnings.push(Warning::new(code, message)),
        }
    }

    pub(super) fn output_truncated(&mut self) {
        let message = "The model reached the most output tokens; lists may be cut and an extraction may lack fields. Raise options.max_output_tokens.";
        self.add(WarningCode::OutputTruncated, message);
    }

    pub(super) fn output_cut(&mut self) {
        self.add(WarningCode::OutputTruncated, "The model's answer ends in the middle; what was complete is kept.");
    }

    pub(super) fn output_repaired(&mut self) {
        self.add(WarningCode::OutputRepaired, "The model's answer was no valid JSON and was repaired.");
    }

    /// A field held its value in another form than the one asked for, such as JSON in a string.
    pub(super) fn field_repaired(&mut self) {
        self.add(WarningCode::OutputRepaired, "Fields of the model's answer were in another form and were converted.");
    }

    pub(super) fn entry_dropped(&mut self) {
        self.entries_dropped += 1;
    }

    pub(super) fn confidence_dropped(&mut self) {
        self.confidences_dropped += 1;
    }

    /// A bare number that was given as a confidence.
    pub(super) fn saw_confidence(&mut self, number: f64) {
        self.confidences.push(number);
    }

    pub(super) fn duplicates_dropped(&mut self, count: usize) {
        self.duplicates += count;
    }

    /// Boxes of one label beyond the most that are kept.
    pub(super) fn too_many_dropped(&mut self, count: usize) {
        self.too_many += count;
    }

    pub(super) fn whole_pictures_dropped(&mut self, count: usize) {
        self.whole_pictures += count;
    }

    pub(super) fn whole_picture_kept(&mut self) {
        self.whole_pictures_kept += 1;
    }

    /// The boxes that were seen, as the model wrote them.
    pub(super) fn boxes(&self) -> &[RawBox] {
        &self.boxes
    }

    /// The bare numbers that were given as confidences.
    pub(super) fn confidences(&self) -> &[f64] {
        &self.confidences
    }

    /// Places a box and counts what that took. `None` is a box that could not be read.
    pub(super) fn place(&mut self, frame: &Frame, raw: Option<RawBox>) -> Option<BoundingBox> {
        self.boxes.extend(raw);
        let Some(placed) = raw.and_then(|raw| frame.locate(raw)) else {
            self.boxes_dropped += 1;
            return None;
        };
        self.clipped += usize::from(placed.adjustments().contains(&Adjustment::Clipped));
        self.reordered += usize::from(placed.adjustments().contains(&Adjustment::Reordered));
        Some(placed)
    }

    pub(super) fn into_warnings(mut self) -> Vec<Warning> {
        use WarningCode::{
            BoxesClipped, BoxesDropped, BoxesDuplicate, BoxesReordered, BoxesWholePicture, ConfidenceInvalid,
            EntriesDropped,
        };
        let counted = [
            (BoxesReordered, self.reordered, "of the model's boxes with swapped corners: put in order."),
            (BoxesClipped, self.clipped, "of the model's boxes over the edge of the picture: cut there."),
            (
                BoxesDropped,
                self.boxes_dropped,
                "of the model's boxes empty, unreadable or outside the picture: left out.",
            ),
            (BoxesDropped, self.too_many, "of the model's boxes beyond the most for one label: left out."),
            (BoxesDuplicate, self.duplicates, "of the model's boxes mark what another one marks: left out."),
            (BoxesWholePicture, self.whole_pictures, "of the model's boxes cover the whole picture: left out."),
            (
                BoxesWholePicture,
                self.whole_pictures_kept,
                "of the model's boxes covers the whole picture and is in doubt.",
            ),
            (EntriesDropped, self.entries_dropped, "entries of the model's lists could not be read and were left out."),
            (ConfidenceInvalid, self.confidences_dropped, "confidences that are no number in [0, 1] were left out."),
        ];
        for (code, count, what) in counted {
            if count > 0 {
                self.add(code, &format!("{count} {what}"));
            }
        }
        self.warnings
    }
}
