//! Boxes that are inside the picture and still cannot be right: one thing marked twice, and the whole picture marked for
//! want of a better place.

use super::notes::Notes;
use crate::domain::{BoundingBox, DetectedText, Label, LabelInstance, SensitiveFinding};

/// Two boxes of one label that share more of their area than this mark one thing.
const SAME_THING: f64 = 0.95;

/// Most occurrences of one label. Each is compared with those that are kept.
const MOST_INSTANCES: usize = 1000;

/// Leaves out the duplicates among the occurrences of each label, which are sorted by how sure the model is, and whole
/// pictures: among several occurrences of a label, and where several labels have no other place. A single one is kept.
pub(super) fn labels(labels: &mut [Label], notes: &mut Notes) {
    for label in labels.iter_mut() {
        bound(&mut label.instances, notes);
        let instances = std::mem::take(&mut label.instances);
        label.instances = without_duplicates(instances, notes);
        if label.instances.len() > 1 {
            let before = label.instances.len();
            label.instances.retain(|instance| !instance.bounding_box.covers_picture());
            notes.whole_pictures_dropped(before - label.instances.len());
        }
    }
    let only_whole = |label: &Label| label.instances.iter().any(|instance| instance.bounding_box.covers_picture());
    let whole: Vec<&mut Label> = labels.iter_mut().filter(|label| only_whole(label)).collect();
    match whole.len() {
        0 => {}
        1 => notes.whole_picture_kept(),
        count => {
            whole.into_iter().for_each(|label| label.instances.clear());
            notes.whole_pictures_dropped(count);
        }
    }
}

/// Leaves out whole pictures as the places of lines, of which there are several.
pub(super) fn text(text: &mut DetectedText, notes: &mut Notes) {
    let is_single = text.lines.len() == 1;
    drop_whole(text.lines.iter_mut().map(|line| &mut line.bounding_box).collect(), is_single, notes);
}

/// Leaves out whole pictures as the places of findings, unless it is one alone.
pub(super) fn findings(findings: &mut [SensitiveFinding], notes: &mut Notes) {
    let places: Vec<_> = findings.iter_mut().map(|finding| &mut finding.bounding_box).collect();
    let whole = places.iter().filter(|place| place.as_ref().is_some_and(BoundingBox::covers_picture)).count();
    drop_whole(places, whole == 1, notes);
}

fn drop_whole(places: Vec<&mut Option<BoundingBox>>, keep: bool, notes: &mut Notes) {
    for place in places {
        if !place.as_ref().is_some_and(BoundingBox::covers_picture) {
            continue;
        }
        if keep {
            notes.whole_picture_kept();
        } else {
            *place = None;
            notes.whole_pictures_dropped(1);
        }
    }
}

fn bound(instances: &mut Vec<LabelInstance>, notes: &mut Notes) {
    notes.too_many_dropped(instances.len().saturating_sub(MOST_INSTANCES));
    instances.truncate(MOST_INSTANCES);
}

fn without_duplicates(instances: Vec<LabelInstance>, notes: &mut Notes) -> Vec<LabelInstance> {
    let mut kept: Vec<LabelInstance> = Vec::with_capacity(instances.len());
    for instance in instances {
        let is_same = |known: &LabelInstance| known.bounding_box.overlap(&instance.bounding_box) > SAME_THING;
        if kept.iter().any(is_same) {
            notes.duplicates_dropped(1);
        } else {
            kept.push(instance);
        }
    }
    kept
}
