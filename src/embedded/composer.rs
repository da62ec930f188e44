//! Puts what the detector found into the words and the schema a language model would be asked for. It says what it is,
//! and leaves out what it cannot know.

use serde_json::{Map, Value, json};

use super::detector::{Detection, PixelBox};

const WHO: &str = "an object detector that knows 80 kinds of things";

/// What there is to tell: the picture and what was found in it.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Pictures in the request; the first one was looked at.
    pub pictures: usize,
    /// What was found, strongest first.
    pub detections: Vec<Detection>,
}

impl Sight {
    /// The input of a tool whose schema has `properties`. Other properties than the product's own stay unanswered, and
    /// so does `text`: a detector cannot read.
    pub fn tool_input<'a>(&self, properties: impl IntoIterator<Item = &'a str>) -> Map<String, Value> {
        let answer = |name: &str| match name {
            "description" => Some(Value::from(self.description())),
            "sensitivity" => Some(self.sensitivity()),
            "labels" => Some(self.labels()),
            "answer" => Some(Value::from(self.plain_text())),
            _ => None,
        };
        properties.into_iter().filter_map(|name| Some((name.to_owned(), answer(name)?))).collect()
    }

    /// The answer to a prompt without a tool.
    pub fn plain_text(&self) -> String {
        let seen = match (self.pictures, self.inventory()) {
            (0, _) => "There is no picture in the request.".to_owned(),
            (_, None) => "I see none of them in the picture.".to_owned(),
            (_, Some(inventory)) => format!("I see {inventory}."),
        };
        let more = self.looked_at();
        format!("I am {WHO}, not a language model, so I cannot follow the prompt. {seen}{more}")
    }

    fn description(&self) -> String {
        let seen = match (self.pictures, self.inventory()) {
            (0, _) => "There is no picture in the request.".to_owned(),
            (_, None) => "Nothing was found.".to_owned(),
            (_, Some(inventory)) => format!("{}.", capitalized(&inventory)),
        };
        let more = self.looked_at();
        format!("{seen} Written by {WHO}; anything else in the picture is not mentioned.{more}")
    }

    fn looked_at(&self) -> String {
        match self.pictures {
            0 | 1 => String::new(),
            pictures => format!(" Of {pictures} pictures only the first was looked at."),
        }
    }

    fn sensitivity(&self) -> Value {
        let limits = format!("This was judged by {WHO}: it cannot judge documents, screens or text.");
        let people: Vec<&Detection> = self.detections.iter().filter(|found| found.name() == "person").collect();
        let (verdict, seen) = match people.len() {
            0 => ("uncertain", "No people were found.".to_owned()),
            1 => ("sensitive", "1 person is visible.".to_owned()),
            count => ("sensitive", format!("{count} people are visible.")),
        };
        let finding = |person: &&Detection| {
            let detail = format!("a person, score {}", score(person.confidence));
            Some(json!({ "category": "person", "detail": detail, "box": corners(person.area)? }))
        };
        let findings: Vec<Value> = people.iter().filter_map(finding).collect();
        json!({ "verdict": verdict, "reason": format!("{seen} {limits}"), "findings": findings })
    }

    fn labels(&self) -> Value {
        let label = |(name, found): (&'static str, Vec<&Detection>)| {
            let confidence = found.first().map(|strongest| score(strongest.confidence));
            let instance = |found: &&Detection| {
                Some(json!({ "box": corners(found.area)?, "confidence": score(found.confidence) }))
            };
            let instances: Vec<Value> = found.iter().filter_map(instance).collect();
            json!({ "name": name, "display_name": name, "confidence": confidence, "instances": instances })
        };
        self.by_class().into_iter().map(label).collect()
    }

    /// Detections of each class that occurs; the class of the strongest detection comes first.
    fn by_class(&self) -> Vec<(&'static str, Vec<&Detection>)> {
        let mut classes: Vec<(&'static str, Vec<&Detection>)> = Vec::new();
        for found in &self.detections {
            match classes.iter_mut().find(|(name, _)| *name == found.name()) {
                Some((_, same)) => same.push(found),
                None => classes.push((found.name(), vec![found])),
            }
        }
        classes
    }

    /// "4 people, a cup and a bowl"; `None` when nothing was found.
    fn inventory(&self) -> Option<String> {
        let mut parts: Vec<String> = self.by_class().iter().map(|(name, found)| counted(name, found.len())).collect();
        let last = parts.pop()?;
        Some(if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) })
    }
}

