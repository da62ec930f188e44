use std::io::Cursor;

use image::{Rgb, RgbImage};
use proptest::prelude::*;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{overlay::Area, thumbnail::Thumbnail, *};
use crate::proto::{
    AnalyzeManyResult, Answer, BoundingBox, Description, DetectedText, FeatureError, ImageAnalysis, ImageInfo, Label,
    LabelInstance, Labels, ModelInfo, NormalizedBox, SensitiveFinding, Sensitivity, TextLine, Timing, Usage, Warning,
    analyze_many_result::Outcome, sensitivity::Verdict,
};

/// What must stay text.
const HOSTILE: &str = "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{ 7*7 }}{% raw %}\
                       <!--\u{202e}\u{2066}\u{0}\u{1b}[31m]]>&amp;\u{85}";

fn report() -> Report {
    let mut report = Report::dated("Photos of May", SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000));
    report.nonce = "NONCE".to_owned();
    report
}

fn page(report: &Report, totals: &Totals) -> String {
    let mut page = vec![];
    report.render(totals, &mut page).unwrap();
    String::from_utf8(page).unwrap()
}

fn found(analysis: ImageAnalysis) -> AnalyzeManyResult {
    AnalyzeManyResult { outcome: Some(Outcome::Analysis(analysis)), ..AnalyzeManyResult::default() }
}

fn failed(reason: &str, message: &str) -> AnalyzeManyResult {
    let metadata = [("bucket".to_owned(), "photos".to_owned()), ("note".to_owned(), message.to_owned())];
    let details = ErrorDetails::with_error_info(reason, "sightline", metadata);
    let status = Status::with_error_details(Code::NotFound, message, details);
    let status = prost::Message::decode(status.details()).unwrap();
    AnalyzeManyResult { outcome: Some(Outcome::Error(status)), ..AnalyzeManyResult::default() }
}

/// Left half red, right half blue.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) })
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    picture(width, height).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A JPEG that says it has to be turned a quarter to the right.
fn turned(width: u16, height: u16) -> Vec<u8> {
    let tag = [&[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0][..], &[0; 4]].concat();
    let exif = [b"MM\0\x2a\0\0\0\x08\0\x01".as_slice(), &tag].concat();
    let mut jpeg = vec![];
    let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 90);
    encoder.add_exif_metadata(&exif).unwrap();
    let pixels = picture(width.into(), height.into());
    encoder.encode(pixels.as_raw(), width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    jpeg
}

fn bounding_box([left, top, width, height]: [f32; 4]) -> Option<BoundingBox> {
    let normalized = NormalizedBox { left: Some(left), top: Some(top), width: Some(width), height: Some(height) };
    Some(BoundingBox { normalized: Some(normalized), ..BoundingBox::default() })
}

