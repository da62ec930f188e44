//! What a schema asks for, in the few words that models take.

use serde_json::{Map, Value, json};

/// The shape of a value: a conjunction of what is set in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shape {
    /// Type names; empty means any.
    pub(super) types: Vec<String>,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    /// Bounds that have no keyword of their own here, in words.
    pub(super) words: Vec<String>,
    /// The only values that may be; empty means any.
    pub(super) values: Vec<Value>,
    pub(super) properties: Vec<(String, Shape)>,
    pub(super) required: Vec<String>,
    pub(super) others: Others,
    pub(super) items: Option<Box<Shape>>,
    pub(super) any_of: Vec<Shape>,
}

/// Which members an object may have beside its properties.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Others {
    /// Any.
    #[default]
    Open,
    /// None.
    Closed,
    /// Any whose value has this shape.
    Shaped(Box<Shape>),
}

/// Most values that spreading a shape over its alternatives may add.
pub(super) const MOST_SPREAD: usize = 5000;

impl Shape {
    /// What both ask for. Where they leave nothing, the first one's word stands.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.types = common(self.types, other.types, narrower_type);
        self.values = common(self.values, other.values, |a, b| (a == b).then(|| a.clone()));
        self.title = self.title.or(other.title);
        self.description = match (self.description, other.description) {
            (Some(one), Some(two)) if one != two => Some(format!("{one} {two}")),
            (one, two) => one.or(two),
        };
        self.words.extend(other.words);
        self.words.dedup();
        for (name, shape) in other.properties {
            self.add_property(name, shape);
        }
        for name in other.required {
            if !self.required.contains(&name) {
                self.required.push(name);
            }
        }
        self.others = match (self.others, other.others) {
            (Others::Shaped(one), Others::Shaped(two)) => Others::Shaped(Box::new(one.and(*two))),
            (Others::Open, others) | (others, Others::Open) => others,
            _ => Others::Closed,
        };
        self.items = match (self.items, other.items) {
            (Some(one), Some(two)) => Some(Box::new(one.and(*two))),
            (one, two) => one.or(two),
        };
        if self.any_of.is_empty() {
            self.any_of = other.any_of;
        } else {
            other.any_of.iter().for_each(|dropped| self.mention(dropped));
        }
        self
    }

    fn add_property(&mut self, name: String, shape: Self) {
        match self.properties.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = std::mem::take(known).and(shape),
            None => self.properties.push((name, shape)),
        }
    }

    /// Keeps a place for the members of a shape that is left out, since the object will be closed.
    pub(super) fn mention(&mut self, dropped: &Self) {
        for (name, _) in &dropped.properties {
            if !self.properties.iter().any(|(known, _)| known == name) {
                self.properties.push((name.clone(), Self::default()));
            }
        }
        dropped.any_of.iter().for_each(|dropped| self.mention(dropped));
    }

    fn size(&self) -> usize {
        let properties = self.properties.iter().map(|(_, shape)| shape.size()).sum::<usize>();
        let others = if let Others::Shaped(shape) = &self.others { shape.size() } else { 0 };
        let items = self.items.as_ref().map_or(0, |shape| shape.size());
        let any_of = self.any_of.iter().map(Self::size).sum::<usize>();
        1 + self.values.len() + self.words.len() + self.required.len() + properties + others + items + any_of
    }

    /// The schema. `spread` is how many values may still be added by [`Shape::spread`].
    pub(super) fn into_schema(mut self, spread: &mut usize) -> Value {
        self.spread(spread);
        let mut schema = Map::new();
        match self.types.as_slice() {
            [] => {}
            [one] => drop(schema.insert("type".to_owned(), json!(one))),
            several => drop(schema.insert("type".to_owned(), json!(several))),
        }
        if let Some(title) = self.title.take() {
            schema.insert("title".to_owned(), Value::String(title));
        }
        if let Some(description) = description(self.description.take(), &self.words) {
            schema.insert("description".to_owned(), Value::String(description));
        }
        if !self.values.is_empty() {
            schema.insert("enum".to_owned(), Value::Array(std::mem::take(&mut self.values)));
        }
        if let Some(items) = self.items.take() {
            schema.insert("items".to_owned(), items.into_schema(spread));
        }
        if !self.any_of.is_empty() {
            let any_of: Vec<_> =
                std::mem::take(&mut self.any_of).into_iter().map(|shape| shape.into_schema(spread)).collect();
            schema.insert("anyOf".to_owned(), Value::Array(any_of));
        }
        self.object(&mut schema, spread);
        Value::Object(schema)
    }

    /// The keywords of an object. One with properties is closed; one without stays as it is.
    fn object(mut self, schema: &mut Map<String, Value>, spread: &mut usize) {
        for name in &self.required {
            if !self.properties.iter().any(|(known, _)| known == name) {
                let shape = if let Others::Shaped(shape) = &self.others { (**shape).clone() } else { Self::default() };
                self.properties.push((name.clone(), shape));
            }
        }
        if self.properties.is_empty() {
            match self.others {
                Others::Open => {}
                Others::Closed => drop(schema.insert("additionalProperties".to_owned(), json!(false))),
                Others::Shaped(shape) => {
                    drop(schema.insert("additionalProperties".to_owned(), shape.into_schema(spread)));
                }
            }
            return;
        }
        let properties: Map<String, Value> =
            self.properties.into_iter().map(|(name, shape)| (name, shape.into_schema(spread))).collect();
        schema.insert("properties".to_owned(), Value::Object(properties));
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), json!(self.required));
        }
        schema.insert("additionalProperties".to_owned(), json!(false));
    }

    /// An object with properties and alternatives would forbid, once closed, what its alternatives add: each of them
    /// gets all of the object instead.
    fn spread(&mut self, spread: &mut usize) {
        let is_object = !self.properties.is_empty() || !self.required.is_empty();
        if self.any_of.is_empty() || !is_object {
            return;
        }
        let alternatives = std::mem::take(&mut self.any_of);
        let size = self.size().saturating_mul(alternatives.len());
        if size > *spread {
            alternatives.iter().for_each(|dropped| self.mention(dropped));
            return;
        }
        *spread -= size;
        let whole = std::mem::take(self);
        self.title.clone_from(&whole.title);
        self.description.clone_from(&whole.description);
        self.words.clone_from(&whole.words);
        let base = Self { title: None, description: None, words: Vec::new(), ..whole };
        self.any_of = alternatives.into_iter().map(|alternative| base.clone().and(alternative)).collect();
    }
}

/// What is in both lists, as `same` says; an empty list means anything.
fn common<T>(one: Vec<T>, two: Vec<T>, same: impl Fn(&T, &T) -> Option<T>) -> Vec<T> {
    if one.is_empty() || two.is_empty() {
        return if one.is_empty() { two } else { one };
    }
    let both: Vec<T> = one.iter().filter_map(|a| two.iter().find_map(|b| same(a, b))).collect();
    if both.is_empty() { one } else { both }
}

/// The type that both names allow: every integer is a number.
#[allow(clippy::ptr_arg, reason = "the elements of a list of names are Strings")]
fn narrower_type(one: &String, two: &String) -> Option<String> {
    match (one.as_str(), two.as_str()) {
        (a, b) if a == b => Some(one.clone()),
        ("integer", "number") | ("number", "integer") => Some("integer".to_owned()),
        _ => None,
    }
}

fn description(said: Option<String>, words: &[String]) -> Option<String> {
    let words = words.join(", ");
    match said {
        Some(said) if words.is_empty() => Some(said),
        Some(said) => Some(format!("{said} ({words})")),
        None => (!words.is_empty()).then_some(words),
    }
}