/// Two corners in tenths of a pixel; `None` when less than that is left of the box.
fn corners(area: PixelBox) -> Option<Value> {
    let tenths = |value: f32| (f64::from(value) * 10.0).round() / 10.0;
    let (x1, y1, x2, y2) = (tenths(area.x1), tenths(area.y1), tenths(area.x2), tenths(area.y2));
    (x1 < x2 && y1 < y2).then(|| json!({ "x1": x1, "y1": y1, "x2": x2, "y2": y2 }))
}

fn score(confidence: f32) -> f64 {
    (f64::from(confidence) * 100.0).round() / 100.0
}

fn counted(name: &str, count: usize) -> String {
    let paired = matches!(name, "skis" | "scissors");
    match (count, name) {
        (1, "broccoli") => "broccoli".to_owned(),
        (1, _) if paired => format!("a pair of {name}"),
        (_, _) if paired => format!("{count} pairs of {name}"),
        (1, _) if name.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {name}"),
        (1, _) => format!("a {name}"),
        _ => format!("{count} {}", plural(name)),
    }
}

fn plural(name: &str) -> String {
    match name {
        "person" => "people".to_owned(),
        "mouse" => "mice".to_owned(),
        "knife" => "knives".to_owned(),
        "sheep" => "sheep".to_owned(),
        "broccoli" => "pieces of broccoli".to_owned(),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| name.ends_with(end)) => format!("{name}es"),
        _ => format!("{name}s"),
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 6] = ["description", "sensitivity", "labels", "text", "answer", "colour"];

    fn found(class: usize, confidence: f32, x1: f32) -> Detection {
        Detection { class, confidence, area: PixelBox { x1, y1: 2.04, x2: x1 + 10.06, y2: 20.0 } }
    }

    fn kitchen() -> Sight {
        Sight { pictures: 1, detections: vec![found(0, 0.912, 1.0), found(41, 0.5, 30.0), found(0, 0.4, 60.0)] }
    }

    #[test]
    fn only_what_is_asked_and_known_is_answered() {
        let keys = |input: Map<String, Value>| input.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(kitchen().tool_input(["labels"])), ["labels"]);
        assert_eq!(keys(kitchen().tool_input(ALL)), ["answer", "description", "labels", "sensitivity"]);
    }

    #[test]
    fn the_answer_holds_what_was_found_and_nothing_else() {
        let input = Value::from(kitchen().tool_input(ALL));
        insta::assert_snapshot!(serde_json::to_string_pretty(&input).unwrap());
    }

    #[test]
    fn nobody_in_sight_is_no_all_clear() {
        let sight = Sight { pictures: 1, detections: vec![found(41, 0.5, 30.0)] };
        let input = sight.tool_input(["sensitivity"]);
        assert_eq!(input["sensitivity"]["verdict"], "uncertain");
        assert_eq!(input["sensitivity"]["findings"], json!([]));
    }

    #[test]
    fn an_empty_picture_and_no_picture_are_told_apart() {
        let empty = Sight { pictures: 1, detections: vec![] };
        assert!(empty.plain_text().contains("none of them"), "{}", empty.plain_text());
        assert!(Sight::default().plain_text().contains("no picture"));
        assert_eq!(empty.tool_input(["labels"])["labels"], json!([]));
        let two = Sight { pictures: 2, detections: vec![] };
        assert!(two.plain_text().contains("only the first"));
    }

    #[test]
    fn things_are_counted_in_english() {
        let cases = [
            ("person", 1, "a person"),
            ("person", 3, "3 people"),
            ("airplane", 1, "an airplane"),
            ("bus", 2, "2 buses"),
            ("bench", 2, "2 benches"),
            ("scissors", 1, "a pair of scissors"),
            ("skis", 2, "2 pairs of skis"),
            ("wine glass", 4, "4 wine glasses"),
        ];
        for (name, count, expected) in cases {
            assert_eq!(counted(name, count), expected);
        }
    }

    #[test]
    fn a_box_thinner_than_a_tenth_of_a_pixel_has_no_place() {
        assert_eq!(corners(PixelBox { x1: 1.0, y1: 1.0, x2: 1.01, y2: 9.0 }), None);
    }
}
