//! Boxes over a thumbnail, in fractions of the picture, so that they fit at every size it is shown in.

use std::collections::HashMap;

use serde::Serialize;

use super::{thumbnail::Thumbnail, view};
use crate::proto::{BoundingBox, ImageAnalysis};

/// Colours in `page.css`, `c0` and so on; one for each name of a label.
pub(super) const COLOURS: usize = 10;
/// Most boxes over one picture.
const MAX_MARKS: usize = 300;
/// Most characters of a tag.
const MAX_TAG: usize = 28;

/// Most characters of what shows while the pointer rests on a box.
const MAX_TITLE: usize = 200;

/// The smallest a thumbnail is shown, in pixels of the page: tags that do not collide there do so nowhere.
const SHOWN_WIDTH: f64 = 300.0;
const SHOWN_HEIGHT: f64 = 420.0;
/// Size of a tag in pixels of the page; `page.css` and `page.html` use the same.
const TAG_HEIGHT: f64 = 16.0;
const TAG_CHAR: f64 = 6.6;
const TAG_PADDING: f64 = 4.0;

/// A box with its name.
#[derive(Serialize)]
pub(super) struct Mark {
    /// Class: what the box stands for.
    kind: &'static str,
    /// Class: colour.
    colour: Option<usize>,
    /// Shown while the pointer rests on the box.
    title: String,
    /// Per cent of the picture, as SVG takes it.
    x: String,
    y: String,
    width: String,
    height: String,
    /// A label has the same box: both have to be seen.
    is_shared: bool,
    tag: Option<Tag>,
    #[serde(skip)]
    area: Area,
    #[serde(skip)]
    name: String,
}

/// A name on a filled ground, at a corner of its box.
#[derive(Serialize)]
struct Tag {
    text: String,
    /// The corner, in per cent of the picture.
    x: String,
    y: String,
    /// Pixels of the page from the corner to the tag.
    dx: f64,
    dy: f64,
    /// Pixels of the page.
    width: f64,
    text_width: f64,
    /// No place was free: shown only on request.
    is_hidden: bool,
}

/// A rectangle inside the picture, in fractions of it, not empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    /// `None` for a box without numbers, of numbers that are none, or with nothing of it inside the picture.
    pub(super) fn of(bounding_box: Option<&BoundingBox>) -> Option<Self> {
        let part = bounding_box?.normalized?;
        let [left, top, width, height] = [part.left?, part.top?, part.width?, part.height?].map(f64::from);
        let inside = |fraction: f64| fraction.clamp(0.0, 1.0);
        let area =
            Self { left: inside(left), top: inside(top), right: inside(left + width), bottom: inside(top + height) };
        // Neither holds where one side is not a number.
        (area.left < area.right && area.top < area.bottom).then_some(area)
    }

    /// Whether both lie on each other as the eye sees it.
    fn is_about(self, other: Self) -> bool {
        let near = |one: f64, another: f64| (one - another).abs() < 0.01;
        near(self.left, other.left)
            && near(self.top, other.top)
            && near(self.right, other.right)
            && near(self.bottom, other.bottom)
    }
}

/// The boxes of an analysis: findings above labels above text, and of each kind the surest on top.
pub(super) fn marks(analysis: &ImageAnalysis, thumbnail: &Thumbnail) -> Vec<Mark> {
    let labels = labels(analysis);
    let mut marks = findings(analysis);
    for finding in &mut marks {
        finding.is_shared = labels.iter().any(|label| label.area.is_about(finding.area));
    }
    marks.extend(labels);
    marks.extend(lines(analysis));
    marks.truncate(MAX_MARKS);
    place_tags(&mut marks, thumbnail);
    // What comes last in the page lies on top.
    marks.reverse();
    marks
}

