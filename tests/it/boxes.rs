//! Boxes on generated pictures whose true rectangle is known: whatever the format, the orientation and the size, the box
//! that comes back is the true one in the upright original.

use serde_json::{Value, json};
use sightline::{
    domain::{Size, VisionTier},
    imaging::model_size,
    proto::{BoundingBox, ImageAnalysis, bounding_box::Adjustment},
};

use crate::support::{
    bedrock::{InvokeRequest, Reply},
    images::{Format, Found, Scene, find_rectangle, stored_size},
    service::{Service, label},
};

const STANDARD: &str = "global.anthropic.claude-sonnet-4-6";

/// A model that finds the rectangle in the picture it is given and reports it in that picture's pixels.
fn look(request: &InvokeRequest) -> Reply {
    match find_rectangle(&request.image().bytes) {
        Some(Found { left, top, right, bottom }) => {
            let place = json!({"x1": left, "y1": top, "x2": right, "y2": bottom});
            Reply::tool(labels_with(place))
        }
        None => Reply::tool(json!({"labels": []})),
    }
}

fn labels_with(place: Value) -> Value {
    json!({"labels": [{"name": "rectangle", "display_name": "rectangle", "confidence": 1,
        "instances": [{"box": place, "confidence": 1}]}]})
}

fn only_box(analysis: &ImageAnalysis) -> BoundingBox {
    let labels = &analysis.labels.as_ref().unwrap().labels;
    labels[0].instances[0].r#box.clone().unwrap()
}

/// Left, top, right, bottom.
fn pixels(place: &BoundingBox) -> [i32; 4] {
    let corners = place.pixels.unwrap();
    let (top_left, bottom_right) = (corners.top_left.unwrap(), corners.bottom_right.unwrap());
    [top_left.x, top_left.y, bottom_right.x, bottom_right.y].map(Option::unwrap)
}

/// The farthest that an edge lies from the true one, in pixels of the original.
fn error(place: &BoundingBox, scene: &Scene) -> u32 {
    let truth = [scene.rectangle.left, scene.rectangle.top, scene.rectangle.right, scene.rectangle.bottom];
    pixels(place)
        .into_iter()
        .zip(truth)
        .map(|(found, edge)| (i64::from(found) - i64::from(edge)).unsigned_abs() as u32)
        .max()
        .unwrap()
}

fn check(analysis: &ImageAnalysis, scene: &Scene, tier: VisionTier, what: &str) {
    let image = analysis.image.as_ref().unwrap();
    let expected = model_size(Size::new(scene.width, scene.height), tier);
    assert_eq!((image.width, image.height), (scene.width as i32, scene.height as i32), "{what}");
    assert_eq!((image.model_width, image.model_height), (expected.width as i32, expected.height as i32), "{what}");
    let place = only_box(analysis);
    assert!(error(&place, scene) <= 1, "{what}: {:?} is not {:?}", pixels(&place), scene.rectangle);
    let rescaled = place.adjustments.contains(&(Adjustment::Rescaled as i32));
    assert_eq!(rescaled, expected != Size::new(scene.width, scene.height), "{what}");
    let fractions = place.normalized.unwrap();
    let right = (fractions.left.unwrap() + fractions.width.unwrap()) * scene.width as f32;
    assert!((right - pixels(&place)[2] as f32).abs() < 0.01, "{what}: pixels and fractions agree");
}

#[tokio::test]
async fn boxes_survive_every_orientation_and_format() {
    let service = Service::with(&["--model", STANDARD]).await;
    service.bedrock.answer_with(look);
    // One that fits as it is, and one that must be reduced.
    for scene in [Scene::new(320, 240), Scene::new(1700, 1100)] {
        for format in Format::WITH_EXIF {
            for orientation in 1..=8 {
                let file = scene.encode_oriented(format, orientation);
                let analysis = service.analyze_bytes(&file, label()).await.unwrap();
                let what = format!("{format:?} {}x{} orientation {orientation}", scene.width, scene.height);
                let image = analysis.image.as_ref().unwrap();
                assert_eq!(image.exif_orientation, i32::from(orientation), "{what}");
                assert_eq!(image.media_type, format.media_type(), "{what}");
                check(&analysis, &scene, VisionTier::STANDARD, &what);
                let sent = service.bedrock.requests().pop().unwrap().image().clone();
                assert_eq!(stored_size(&sent.bytes), (image.model_width as u32, image.model_height as u32), "{what}");
                if orientation > 1 {
                    assert!(
                        !sent.bytes.windows(4).any(|part| part == b"Exif" || part == b"eXIf" || part == b"EXIF"),
                        "{what}"
                    );
                }
            }
        }
    }
    assert!(service.bedrock.refusals().is_empty());
}

