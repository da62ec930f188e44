//! The list of labels: read, merged by name, filtered, ordered.

use std::{borrow::Cow, cmp::Ordering, collections::HashMap};

use serde_json::{Map, Value};

use super::{Fault, Field, Reader, boxes, fields::field, notes::Notes, quality, shape};
use crate::domain::{Label, LabelInstance, LabelsRequest};

const NAMES: &[&str] = &["name", "label", "class", "class_name", "object"];

impl Reader<'_> {
    /// Reads the labels of an answer.
    pub(super) fn labels(&self, object: &Value, request: &LabelsRequest, notes: &mut Notes) -> Field<Vec<Label>> {
        let value = self.decoded(field(object, shape::names("labels")).ok_or(Fault::Absent)?, notes);
        let mut labels = Merged::default();
        let items = items(&value).ok_or(Fault::WrongForm)?;
        for item in items.iter() {
            match self.label(item, notes) {
                Some(label) => labels.add(label),
                None => notes.entry_dropped(),
            }
        }
        let mut labels = labels.labels;
        self.readable(labels.len(), items.len())?;
        if self.answer.filter_vocabulary && !request.vocabulary.is_empty() {
            labels.retain(|label| request.vocabulary.iter().any(|word| word.trim().to_lowercase() == label.name));
        }
        for label in &mut labels {
            label
                .instances
                .sort_by(|a, b| order((a.confidence, a.bounding_box.area()), (b.confidence, b.bounding_box.area())));
        }
        // First, so that what nobody sees takes no place from what is seen.
        if let Some(least) = request.min_confidence {
            labels = labels.into_iter().filter_map(|label| confident(label, least)).collect();
        }
        quality::labels(&mut labels, notes);
        labels.sort_by(|a, b| order((a.confidence, area(a)), (b.confidence, area(b))));
        labels.truncate(request.max_results as usize);
        Ok(labels)
    }

    fn label(&self, item: &Value, notes: &mut Notes) -> Option<Label> {
        if let Value::String(name) = item {
            return named(name, name, None, Vec::new());
        }
        let name = field(item, NAMES)?.as_str()?;
        let display_name = field(item, &["display_name"]).and_then(Value::as_str);
        let display_name = display_name.filter(|name| !name.trim().is_empty()).unwrap_or(name);
        let said = self.confidence(item, notes);
        let instances = self.instances(item, said, notes);
        let surest = instances.iter().filter_map(|instance| instance.confidence).reduce(f32::max);
        named(name, display_name, said.or(surest), instances)
    }

    fn instances(&self, item: &Value, said: Option<f32>, notes: &mut Notes) -> Vec<LabelInstance> {
        let listed =
            field(item, &["instances", "boxes", "occurrences", "locations"]).map(|value| self.decoded(value, notes));
        match listed.as_deref() {
            // One box where the list of them should be.
            Some(one @ (Value::Object(_) | Value::Array(_))) if boxes::raw_box(one).is_some() || one.is_object() => {
                self.instance(one, notes).into_iter().collect()
            }
            Some(Value::Array(items)) => items.iter().filter_map(|item| self.instance(item, notes)).collect(),
            // The flat form: one box beside the name.
            _ => {
                let Some(value) = boxes::of_entry(item) else { return Vec::new() };
                let place = notes.place(&self.frame, boxes::raw_box(value));
                place.map(|bounding_box| LabelInstance { bounding_box, confidence: said }).into_iter().collect()
            }
        }
    }

    /// An instance is its box: without one there is nothing to say.
    fn instance(&self, item: &Value, notes: &mut Notes) -> Option<LabelInstance> {
        let raw = boxes::of_entry(item).and_then(boxes::raw_box).or_else(|| boxes::raw_box(item));
        let bounding_box = notes.place(&self.frame, raw)?;
        Some(LabelInstance { bounding_box, confidence: self.confidence(item, notes) })
    }

    /// A confidence in `[0, 1]`, as a number, as percent (`95%`), or as a bare number of percent where all of the answer's
    /// are.
    fn confidence(&self, item: &Value, notes: &mut Notes) -> Option<f32> {
        let value = field(item, &["confidence", "score", "probability"])?;
        let percent = value.as_str().and_then(|text| text.trim().strip_suffix('%'));
        let read = match percent {
            Some(text) => boxes::number(&Value::from(text)).map(|number| number / 100.0),
            None => boxes::number(value).map(|number| {
                notes.saw_confidence(number);
                if self.percent { number / 100.0 } else { number }
            }),
        };
        let read = read.filter(|number| (0.0..=1.0).contains(number));
        if read.is_none() {
            notes.confidence_dropped();
        }
        read.map(|number| number as f32)
    }
}

/// The entries of the labels, which may stand in a list, under their names, or be a single one.
fn items(value: &Value) -> Option<Cow<'_, [Value]>> {
    match value {
        Value::Array(items) => Some(Cow::Borrowed(items)),
        Value::Object(fields) => {
            if let Some(Value::Array(items)) = field(value, &["labels", "items", "objects"]) {
                return Some(Cow::Borrowed(items));
            }
            if field(value, NAMES).is_some() {
                return Some(Cow::Owned(vec![value.clone()]));
            }
            let named = |(name, value): (&String, &Value)| {
                let mut entry = match value {
                    Value::Object(fields) => fields.clone(),
                    Value::Array(_) => Map::from_iter([("instances".to_owned(), value.clone())]),
                    _ => return None,
                };
                entry.insert("name".to_owned(), Value::from(name.as_str()));
                Some(Value::Object(entry))
            };
            fields.iter().map(named).collect::<Option<Vec<_>>>().map(Cow::Owned)
        }
        _ => None,
    }
}

fn named(name: &str, display_name: &str, confidence: Option<f32>, instances: Vec<LabelInstance>) -> Option<Label> {
    let name = name.trim().to_lowercase();
    (!name.is_empty()).then(|| Label { name, display_name: display_name.trim().to_owned(), confidence, instances })
}

/// One label for each name: models sometimes write an entry for each occurrence.
#[derive(Default)]
struct Merged {
    labels: Vec<Label>,
    places: HashMap<String, usize>,
}

impl Merged {
    fn add(&mut self, label: Label) {
        let known = self.places.get(&label.name).copied().and_then(|place| self.labels.get_mut(place));
        match known {
            Some(known) => {
                known.confidence = known.confidence.into_iter().chain(label.confidence).reduce(f32::max);
                known.instances.extend(label.instances);
            }
            None => {
                self.places.insert(label.name.clone(), self.labels.len());
                self.labels.push(label);
            }
        }
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