fn findings(analysis: &ImageAnalysis) -> Vec<Mark> {
    let findings = analysis.sensitivity.iter().flat_map(|sensitivity| &sensitivity.findings);
    let marks = findings.filter_map(|finding| {
        let area = Area::of(finding.r#box.as_ref())?;
        let title = format!("Sensitive: {}: {}", finding.category, finding.detail);
        Some(Mark::new("finding", None, area, format!("! {}", finding.category), &title))
    });
    marks.take(MAX_MARKS).collect()
}

fn labels(analysis: &ImageAnalysis) -> Vec<Mark> {
    let colours = colours(analysis);
    let mut marks = vec![];
    for label in analysis.labels.iter().flat_map(|labels| &labels.labels) {
        for instance in &label.instances {
            let Some(area) = Area::of(instance.r#box.as_ref()) else { continue };
            let confidence = view::share(instance.confidence.or(label.confidence));
            let percent = view::percent(confidence).map(|percent| format!(" {percent}")).unwrap_or_default();
            let title = format!("{}{percent}", label.name);
            let colour = colours.get(label.name.as_str()).copied();
            let mark = Mark::new("label", colour, area, title.clone(), &title);
            marks.push((confidence.unwrap_or(0.0), mark));
        }
    }
    marks.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    marks.into_iter().map(|(_, mark)| mark).take(MAX_MARKS).collect()
}

fn lines(analysis: &ImageAnalysis) -> Vec<Mark> {
    let lines = analysis.text.iter().flat_map(|text| &text.lines);
    let marks = lines.filter_map(|line| {
        let area = Area::of(line.r#box.as_ref())?;
        Some(Mark::new("text", None, area, String::new(), &format!("Text: {}", line.text)))
    });
    marks.take(MAX_MARKS).collect()
}

/// A colour for each name, in the order of the labels that have a place.
pub(super) fn colours(analysis: &ImageAnalysis) -> HashMap<&str, usize> {
    let mut colours = HashMap::new();
    for label in analysis.labels.iter().flat_map(|labels| &labels.labels) {
        if label.instances.iter().any(|instance| Area::of(instance.r#box.as_ref()).is_some()) {
            let next = colours.len() % COLOURS;
            colours.entry(label.name.as_str()).or_insert(next);
        }
    }
    colours
}

impl Mark {
    fn new(kind: &'static str, colour: Option<usize>, area: Area, name: String, title: &str) -> Self {
        Self {
            kind,
            colour,
            title: view::clipped(title, MAX_TITLE),
            x: per_cent(area.left),
            y: per_cent(area.top),
            width: per_cent(area.right - area.left),
            height: per_cent(area.bottom - area.top),
            is_shared: false,
            tag: None,
            area,
            name: view::clipped(&name, MAX_TAG),
        }
    }
}

fn per_cent(fraction: f64) -> String {
    format!("{:.3}%", fraction * 100.0)
}

fn tenths(pixels: f64) -> f64 {
    (pixels * 10.0).round() / 10.0
}

/// Gives every box with a name its tag: where it covers no other, if such a place is at its corners.
fn place_tags(marks: &mut [Mark], thumbnail: &Thumbnail) {
    let (width, height) = (f64::from(thumbnail.width).max(1.0), f64::from(thumbnail.height).max(1.0));
    let scale = (SHOWN_WIDTH / width).min(SHOWN_HEIGHT / height);
    let shown = [width * scale, height * scale];
    let mut taken: Vec<[f64; 4]> = vec![];
    for mark in marks.iter_mut().filter(|mark| !mark.name.is_empty()) {
        let text_width = mark.name.chars().count() as f64 * TAG_CHAR;
        let tag_width = text_width + 2.0 * TAG_PADDING;
        let Area { left, top, right, bottom } = mark.area;
        // The corner, and from there to the tag's own top left.
        let places = [
            (left, top, 0.0, -TAG_HEIGHT),
            (right, top, -tag_width, -TAG_HEIGHT),
            (left, top, 0.0, 0.0),
            (right, top, -tag_width, 0.0),
            (left, bottom, 0.0, 0.0),
            (right, bottom, -tag_width, 0.0),
            (left, bottom, 0.0, -TAG_HEIGHT),
            (right, bottom, -tag_width, -TAG_HEIGHT),
        ];
        let rect = |&(x, y, dx, dy): &(f64, f64, f64, f64)| {
            let (x, y) = (x * shown[0] + dx, y * shown[1] + dy);
            [x, y, x + tag_width, y + TAG_HEIGHT]
        };
        let inside = |[x, y, to_x, to_y]: [f64; 4]| x >= 0.0 && y >= 0.0 && to_x <= shown[0] && to_y <= shown[1];
        let free = |place: &&(f64, f64, f64, f64)| {
            let rect = rect(place);
            inside(rect) && taken.iter().all(|other| !overlap(rect, *other))
        };
        let found = places.iter().find(free);
        taken.extend(found.map(rect));
        let fallback = if left < 0.5 { (left, top, 0.0, 0.0) } else { (right, top, -tag_width, 0.0) };
        let &(x, y, dx, dy) = found.unwrap_or(&fallback);
        mark.tag = Some(Tag {
            text: mark.name.clone(),
            x: per_cent(x),
            y: per_cent(y),
            dx: tenths(dx),
            dy: tenths(dy),
            width: tenths(tag_width),
            text_width: tenths(text_width),
            is_hidden: found.is_none(),
        });
    }
}

fn overlap(a: [f64; 4], b: [f64; 4]) -> bool {
    let [left, top, right, bottom] = a;
    let [other_left, other_top, other_right, other_bottom] = b;
    left < other_right && other_left < right && top < other_bottom && other_top < bottom
}
