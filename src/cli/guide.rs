//! The original guide's sample picture: the answer it published, measured, beside ours.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::{
    boxes::{self, Rect},
    plain,
};
use crate::proto::ImageAnalysis;

/// The guide's sample picture.
pub const PICTURE: &str = "summit.jpeg";
/// The guide's first prompt, word for word.
pub const PROMPT: &str = "당신은 이미지 분석가입니다. 제공된 사진을 설명해주세요.";
/// The boxes that the guide published for its picture.
const PUBLISHED: [(&str, Rect); 3] = [
    ("stage", Rect::new(1200, 400, 1900, 800)),
    ("audience", Rect::new(200, 600, 1900, 900)),
    ("screen", Rect::new(1300, 200, 1800, 500)),
];

/// A box that the contract forbids: outside the picture, empty or missing.
#[derive(Debug, thiserror::Error)]
#[error("{count} of the boxes of {picture} lie outside it or are missing: this must never happen, please report it")]
pub struct OutsideError {
    count: usize,
    picture: String,
}

/// The number of boxes, all inside the picture.
///
/// # Errors
/// Any that is not.
pub fn all_inside(analysis: &ImageAnalysis, picture: &str) -> Result<usize, OutsideError> {
    let (width, height) = analysis.image.as_ref().map_or((0, 0), |image| (image.width, image.height));
    let boxes = boxes::all(analysis);
    let inside = boxes.iter().filter(|(_, rect)| rect.is_some_and(|rect| rect.is_inside(width, height))).count();
    match boxes.len() - inside {
        0 => Ok(inside),
        count => Err(OutsideError { count, picture: plain::line(picture) }),
    }
}

/// The guide's boxes beside those of our labels, each with the share of its area that lies inside the picture.
pub fn comparison(analysis: &ImageAnalysis) -> String {
    let (width, height) = analysis.image.as_ref().map_or((0, 0), |image| (image.width, image.height));
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["Answer", "Label", "Box in pixels", "Inside the picture"]);
    let ours = boxes::of_labels(analysis).filter_map(|(name, rect)| Some((name, rect?)));
    let guide = PUBLISHED.iter().map(|(name, rect)| ("the guide's", *name, *rect));
    for (whose, name, rect) in guide.chain(ours.map(|(name, rect)| ("ours", name, rect))) {
        let share = plain::percent(Some(rect.share_inside(width, height)));
        table.add_row([whose.to_owned(), plain::line(name), rect.to_string(), share]);
    }
    if let Some(share) = table.column_mut(3) {
        share.set_cell_alignment(CellAlignment::Right);
    }
    let mut shown = format!("The picture is {width} x {height} pixels.\n");
    // Writing to a String cannot fail.
    let _ = writeln!(shown, "{}", table.trim_fmt());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::boxes::tests::bounding_box,
        proto::{ImageInfo, Label, LabelInstance, Labels},
    };

    fn analysis(boxes: &[[i32; 4]]) -> ImageAnalysis {
        let instance =
            |&[l, t, r, b]: &[i32; 4]| LabelInstance { r#box: Some(bounding_box(l, t, r, b)), confidence: None };
        let label =
            Label { name: "person".into(), instances: boxes.iter().map(instance).collect(), ..Label::default() };
        ImageAnalysis {
            image: Some(ImageInfo { width: 1280, height: 681, ..ImageInfo::default() }),
            labels: Some(Labels { labels: vec![label], truncated: false }),
            ..ImageAnalysis::default()
        }
    }

    #[test]
    fn the_guides_boxes_lie_outside_and_ours_inside() {
        insta::assert_snapshot!(comparison(&analysis(&[[10, 20, 300, 681]])));
    }

    #[test]
    fn a_box_outside_or_missing_fails() {
        assert_eq!(all_inside(&analysis(&[[0, 0, 1280, 681], [5, 5, 6, 6]]), "p").unwrap(), 2);
        for outside in [[0, 0, 1281, 681], [-1, 0, 5, 5], [7, 7, 7, 9]] {
            assert!(all_inside(&analysis(&[[0, 0, 9, 9], outside]), "p").is_err(), "{outside:?}");
        }
        let mut missing = analysis(&[[0, 0, 9, 9]]);
        missing.labels.as_mut().unwrap().labels[0].instances[0].r#box = None;
        assert_eq!(all_inside(&missing, "p").unwrap_err().count, 1);
    }
}