#[tokio::test]
async fn boxes_are_right_in_every_format_without_exif() {
    let service = Service::start().await;
    service.bedrock.answer_with(look);
    let scene = Scene::new(641, 480);
    for format in Format::ALL {
        let file = scene.encode(format);
        let analysis = service.analyze_bytes(&file, label()).await.unwrap();
        assert_eq!(analysis.image.as_ref().unwrap().exif_orientation, 0);
        check(&analysis, &scene, VisionTier::HIGH_RESOLUTION, &format!("{format:?}"));
        let sent = service.bedrock.requests().pop().unwrap();
        if format != Format::Gif {
            assert_eq!(sent.image().bytes, file, "{format:?} fits and goes byte for byte");
        }
    }
}

#[tokio::test]
async fn boxes_are_right_around_and_over_both_tiers_limits() {
    for (model, tier, sizes) in [
        (
            STANDARD,
            VisionTier::STANDARD,
            [
                (1092, 1092),
                (1093, 1092),
                (1456, 819),
                (1568, 784),
                (1569, 100),
                (100, 1569),
                (1075, 1520),
                (2600, 1400),
            ],
        ),
        (
            "global.anthropic.claude-sonnet-5",
            VisionTier::HIGH_RESOLUTION,
            [
                (1920, 1080),
                (2576, 1449),
                (2577, 1449),
                (1932, 1932),
                (1933, 1932),
                (2577, 64),
                (64, 3000),
                (3200, 1800),
            ],
        ),
    ] {
        let service = Service::with(&["--model", model]).await;
        service.bedrock.answer_with(look);
        for (width, height) in sizes {
            let scene = Scene::new(width, height);
            let analysis = service.analyze_bytes(&scene.encode(Format::Png), label()).await.unwrap();
            check(&analysis, &scene, tier, &format!("{width}x{height} on {model}"));
            let resized = analysis.warnings.iter().any(|warning| warning.code == "IMAGE_RESIZED");
            let image = analysis.image.unwrap();
            assert_eq!(resized, (image.width, image.height) != (image.model_width, image.model_height));
        }
        assert!(service.bedrock.refusals().is_empty());
    }
}

#[tokio::test]
async fn boxes_a_model_gets_wrong_are_mended_or_dropped_and_said() {
    let service = Service::with(&["--model", STANDARD]).await;
    let file = Scene::new(400, 300).encode(Format::Png);
    for (place, expected, adjustments, warning) in [
        (
            json!({"x1": 300, "y1": 200, "x2": 100, "y2": 50}),
            Some([100, 50, 300, 200]),
            vec![Adjustment::Reordered],
            "BOXES_REORDERED",
        ),
        (
            json!({"x1": -5, "y1": 250.4, "x2": 900, "y2": 900}),
            Some([0, 250, 400, 300]),
            vec![Adjustment::Clipped],
            "BOXES_CLIPPED",
        ),
        (json!({"x1": 500, "y1": 0, "x2": 600, "y2": 10}), None, vec![], "BOXES_DROPPED"),
        (json!({"x1": 50, "y1": 50, "x2": 50, "y2": 90}), None, vec![], "BOXES_DROPPED"),
        (json!("top left"), None, vec![], "BOXES_DROPPED"),
    ] {
        service.bedrock.push(Reply::tool(labels_with(place.clone())));
        let analysis = service.analyze_bytes(&file, label()).await.unwrap();
        let codes: Vec<_> = analysis.warnings.iter().map(|warning| warning.code.as_str()).collect();
        assert_eq!(codes, [warning], "{place}");
        let instances = &analysis.labels.as_ref().unwrap().labels[0].instances;
        assert_eq!(instances.first().map(|found| pixels(found.r#box.as_ref().unwrap())), expected, "{place}");
        if expected.is_some() {
            let adjustments: Vec<i32> = adjustments.into_iter().map(Into::into).collect();
            assert_eq!(only_box(&analysis).adjustments, adjustments, "{place}");
        }
    }
}