fn label(name: &str, confidence: f32, boxes: &[[f32; 4]]) -> Label {
    let instance = |part: &[f32; 4]| LabelInstance { r#box: bounding_box(*part), confidence: Some(confidence) };
    Label {
        name: name.into(),
        display_name: name.into(),
        confidence: Some(confidence),
        instances: boxes.iter().map(instance).collect(),
    }
}

fn analysis(width: i32, height: i32) -> ImageAnalysis {
    let total = Some(prost_types::Duration { seconds: 2, nanos: 410_000_000 });
    let mut labels = vec![
        label("person", 0.93, &[[0.05, 0.25, 0.4, 0.7], [0.5, 0.3, 0.3, 0.6]]),
        label("traffic light", 0.5, &[[0.9, 0.1, 0.1, 0.2]]),
        label("sunset", 0.4, &[]),
    ];
    labels[1].display_name = "신호등".into();
    let warning = Warning { code: "BOXES_CLIPPED".into(), message: "A box reached over the edge.".into() };
    ImageAnalysis {
        image: Some(ImageInfo {
            media_type: "image/png".into(),
            width,
            height,
            size_bytes: 1_234_567,
            ..ImageInfo::default()
        }),
        description: Some(Description { text: "Two people wait.\nThe sun sets.".into() }),
        sensitivity: Some(Sensitivity {
            verdict: Verdict::Sensitive.into(),
            reason: "People can be recognised.".into(),
            findings: vec![SensitiveFinding {
                category: "face".into(),
                detail: "seen from the front".into(),
                r#box: bounding_box([0.1, 0.3, 0.1, 0.1]),
            }],
        }),
        labels: Some(Labels { labels, truncated: true }),
        text: Some(DetectedText {
            text: "EXIT".into(),
            lines: vec![TextLine { text: "EXIT".into(), r#box: bounding_box([0.7, 0.05, 0.1, 0.05]) }],
        }),
        answer: Some(Answer { text: "Yes.".into() }),
        feature_errors: vec![FeatureError {
            feature: "extraction".into(),
            error: Some(tonic_types::pb::Status { code: 13, message: "no object".into(), details: vec![] }),
        }],
        model: Some(ModelInfo {
            served: "global.anthropic.claude-sonnet-5".into(),
            cached: true,
            ..Default::default()
        }),
        usage: Some(Usage {
            input_token_count: 2012,
            output_token_count: 345,
            model_call_count: 1,
            ..Usage::default()
        }),
        timing: Some(Timing { total, ..Timing::default() }),
        warnings: vec![warning.clone(), warning],
        ..ImageAnalysis::default()
    }
}

fn totals() -> Totals {
    let usage = Usage { input_token_count: 24_024, output_token_count: 690, model_call_count: 2, ..Usage::default() };
    Totals { succeeded: 1, failed: 1, usage, elapsed: Duration::from_secs(3671), interrupted: false }
}

#[test]
fn a_small_page() {
    let mut report = report();
    report.add("s3://photos/a.png", &found(analysis(640, 480)), Some(&png(640, 480)));
    report.add("b.png", &failed("OBJECT_NOT_FOUND", "there is no such object"), None);
    let page = page(&report, &totals());
    // The bytes of a JPEG are the encoder's own business, and style and script stand in files of their own.
    let (before, rest) = page.split_once("data:image/jpeg;base64,").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let page =
        format!("{before}data:image/jpeg;base64,BASE64\"{after}").replace(STYLE, "STYLE\n").replace(SCRIPT, "SCRIPT\n");
    insta::assert_snapshot!(page.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn an_interrupted_run_and_a_known_price_are_said() {
    let usage = Usage { estimated_cost_usd: Some(0.25), ..Usage::default() };
    let shown = page(&report(), &Totals { interrupted: true, usage, ..totals() });
    assert!(shown.contains("<strong>Interrupted.</strong>") && shown.contains("<dd>about $0.2500</dd>"));
    assert!(shown.contains("No picture was answered."));
    let shown = page(&report(), &totals());
    assert!(!shown.contains("Interrupted") && !shown.contains("Estimated cost"));
}

fn hostile() -> ImageAnalysis {
    let mut analysis = analysis(64, 48);
    let text = || HOSTILE.to_owned();
    analysis.description = Some(Description { text: text() });
    analysis.answer = Some(Answer { text: text() });
    analysis.raw_output = text();
    let sensitivity = analysis.sensitivity.as_mut().unwrap();
    sensitivity.reason = text();
    sensitivity.findings[0].category = text();
    sensitivity.findings[0].detail = text();
    let labels = analysis.labels.as_mut().unwrap();
    labels.labels[0].name = text();
    labels.labels[0].display_name = text() + "x";
    analysis.text.as_mut().unwrap().lines[0].text = text();
    analysis.feature_errors[0].feature = text();
    analysis.feature_errors[0].error.as_mut().unwrap().message = text();
    analysis.warnings[0].code = text();
    analysis.warnings[0].message = text();
    analysis.model.as_mut().unwrap().served = text();
    analysis.image.as_mut().unwrap().media_type = text();
    let value = prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text())) };
    let values = prost_types::Struct { fields: [(text(), value)].into() };
    analysis.extraction = Some(crate::proto::Extraction { values: Some(values) });
    analysis
}

#[test]
fn hostile_text_stays_text() {
    let mut report = Report::dated(HOSTILE, SystemTime::UNIX_EPOCH);
    report.nonce = "NONCE".to_owned();
    report.add(HOSTILE, &found(hostile()), Some(&png(64, 48)));
    report.add(HOSTILE, &failed(HOSTILE, HOSTILE), Some(HOSTILE.as_bytes()));
    let page = page(&report, &totals()).replace(STYLE, "").replace(SCRIPT, "");
    assert!(page.chars().all(|c| c == '\n' || !plain::is_unsafe(c)));
    for (tag, times) in [("<script", 1), ("</script", 1), ("<style", 1), ("</style", 1), ("<img", 1), ("<!", 1)] {
        assert_eq!(page.matches(tag).count(), times, "{tag}");
    }
    assert!(page.contains("{{ 7*7 }}"), "text of a template is text");
    // Every text arrives: none is dropped for being odd.
    assert!(page.matches("&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;").count() >= 22, "{page}");
}

#[test]
fn each_report_trusts_its_own_style_and_script_only() {
    let nonces = [Report::new("a"), Report::new("b")].map(|report| report.nonce);
    assert_ne!(nonces[0], nonces[1]);
    assert!(nonces[0].len() == 32);
    // They stand in the page as they are, where these would end them.
    assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
    // Inline styles and handlers would be refused by the browser.
    assert!(!PAGE.1.contains("style=") && !PAGE.1.contains(" on"), "{:?}", PAGE.1.find(" on"));
}

#[test]
fn thumbnails_are_small_jpegs_of_the_same_shape() {
    for (width, height, small) in [(2000, 1000, (480, 240)), (100, 960, (50, 480)), (300, 200, (300, 200))] {
        let mut facts = analysis(width, height);
        facts.image.as_mut().unwrap().exif_orientation = 1;
        let thumbnail = Thumbnail::new(&png(width as u32, height as u32), Some(&facts)).unwrap();
        let decoded = image::load_from_memory_with_format(thumbnail.jpeg(), image::ImageFormat::Jpeg).unwrap();
        assert_eq!((decoded.width(), decoded.height()), small);
        assert_eq!((thumbnail.width, thumbnail.height), small);
        let left = decoded.into_rgb8().get_pixel(small.0 / 8, small.1 / 2).0;
        assert!(left[0] > 200 && left[2] < 50, "{left:?}");
    }
}

#[test]
fn thumbnails_stand_upright_with_an_analysis_and_without() {
    let mut facts = analysis(40, 80);
    facts.image.as_mut().unwrap().exif_orientation = 6;
    for facts in [Some(&facts), None] {
        let thumbnail = Thumbnail::new(&turned(80, 40), facts).unwrap();
        assert_eq!((thumbnail.width, thumbnail.height), (40, 80));
        let top = image::load_from_memory(thumbnail.jpeg()).unwrap().into_rgb8().get_pixel(20, 10).0;
        assert!(top[0] > 200 && top[2] < 50, "left went to the top: {top:?}");
    }
}

#[test]
fn a_picture_that_cannot_be_shown_is_said() {
    let cases: [(Option<&[u8]>, &str); 3] = [
        (Some(b"no picture"), "No thumbnail: cannot decode the picture"),
        (Some(&png(30, 20)), "No thumbnail: the picture is 30x20 upright but 64x48 was analyzed"),
        (None, "No thumbnail: the picture itself was not at hand"),
    ];
    for (picture, said) in cases {
        let mut report = report();
        report.add("a", &found(analysis(64, 48)), picture);
        let page = page(&report, &totals());
        assert!(page.contains(said) && !page.contains("<img") && !page.contains("<svg"), "{said}");
    }
}

#[test]
fn a_result_without_an_outcome_is_a_failure() {
    let mut report = report();
    report.add("a", &AnalyzeManyResult::default(), None);
    assert!(page(&report, &totals()).contains("neither an analysis nor an error"));
}

#[test]
fn what_is_too_much_is_counted_and_said() {
    let mut report = report();
    (report.max_thumbnails, report.max_cards) = (2, 4);
    (0..6).for_each(|_| report.add("a", &found(analysis(64, 48)), Some(&png(64, 48))));
    let page = page(&report, &totals());
    assert_eq!((page.matches("<article").count(), page.matches("<img").count()), (4, 2));
    assert!(page.contains(">2 pictures have no thumbnail") && page.contains(">2 more pictures are counted above"));
    assert!(page.contains("<dt>Sensitive</dt><dd>6</dd>"));
}

#[test]
fn failures_are_counted_by_reason() {
    let mut report = report();
    let reasons = ["A_REASON", "B_REASON", "B_REASON"];
    reasons.iter().for_each(|reason| report.add("a", &failed(reason, "m"), None));
    let expected = [("B_REASON", "2".to_owned()), ("A_REASON", "1".to_owned())];
    assert_eq!(report.counts.by_size(), expected);
    (0..100).for_each(|n| report.add("a", &failed(&format!("R{n}"), "m"), None));
    assert_eq!(report.counts.by_size().len(), MAX_KINDS + 1);
    assert_eq!(report.counts.failed, 103);
}

#[test]
fn a_page_of_many_labels_shows_the_first_and_unfolds_the_rest() {
    let mut many = analysis(64, 48);
    let labels = (0..501).map(|n| label(&format!("l{n}"), 0.5, &[[0.1, 0.1, 0.5, 0.5]]));
    many.labels = Some(Labels { labels: labels.collect(), truncated: false });
    let mut report = report();
    report.add("a", &found(many), Some(&png(64, 48)));
    let page = page(&report, &totals());
    assert!(page.contains("<summary>485 more labels</summary>") && page.contains("<li>and 1 more</li>"));
    assert_eq!(page.matches("<bdi>l").count(), 500);
    assert!((200..=300).contains(&page.matches("class=\"box\"").count()));
}

#[test]
fn a_finding_lies_above_a_label_and_lets_one_of_the_same_box_shine_through() {
    let mut same = analysis(64, 48);
    same.labels.as_mut().unwrap().labels[2] = label("face", 0.3, &[[0.1, 0.3, 0.1, 0.1]]);
    let [shared, alone] = [same, analysis(64, 48)].map(|analysis| {
        let mut report = report();
        report.add("a", &found(analysis), Some(&png(64, 48)));
        page(&report, &totals())
    });
    assert!(shared.contains("mark finding shared") && !alone.contains("mark finding shared"));
    let [text, label, finding] =
        ["\"mark text\"", "\"mark label c0\"", "\"mark finding\""].map(|it| alone.find(it).unwrap());
    assert!(text < label && label < finding, "what comes last lies on top");
}

#[cfg(feature = "embedded")]
#[test]
fn only_an_earlier_report_may_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    Report::check(&path).unwrap();
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    Report::check(&path).unwrap();
    report().write(&path, &totals()).unwrap();
    Report::check(&path).unwrap();
    fs::write(&path, "<!doctype html><title>My page</title>").unwrap();
    assert!(matches!(Report::check(&path).unwrap_err(), ReportError::Foreign(_)));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left of trying");
    let error = Report::check(folder.path()).unwrap_err().to_string();
    assert!(error.contains("directory"), "{error}");
    let error = Report::check(&folder.path().join("none/report.html")).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.contains("none/report.html:"), "{error}");
}

