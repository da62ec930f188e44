//! A box in any of the forms in which models write one.

use serde_json::{Map, Value};

use crate::domain::RawBox;

/// Names under which models put an entry's box.
const BOX_NAMES: [&str; 6] = ["box", "bounding_box", "boundingBox", "bbox", "position", "box_2d"];

/// The value of an entry that holds its box, if the entry has one.
pub(super) fn of_entry(entry: &Value) -> Option<&Value> {
    BOX_NAMES.iter().find_map(|name| entry.get(name))
}

/// Reads `{x1,y1,x2,y2}`, `[x1,y1,x2,y2]`, four named corners or points, or left, top, width and height. Numbers may be
/// strings.
pub(super) fn raw_box(value: &Value) -> Option<RawBox> {
    match value {
        Value::Array(items) => from_list(items),
        Value::Object(fields) => two_corners(fields).or_else(|| edges(fields)).or_else(|| named_corners(fields)),
        _ => None,
    }
}

/// A finite number, also when it is written as a string.
pub(super) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().trim_end_matches("px").trim_end().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn from_list(items: &[Value]) -> Option<RawBox> {
    match items {
        [x1, y1, x2, y2] if !x1.is_array() && !x1.is_object() => {
            Some(RawBox { x1: number(x1)?, y1: number(y1)?, x2: number(x2)?, y2: number(y2)? })
        }
        _ => around(items.iter().map(point).collect::<Option<Vec<_>>>()?),
    }
}

fn get(fields: &Map<String, Value>, names: &[&str]) -> Option<f64> {
    names.iter().find_map(|name| fields.get(*name)).and_then(number)
}

fn two_corners(fields: &Map<String, Value>) -> Option<RawBox> {
    Some(RawBox {
        x1: get(fields, &["x1", "x_min", "xmin"])?,
        y1: get(fields, &["y1", "y_min", "ymin"])?,
        x2: get(fields, &["x2", "x_max", "xmax"])?,
        y2: get(fields, &["y2", "y_max", "ymax"])?,
    })
}

fn edges(fields: &Map<String, Value>) -> Option<RawBox> {
    let (x1, y1) = (get(fields, &["left", "Left", "x"])?, get(fields, &["top", "Top", "y"])?);
    let x2 = get(fields, &["right", "Right"]).or_else(|| Some(x1 + get(fields, &["width", "Width", "w"])?))?;
    let y2 = get(fields, &["bottom", "Bottom"]).or_else(|| Some(y1 + get(fields, &["height", "Height", "h"])?))?;
    Some(RawBox { x1, y1, x2, y2 })
}

fn named_corners(fields: &Map<String, Value>) -> Option<RawBox> {
    const CORNERS: [&str; 4] = ["topleft", "topright", "bottomright", "bottomleft"];
    let plain = |name: &str| name.to_ascii_lowercase().replace(['_', '-', ' '], "");
    let points: Vec<_> = fields
        .iter()
        .filter(|(name, _)| CORNERS.contains(&plain(name).as_str()))
        .map(|(_, value)| point(value))
        .collect();
    around(points.into_iter().collect::<Option<Vec<_>>>()?)
}

fn point(value: &Value) -> Option<(f64, f64)> {
    match value {
        Value::Object(fields) => Some((get(fields, &["x", "X"])?, get(fields, &["y", "Y"])?)),
        Value::Array(items) => match items.as_slice() {
            [x, y] => Some((number(x)?, number(y)?)),
            _ => None,
        },
        _ => None,
    }
}

/// The box around two to four corners. Corners that are named after one edge but lie on another still span the same box.
fn around(points: Vec<(f64, f64)>) -> Option<RawBox> {
    if !(2..=4).contains(&points.len()) {
        return None;
    }
    let start = RawBox { x1: f64::INFINITY, y1: f64::INFINITY, x2: f64::NEG_INFINITY, y2: f64::NEG_INFINITY };
    Some(points.into_iter().fold(start, |b, (x, y)| RawBox {
        x1: b.x1.min(x),
        y1: b.y1.min(y),
        x2: b.x2.max(x),
        y2: b.y2.max(y),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_gives_the_same_box() {
        let corner = |x: i32, y: i32| json!({"x": x, "y": y});
        for form in [
            json!({"x1": 10, "y1": 20, "x2": 30, "y2": 60}),
            json!({"x1": "10", "y1": "20.0", "x2": "30px", "y2": " 60 "}),
            json!([10, 20, 30, 60]),
            json!([[10, 20], [30, 20], [30, 60], [10, 60]]),
            json!({"left": 10, "top": 20, "width": 20, "height": 40}),
            json!({"Left": 10, "Top": 20, "Right": 30, "Bottom": 60}),
            json!({"x": 10, "y": 20, "width": 20, "height": 40}),
            json!({"xmin": 10, "ymin": 20, "xmax": 30, "ymax": 60}),
            json!({"TopLeft": corner(10, 20), "TopRight": corner(30, 20),
                   "BottomRight": corner(30, 60), "BottomLeft": corner(10, 60)}),
            json!({"top_left": [10, 20], "bottom_right": [30, 60]}),
            // The original guide's example counts y upwards: the corners still span the same box.
            json!({"TopLeft": corner(10, 60), "TopRight": corner(30, 60),
                   "BottomRight": corner(30, 20), "BottomLeft": corner(10, 20)}),
        ] {
            assert_eq!(raw_box(&form), Some(RawBox { x1: 10.0, y1: 20.0, x2: 30.0, y2: 60.0 }), "{form}");
        }
    }

    #[test]
    fn what_is_no_box_is_none() {
        for form in [
            json!(null),
            json!("10 20 30 40"),
            json!([1, 2, 3]),
            json!([1, 2, 3, "four"]),
            json!({"x1": 1, "y1": 2, "x2": 3}),
            json!({"TopLeft": {"x": 1, "y": 2}}),
            json!({"x1": "NaN", "y1": 0, "x2": 1, "y2": 1}),
        ] {
            assert_eq!(raw_box(&form), None, "{form}");
        }
    }
}
