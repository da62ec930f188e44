//! A box in any of the forms in which models write one.

use serde_json::{Map, Value};

use super::fields::{decode, field, get};
use crate::domain::RawBox;

/// Names under which models put an entry's box.
pub(super) const BOX_NAMES: &[&str] = &[
    "box",
    "bounding_box",
    "bbox",
    "position",
    "box_2d",
    "bbox_2d",
    "location",
    "rect",
    "bounding_poly",
    "bndbox",
    "coordinates",
    "bounds",
];

/// Names under which a box may hold its points.
const POINT_NAMES: &[&str] = &["vertices", "points", "corners", "coordinates", "bounding_box", "box"];

/// The value of an entry that holds its box, if the entry has one.
pub(super) fn of_entry(entry: &Value) -> Option<&Value> {
    field(entry, BOX_NAMES)
}

/// Reads `{x1,y1,x2,y2}`, `[x1,y1,x2,y2]`, four named corners or points, left, top, width and height, or a centre and a
/// size. Numbers may be strings, and all of it may be a string. Lists are never put in another order than x, y.
pub(super) fn raw_box(value: &Value) -> Option<RawBox> {
    match value {
        Value::String(text) => match decode(text) {
            Some(decoded) => from_value(&decoded),
            None => from_text(text),
        },
        other => from_value(other),
    }
}

fn from_value(value: &Value) -> Option<RawBox> {
    match value {
        Value::Array(items) => from_list(items),
        Value::Object(fields) => from_fields(fields).or_else(|| match get(fields, POINT_NAMES)? {
            Value::Array(items) => from_list(items),
            Value::Object(fields) => from_fields(fields),
            _ => None,
        }),
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

fn from_fields(fields: &Map<String, Value>) -> Option<RawBox> {
    two_corners(fields).or_else(|| edges(fields)).or_else(|| centre(fields)).or_else(|| named_corners(fields))
}

fn from_list(items: &[Value]) -> Option<RawBox> {
    match items {
        // A list in a list.
        [inner @ Value::Array(_)] => match inner.as_array()?.as_slice() {
            [_, _, _, _] => from_value(inner),
            _ => None,
        },
        [x1, y1, x2, y2] if !x1.is_array() && !x1.is_object() => {
            Some(RawBox { x1: number(x1)?, y1: number(y1)?, x2: number(x2)?, y2: number(y2)? })
        }
        // Two to four corners, and the first again where they are drawn as a closed line.
        _ if (2..=5).contains(&items.len()) => around(items.iter().map(point).collect::<Option<Vec<_>>>()?),
        _ => None,
    }
}

/// `10, 20, 30, 40`
fn from_text(text: &str) -> Option<RawBox> {
    if text.len() > 100 {
        return None;
    }
    let parts: Vec<f64> = text.split(',').map(|part| number(&Value::from(part))).collect::<Option<_>>()?;
    match parts.as_slice() {
        &[x1, y1, x2, y2] => Some(RawBox { x1, y1, x2, y2 }),
        _ => None,
    }
}

fn numbered(fields: &Map<String, Value>, names: &[&str]) -> Option<f64> {
    get(fields, names).and_then(number)
}

fn two_corners(fields: &Map<String, Value>) -> Option<RawBox> {
    // Who begins to count at 0 means the opposite corner by 1.
    let from_zero = numbered(fields, &["x0"]).is_some();
    let (first, opposite) = if from_zero { (["x0", "y0"], ["x1", "y1"]) } else { (["x1", "y1"], ["x2", "y2"]) };
    let [x1, y1] = first;
    let [x2, y2] = opposite;
    Some(RawBox {
        x1: numbered(fields, &[x1, "x_min", "top_left_x"])?,
        y1: numbered(fields, &[y1, "y_min", "top_left_y"])?,
        x2: numbered(fields, &[x2, "x_max", "bottom_right_x"])?,
        y2: numbered(fields, &[y2, "y_max", "bottom_right_y"])?,
    })
}

fn edges(fields: &Map<String, Value>) -> Option<RawBox> {
    let (x1, y1) = (numbered(fields, &["left", "x"])?, numbered(fields, &["top", "y"])?);
    let far = |edge: &str, from: f64, extent: [&str; 2]| {
        numbered(fields, &[edge]).or_else(|| Some(from + numbered(fields, &extent)?))
    };
    Some(RawBox { x1, y1, x2: far("right", x1, ["width", "w"])?, y2: far("bottom", y1, ["height", "h"])? })
}

fn centre(fields: &Map<String, Value>) -> Option<RawBox> {
    let (x, y) =
        (numbered(fields, &["cx", "center_x", "x_center"])?, numbered(fields, &["cy", "center_y", "y_center"])?);
    let (width, height) = (numbered(fields, &["width", "w"])?, numbered(fields, &["height", "h"])?);
    Some(RawBox { x1: x - width / 2.0, y1: y - height / 2.0, x2: x + width / 2.0, y2: y + height / 2.0 })
}

fn named_corners(fields: &Map<String, Value>) -> Option<RawBox> {
    const CORNERS: [&str; 4] = ["top_left", "top_right", "bottom_right", "bottom_left"];
    let points: Vec<_> = CORNERS.iter().filter_map(|name| get(fields, &[name])).map(point).collect();
    around(points.into_iter().collect::<Option<Vec<_>>>()?)
}

fn point(value: &Value) -> Option<(f64, f64)> {
    match value {
        // With a width or a height it is a box of its own.
        Value::Object(fields) if fields.len() > 2 => None,
        Value::Object(fields) => Some((numbered(fields, &["x"])?, numbered(fields, &["y"])?)),
        Value::Array(items) => match items.as_slice() {
            [x, y] => Some((number(x)?, number(y)?)),
            _ => None,
        },
        _ => None,
    }
}

/// The box around two or more corners. Corners that are named after one edge but lie on another still span the same box.
fn around(points: Vec<(f64, f64)>) -> Option<RawBox> {
    if points.len() < 2 {
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
            json!({"x0": 10, "y0": 20, "x1": 30, "y1": 60}),
            json!({"topLeftX": 10, "topLeftY": 20, "bottomRightX": 30, "bottomRightY": 60}),
            json!({"cx": 20, "cy": 40, "w": 20, "h": 40}),
            json!({"vertices": [corner(10, 20), corner(30, 20), corner(30, 60), corner(10, 60)]}),
            json!({"coordinates": [10, 20, 30, 60]}),
            json!([[10, 20, 30, 60]]),
            json!([[10, 20], [30, 20], [30, 60], [10, 60], [10, 20]]),
            json!("[10, 20, 30, 60]"),
            json!("10, 20, 30, 60"),
            json!("{x1: 10, y1: 20, x2: 30, y2: 60}"),
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