#[cfg(feature = "embedded")]
#[test]
fn a_report_replaces_the_file_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    fs::write(&path, "the last one").unwrap();
    report().write(&path, &totals()).unwrap();
    assert!(fs::read_to_string(&path).unwrap().ends_with("</html>"));
    let blocked = folder.path().join("blocked.html");
    fs::create_dir_all(blocked.join("inside")).unwrap();
    let error = report().write(&blocked, &totals()).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.contains("blocked.html:"), "{error}");
    let error = report().write(&folder.path().join("none/report.html"), &totals()).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.contains("none/report.html:"), "{error}");
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["blocked.html", "report.html"], "no temporary file is left");
}

#[test]
fn a_full_disk_is_said_as_such() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = Cause::from(report().render(&totals(), Full).unwrap_err()).at(Path::new("a.html"));
    assert_eq!(error.to_string(), "cannot write a.html: no space left");
}

#[test]
fn durations_and_dates_read_well() {
    assert_eq!(
        [59, 60, 3599, 3600, 90_061].map(|s| elapsed(Duration::from_secs(s))),
        ["59.00 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "25 h 1 min"]
    );
    let when = When::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000));
    assert_eq!((when.machine.as_str(), when.people.as_str()), ("2026-05-28T20:26:40Z", "2026-05-28 20:26 UTC"));
    assert_eq!(When::new(SystemTime::UNIX_EPOCH - Duration::from_secs(9)).people, "1970-01-01 00:00 UTC");
}

