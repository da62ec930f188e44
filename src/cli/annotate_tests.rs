use proptest::prelude::*;

use super::*;
use crate::{
    cli::boxes::tests::bounding_box,
    proto::{DetectedText, ImageInfo, Label, LabelInstance, Labels, SensitiveFinding, Sensitivity, TextLine},
};

const GREY: Colour = Rgb([100, 100, 100]);

fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn grey(width: u32, height: u32) -> Vec<u8> {
    png(&RgbImage::from_pixel(width, height, GREY))
}

fn analysis(width: u32, height: u32, boxes: &[[i32; 4]]) -> ImageAnalysis {
    let instance =
        |&[l, t, r, b]: &[i32; 4]| LabelInstance { r#box: Some(bounding_box(l, t, r, b)), confidence: Some(0.55) };
    let label = Label { name: "cat".into(), instances: boxes.iter().map(instance).collect(), ..Label::default() };
    ImageAnalysis {
        image: Some(ImageInfo { width: width as i32, height: height as i32, ..ImageInfo::default() }),
        labels: Some(Labels { labels: vec![label], truncated: false }),
        ..ImageAnalysis::default()
    }
}

fn changed(image: &RgbImage, x: u32, y: u32) -> bool {
    *image.get_pixel(x, y) != GREY
}

#[test]
fn a_box_is_drawn_where_it_is_and_named() {
    let drawn = annotate(&grey(400, 300), &analysis(400, 300, &[[100, 80, 300, 250]])).unwrap();
    assert_eq!((drawn.width(), drawn.height()), (400, 300));
    for (x, y) in [(100, 200), (299, 200), (200, 249), (101, 249), (298, 81)] {
        assert_eq!(*drawn.get_pixel(x, y), LABEL_COLOURS[0], "{x},{y}");
    }
    assert!(changed(&drawn, 110, 70), "the tag stands above the box");
    assert!(!changed(&drawn, 200, 150) && !changed(&drawn, 50, 50) && !changed(&drawn, 310, 260));
}

#[test]
fn a_tag_stays_inside_the_picture() {
    let corners = [[0, 0, 400, 300], [380, 0, 400, 20], [0, 280, 20, 300], [399, 299, 400, 300]];
    for corner in corners {
        let bounds = Rect::new(0, 0, 400, 300);
        let style = Style::of(bounds);
        let tags = style.place_tags(&marks(&analysis(400, 300, &[corner]), bounds), bounds);
        assert_eq!(tags.len(), 1);
        assert!(tags[0].rect.is_inside(400, 300), "{corner:?}: {}", tags[0].rect);
        assert_eq!(tags[0].text, "cat 55%");
    }
}

#[test]
fn neighbours_do_not_cover_each_others_names() {
    let bounds = Rect::new(0, 0, 800, 600);
    for boxes in [vec![[300, 200, 360, 420], [310, 205, 380, 420]], vec![[0, 0, 800, 600]; 8]] {
        let marks = marks(&analysis(800, 600, &boxes), bounds);
        let tags = Style::of(bounds).place_tags(&marks, bounds);
        assert_eq!(tags.len(), boxes.len());
        for (index, tag) in tags.iter().enumerate() {
            assert!(tags[..index].iter().all(|other| other.rect.intersection(tag.rect).is_none()), "{}", tag.rect);
        }
    }
}

#[test]
fn sensitive_findings_and_text_are_drawn_too() {
    let mut analysis = analysis(400, 300, &[]);
    let finding = SensitiveFinding {
        category: "face".into(),
        detail: String::new(),
        r#box: Some(bounding_box(50, 60, 150, 160)),
    };
    analysis.sensitivity = Some(Sensitivity { findings: vec![finding], ..Sensitivity::default() });
    let line = TextLine { text: "EXIT".into(), r#box: Some(bounding_box(200, 200, 300, 240)) };
    analysis.text = Some(DetectedText { lines: vec![line], ..DetectedText::default() });
    let drawn = annotate(&grey(400, 300), &analysis).unwrap();
    let edge: Vec<_> = (60..140).map(|x| *drawn.get_pixel(x, 156)).filter(|colour| *colour != GREY).collect();
    let count = |colour| edge.iter().filter(|found| **found == colour).count();
    assert!(count(FINDING_COLOUR) > 20 && count(TEXT_COLOUR) > 20, "the finding is not dashed");
    assert!(changed(&drawn, 201, 239) && changed(&drawn, 250, 200));
}

#[test]
fn the_orientation_of_the_analysis_is_applied() {
    let mut image = RgbImage::from_pixel(60, 20, GREY);
    image.put_pixel(0, 19, Rgb([255, 0, 0]));
    let mut analysis = analysis(20, 60, &[]);
    analysis.image.as_mut().unwrap().exif_orientation = 6;
    let drawn = annotate(&png(&image), &analysis).unwrap();
    assert_eq!(*drawn.get_pixel(0, 0), Rgb([255, 0, 0]), "turned clockwise, the lower left comes to the upper left");
}

#[test]
fn another_picture_is_refused() {
    let error = annotate(&grey(40, 30), &analysis(30, 40, &[])).unwrap_err();
    assert_eq!(error.to_string(), "the picture is 40x30 upright but 30x40 was analyzed: it changed in between");
}

#[test]
fn what_is_no_picture_or_too_large_is_refused() {
    assert!(matches!(annotate(b"GIF89a", &analysis(1, 1, &[])), Err(AnnotateError::Decode(_))));
    assert!(matches!(annotate(b"", &analysis(1, 1, &[])), Err(AnnotateError::Decode(_))));
    // A GIF header alone promises 65535 x 65535 pixels.
    let mut huge = b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    huge.extend(b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;");
    assert!(matches!(
        annotate(&huge, &analysis(1, 1, &[])),
        Err(AnnotateError::TooLarge(_) | AnnotateError::Decode(_))
    ));
}

#[test]
fn a_large_picture_gets_larger_names_and_lines() {
    let (small, large) = (Style::of(Rect::new(0, 0, 640, 427)), Style::of(Rect::new(0, 0, 6000, 4000)));
    assert!(large.thickness >= 4 * small.thickness && large.font.height() >= 4 * small.font.height());
    let drawn = annotate(&grey(3000, 2000), &analysis(3000, 2000, &[[500, 500, 2500, 1500]])).unwrap();
    assert!(changed(&drawn, 505, 1000) && !changed(&drawn, 520, 1000));
}

#[test]
fn transparency_becomes_white() {
    let image = image::RgbaImage::from_pixel(4, 4, image::Rgba([9, 9, 9, 0]));
    let mut bytes = Cursor::new(vec![]);
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let drawn = annotate(&bytes.into_inner(), &analysis(4, 4, &[])).unwrap();
    assert_eq!(*drawn.get_pixel(1, 1), Rgb([255, 255, 255]));
}

#[test]
fn the_file_name_says_the_format() {
    for name in ["a.png", "b.JPG", "c/d.jpeg"] {
        assert!(Output::new(Path::new(name)).is_ok(), "{name}");
    }
    for name in ["a", "a.webp", ".png", "a.png/"] {
        let known = Output::new(Path::new(name)).is_ok();
        assert_eq!(known, name == "a.png/", "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_box_panics(l: i32, t: i32, r: i32, b: i32, w in 1u32..60, h in 1u32..60, small in 0i32..60) {
        let boxes = [[l, t, r, b], [0, 0, small, small], [small, small, i32::MAX, i32::MAX], [i32::MIN, 0, i32::MAX, 1]];
        let mut analysis = analysis(w, h, &boxes);
        let findings = boxes.iter().map(|&[l, t, r, b]| SensitiveFinding {
            category: "x".repeat(3000), detail: String::new(), r#box: Some(bounding_box(l, t, r, b)),
        });
        analysis.sensitivity = Some(Sensitivity { findings: findings.collect(), ..Sensitivity::default() });
        let drawn = annotate(&grey(w, h), &analysis).unwrap();
        prop_assert_eq!((drawn.width(), drawn.height()), (w, h));
    }
}
