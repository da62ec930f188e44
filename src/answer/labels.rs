//! The list of labels: read, merged by name, filtered, ordered.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Field, boxes, notes::Notes};
use crate::domain::{Frame, Label, LabelInstance, LabelsRequest};

/// Reads the labels of an answer.
pub(super) fn read(
    object: &Value,
    request: &LabelsRequest,
    filter_vocabulary: bool,
    frame: &Frame,
    notes: &mut Notes,
) -> Field<Vec<Label>> {
    let Value::Array(items) = object.get("labels").ok_or(super::ABSENT)? else { return Err(super::WRONG_TYPE) };
    let mut labels: Vec<Label> = Vec::new();
    for item in items {
        match label(item, frame, notes) {
            Some(label) => merge(&mut labels, label),
            None => notes.entry_dropped(),
        }
    }
    if filter_vocabulary && !request.vocabulary.is_empty() {
        labels.retain(|label| request.vocabulary.iter().any(|word| word.trim().to_lowercase() == label.name));
    }
    if let Some(least) = request.min_confidence {
        labels = labels.into_iter().filter_map(|label| confident(label, least)).collect();
    }
    for label in &mut labels {
        label
            .instances
            .sort_by(|a, b| order((a.confidence, a.bounding_box.area()), (b.confidence, b.bounding_box.area())));
    }
    labels.sort_by(|a, b| order((a.confidence, area(a)), (b.confidence, area(b))));
    labels.truncate(request.max_results as usize);
    Ok(labels)
}

fn label(item: &Value, frame: &Frame, notes: &mut Notes) -> Option<Label> {
    if let Value::String(name) = item {
        return named(name, name, None, Vec::new());
    }
    let text = |names: [&str; 2]| names.iter().find_map(|name| item.get(name)).and_then(Value::as_str);
    let name = text(["name", "label"])?;
    let display_name = text(["display_name", "displayName"]).filter(|name| !name.trim().is_empty()).unwrap_or(name);
    let said = confidence(item, notes);
    let instances: Vec<LabelInstance> = match item.get("instances") {
        Some(Value::Array(items)) => items.iter().filter_map(|item| instance(item, frame, notes)).collect(),
        // The flat form: one box beside the name.
        _ if boxes::of_entry(item).is_some() => {
            let place = notes.place(frame, boxes::of_entry(item).and_then(boxes::raw_box));
            place.map(|bounding_box| LabelInstance { bounding_box, confidence: said }).into_iter().collect()
        }
        _ => Vec::new(),
    };
    let surest = instances.iter().filter_map(|instance| instance.confidence).reduce(f32::max);
    named(name, display_name, said.or(surest), instances)
}

fn named(name: &str, display_name: &str, confidence: Option<f32>, instances: Vec<LabelInstance>) -> Option<Label> {
    let name = name.trim().to_lowercase();
    (!name.is_empty()).then(|| Label { name, display_name: display_name.trim().to_owned(), confidence, instances })
}

/// An instance is its box: without one there is nothing to say.
fn instance(item: &Value, frame: &Frame, notes: &mut Notes) -> Option<LabelInstance> {
    let raw = boxes::of_entry(item).and_then(boxes::raw_box).or_else(|| boxes::raw_box(item));
    let bounding_box = notes.place(frame, raw)?;
    Some(LabelInstance { bounding_box, confidence: confidence(item, notes) })
}

fn confidence(item: &Value, notes: &mut Notes) -> Option<f32> {
    let value = item.get("confidence").filter(|value| !value.is_null())?;
    let read = boxes::number(value).filter(|number| (0.0..=1.0).contains(number));
    if read.is_none() {
        notes.confidence_dropped();
    }
    read.map(|number| number as f32)
}

/// One label for each name: models sometimes write an entry for each occurrence.
fn merge(labels: &mut Vec<Label>, label: Label) {
    match labels.iter_mut().find(|known| known.name == label.name) {
        Some(known) => {
            known.confidence = known.confidence.into_iter().chain(label.confidence).reduce(f32::max);
            known.instances.extend(label.instances);
        }
        None => labels.push(label),
    }
}

/// The label without what the model is less sure of than `least`; what has no confidence stays.
fn confident(mut label: Label, least: f32) -> Option<Label> {
    let unsure = |confidence: Option<f32>| confidence.is_some_and(|confidence| confidence < least);
    if unsure(label.confidence) {
        return None;
    }
    let had_instances = !label.instances.is_empty();
    label.instances.retain(|instance| !unsure(instance.confidence));
    (!had_instances || !label.instances.is_empty()).then_some(label)
}

fn area(label: &Label) -> u64 {
    label.instances.iter().map(|instance| instance.bounding_box.area()).max().unwrap_or(0)
}

/// Highest confidence first, unknown last; then largest first.
fn order(a: (Option<f32>, u64), b: (Option<f32>, u64)) -> Ordering {
    let known = |confidence: Option<f32>| confidence.unwrap_or(-1.0);
    known(b.0).total_cmp(&known(a.0)).then(b.1.cmp(&a.1))
}