proptest! {
    #[test]
    fn no_box_leaves_the_picture(
        parts in any::<[f32; 4]>(),
        odd in prop::sample::select(vec![f32::NAN, f32::INFINITY]),
    ) {
        for parts in [parts, [odd, parts[1], parts[2], parts[3]], [parts[0], parts[1], odd, parts[3]]] {
            let Some(area) = Area::of(bounding_box(parts).as_ref()) else { continue };
            prop_assert!(0.0 <= area.left && area.left < area.right && area.right <= 1.0, "{:?}", area);
            prop_assert!(0.0 <= area.top && area.top < area.bottom && area.bottom <= 1.0, "{:?}", area);
        }
    }

    #[test]
    fn no_text_panics_or_becomes_an_element(text in "\\PC{0,40}|[<>&\"'/\u{0}-\u{1f}\u{202a}-\u{202e}]{0,40}") {
        let page = |text: &str| {
            let mut report = report();
            report.add(text, &failed("A_REASON", text), None);
            page(&report, &totals())
        };
        let [shown, harmless] = [&text, "harmless"].map(page);
        for c in ['<', '>', '"', '\''] {
            prop_assert_eq!(shown.matches(c).count(), harmless.matches(c).count());
        }
        prop_assert!(shown.chars().all(|c| c == '\n' || !plain::is_unsafe(c)));
    }
}
