use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::{
    catalog::Catalog,
    domain::{
        Caller, Coordinates, ExtractionRequest, Features, Frame, LabelsRequest, Options, Prices, Size, StopReason,
        Strategy, Thinking, Usage, VisionTier,
    },
    pipeline::{
        Deadline,
        ports::{ModelError, Part, Question, Reply},
    },
};

type Script = Box<dyn Fn(&Question, usize) -> Result<Reply, ModelError> + Send + Sync>;

/// A model that answers by a script and keeps what it was asked.
struct Scripted {
    script: Script,
    asked: Mutex<Vec<Question>>,
    takes: Duration,
}

#[async_trait]
impl VisionModel for Arc<Scripted> {
    async fn ask(&self, question: &Question) -> Result<Reply, ModelError> {
        let index = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(question.clone());
            asked.len() - 1
        };
        tokio::time::sleep(self.takes).await;
        (self.script)(question, index)
    }

    fn region<'a>(&'a self, model: &'a ModelProfile) -> &'a str {
        model.region.as_deref().unwrap_or("eu-west-1")
    }
}

struct Setup {
    asker: Asker,
    model: Arc<Scripted>,
}

fn setup(
    takes: Duration,
    script: impl Fn(&Question, usize) -> Result<Reply, ModelError> + Send + Sync + 'static,
) -> Setup {
    let model = Arc::new(Scripted { script: Box::new(script), asked: Mutex::default(), takes });
    let policy = RetryPolicy {
        max_attempts: 3,
        base: Duration::from_millis(200),
        cap: Duration::from_secs(5),
        min_call_time: Duration::from_millis(100),
    };
    let limits = imaging::Limits { max_pixels: 1 << 30, max_memory: u64::MAX, safe_decoders: false };
    let admission = Admission::new(&crate::pipeline::tests::limits(), Arc::default());
    Setup { asker: Asker::new(Arc::new(Arc::clone(&model)), policy, limits, admission, Arc::default()), model }
}

fn reply(text: &str) -> Reply {
    let usage = Usage { input_tokens: 3000, output_tokens: 100, ..Usage::default() };
    Reply { text: text.to_owned(), stop_reason: StopReason::EndTurn, usage, upstream_request_id: None, body: None }
}

const GOOD: &str = r#"{"labels": [{"name": "cat", "confidence": 0.9, "instances": []}]}"#;

fn profile(id: &str) -> ModelProfile {
    ModelProfile { id: id.to_owned(), ..Catalog::built_in().unwrap().resolve("default") }
}

fn request(candidates: Vec<ModelProfile>) -> Request {
    let size = Size::new(640, 480);
    Request {
        topic: Topic {
            features: Features { labels: Some(LabelsRequest::default()), ..Features::default() },
            options: Options::default(),
            tags: BTreeMap::new(),
            caller: Caller::named("team-a"),
        },
        picture: Picture {
            bytes: Bytes::from_static(b"picture"),
            media_type: "image/png",
            frame: Frame::new(size, size),
            tokens: 400,
        },
        candidates,
    }
}

impl Setup {
    async fn ask(&self, request: &Request, time: Duration) -> (Result<Answered, AnalyzeError>, Ledger) {
        let ledger = Ledger::default();
        let patience = Patience::until(Deadline::at(Instant::now() + time));
        (self.asker.ask(request, &patience, &ledger).await, ledger)
    }

    fn asked(&self) -> Vec<Question> {
        self.model.asked.lock().unwrap().clone()
    }

    fn calls(&self) -> usize {
        self.asked().len()
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const FAST: Duration = Duration::from_millis(10);

fn unavailable(retryable: bool) -> ModelError {
    ModelError::Unavailable { detail: String::new(), retryable }
}

fn codes(answered: &Answered) -> Vec<&'static str> {
    answered.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn only_what_may_help_is_asked_again() {
    for (error, expected) in [
        (ModelError::Throttled, 3),
        (unavailable(true), 3),
        (unavailable(false), 1),
        (ModelError::QuotaExceeded, 1),
        (ModelError::EndOfLife, 1),
        (ModelError::Rejected { detail: String::new() }, 1),
    ] {
        let failing = error.clone();
        let setup = setup(FAST, move |_, _| Err(failing.clone()));
        let (outcome, ledger) = setup.ask(&request(vec![profile("a")]), MINUTE).await;
        let AnalyzeError::Model { error: reported, calls, .. } = outcome.unwrap_err() else { panic!("{error:?}") };
        assert_eq!((setup.calls(), calls, reported), (expected, expected as u32, error));
        assert_eq!(ledger.claim().usage.model_calls, expected as u32);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_that_the_deadline_leaves_no_time_for() {
    let mut slow = setup(FAST, |_, _| Err(ModelError::Throttled));
    // Of waits of up to a year, a minute is as good as nothing.
    slow.asker.policy.base = Duration::from_secs(31_536_000);
    slow.asker.policy.cap = slow.asker.policy.base;
    let (outcome, _) = slow.ask(&request(vec![profile("a")]), MINUTE).await;
    assert!(matches!(outcome, Err(AnalyzeError::Model { error: ModelError::Throttled, .. })));
    assert_eq!(slow.calls(), 1);

    let late = setup(FAST, |_, _| Ok(reply(GOOD)));
    let (outcome, _) = late.ask(&request(vec![profile("a")]), Duration::from_millis(50)).await;
    assert!(matches!(outcome, Err(AnalyzeError::DeadlineTooShort { .. })));
    assert_eq!(late.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_hammered() {
    let setup = setup(FAST, |_, _| Err(ModelError::Throttled));
    let request = request(vec![profile("a")]);
    for _ in 0..400 {
        let _ = setup.ask(&request, MINUTE).await;
    }
    // Three attempts each would be 1,200 calls. The budget earns a retry in five calls, and some by the seconds gone by.
    assert!(setup.calls() < 650, "{}", setup.calls());
}

#[tokio::test(start_paused = true)]
async fn who_is_throttled_for_good_is_told_when_to_come_back() {
    let setup = setup(FAST, |_, _| Err(ModelError::Throttled));
    let (outcome, _) = setup.ask(&request(vec![profile("a")]), MINUTE).await;
    let Err(AnalyzeError::Model { retry_after: Some(advice), .. }) = outcome else { panic!("{outcome:?}") };
    assert!(advice >= Duration::from_secs(1) && advice <= MINUTE, "{advice:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_part_is_left_out_at_once_and_from_then_on() {
    let setup = setup(FAST, |question, _| {
        let refuse =
            |part| Err(ModelError::PartRefused { part, lasting: true, may_be_billed: false, detail: String::new() });
        match question.strategy {
            _ if question.temperature.is_some() => refuse(Part::Temperature),
            Strategy::NativeSchema | Strategy::ForcedTool => refuse(Part::Strategy(question.strategy)),
            _ => Ok(reply(GOOD)),
        }
    });
    let model = ModelProfile {
        strategies: vec![Strategy::NativeSchema, Strategy::ForcedTool, Strategy::AutoTool, Strategy::PromptedJson],
        sampling: crate::domain::Sampling::Temperature,
        ..profile("a")
    };
    let request = request(vec![model]);
    let (outcome, _) = setup.ask(&request, MINUTE).await;
    assert_eq!(codes(&outcome.unwrap()), ["PARAMETER_REFUSED"]);
    assert_eq!(setup.calls(), 4, "each refusal costs one call, no wait and no retry");
    let (outcome, _) = setup.ask(&request, MINUTE).await;
    assert_eq!(outcome.unwrap().findings.labels.unwrap().labels[0].name, "cat");
    assert_eq!(setup.calls(), 5, "it is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_refuses_the_same_part_for_ever_ends_in_an_error() {
    let setup = setup(FAST, |question, _| {
        Err(ModelError::PartRefused {
            part: Part::Strategy(question.strategy),
            lasting: false,
            may_be_billed: false,
            detail: String::new(),
        })
    });
    let (outcome, _) = setup.ask(&request(vec![profile("a")]), MINUTE).await;
    assert!(matches!(outcome, Err(AnalyzeError::Model { error: ModelError::PartRefused { .. }, .. })), "{outcome:?}");
    assert!(setup.calls() <= 4);
    assert!(setup.asker.refusals.of("a").is_empty(), "what is not lasting is not remembered");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_and_says_so() {
    let setup = setup(FAST, |question, _| match question.model.id.as_str() {
        "a" => Err(ModelError::EndOfLife),
        "b" => Err(unavailable(true)),
        _ => Ok(reply(GOOD)),
    });
    let (outcome, _) = setup.ask(&request(["a", "b", "c"].map(profile).to_vec()), MINUTE).await;
    let answered = outcome.unwrap();
    assert_eq!((answered.model.requested.as_str(), answered.model.served.as_str()), ("a", "c"));
    assert_eq!(codes(&answered), ["MODEL_FALLBACK"]);
    assert_eq!(setup.calls(), 1 + 3 + 1);
}

#[tokio::test(start_paused = true)]
async fn when_no_fallback_helps_the_first_error_is_told() {
    let setup = setup(FAST, |question, _| match question.model.id.as_str() {
        "a" => Err(ModelError::EndOfLife),
        _ => Err(ModelError::QuotaExceeded),
    });
    let (outcome, _) = setup.ask(&request(["a", "b"].map(profile).to_vec()), MINUTE).await;
    assert!(
        matches!(outcome, Err(AnalyzeError::Model { model, error: ModelError::EndOfLife, calls: 2, .. }) if model == "a")
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_may_come_back_is_told_so_whichever_model_it_was() {
    for (a, b) in [
        (ModelError::EndOfLife, ModelError::Throttled),
        (ModelError::Throttled, ModelError::Rejected { detail: String::new() }),
    ] {
        let setup = setup(FAST, move |question, _| match question.model.id.as_str() {
            "a" => Err(a.clone()),
            _ => Err(b.clone()),
        });
        let (outcome, _) = setup.ask(&request(["a", "b"].map(profile).to_vec()), MINUTE).await;
        let told = outcome.unwrap_err();
        assert!(
            matches!(told, AnalyzeError::Model { error: ModelError::Throttled, retry_after: Some(_), .. }),
            "{told:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_throttled_near_the_deadline_is_not_told_of_the_deadline() {
    let setup = setup(Duration::from_millis(950), |_, _| Err(ModelError::Throttled));
    let (outcome, _) = setup.ask(&request(["a", "b"].map(profile).to_vec()), Duration::from_secs(1)).await;
    assert!(matches!(outcome, Err(AnalyzeError::Model { error: ModelError::Throttled, .. })), "{outcome:?}");
    assert_eq!(setup.calls(), 1, "no time is left for the fallback");
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_anew_in_less_time_than_the_model_ever_took() {
    let setup = setup(Duration::from_secs(5), |_, index| match index {
        0..3 => Ok(reply(GOOD)),
        _ => Err(unavailable(true)),
    });
    let request = request(vec![profile("a")]);
    for _ in 0..3 {
        setup.ask(&request, MINUTE).await.0.unwrap();
    }
    let (outcome, _) = setup.ask(&request, Duration::from_secs(9)).await;
    assert!(matches!(outcome, Err(AnalyzeError::Model { error: ModelError::Unavailable { .. }, .. })), "{outcome:?}");
    assert_eq!(setup.calls(), 4, "four seconds are left, and it takes five");
}

#[tokio::test(start_paused = true)]
async fn one_model_in_two_regions_has_two_circuits() {
    let setup = setup(FAST, |question, _| match question.model.region.as_deref() {
        Some("us-east-1") => Err(unavailable(true)),
        _ => Ok(reply(GOOD)),
    });
    let in_region = |region: &str| ModelProfile { region: Some(region.to_owned()), ..profile("a") };
    let request = request(vec![in_region("us-east-1"), in_region("eu-west-1")]);
    for _ in 0..30 {
        setup.ask(&request, MINUTE).await.0.unwrap();
    }
    let dead = setup.asked().iter().filter(|asked| asked.model.region.as_deref() == Some("us-east-1")).count();
    assert!(dead <= 30, "left alone after ten failures of three calls: {dead}");
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_fallback_is_kept_when_the_model_is_gone_for_good() {
    for (error, is_kept) in [(ModelError::EndOfLife, true), (ModelError::Throttled, false)] {
        let setup = setup(FAST, move |question, _| match question.model.id.as_str() {
            "a" => Err(error.clone()),
            _ => Ok(reply(GOOD)),
        });
        let (outcome, _) = setup.ask(&request(["a", "b"].map(profile).to_vec()), MINUTE).await;
        assert_eq!(outcome.unwrap().is_lasting, is_kept);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_billed_or_is_meant_is_not_asked_of_another() {
    for error in [ModelError::Refused, ModelError::Filtered, unavailable(false), ModelError::ImageUnreadable] {
        let failing = error.clone();
        let setup = setup(FAST, move |_, _| Err(failing.clone()));
        let (outcome, _) = setup.ask(&request(["a", "b"].map(profile).to_vec()), MINUTE).await;
        assert!(matches!(outcome, Err(AnalyzeError::Model { model, .. }) if model == "a"), "{error:?}");
        assert_eq!(setup.calls(), 1, "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_sees_less_gets_a_smaller_picture() {
    let mut png = Vec::new();
    let picture = image::RgbImage::from_pixel(800, 400, image::Rgb([9, 120, 200]));
    picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    let setup = setup(FAST, |question, _| match question.model.id.as_str() {
        "a" => Err(ModelError::EndOfLife),
        _ => Ok(reply(
            r#"{"labels": [{"name": "cat", "confidence": 1, "instances": [
            {"box": {"x1": 50, "y1": 0, "x2": 100, "y2": 50}, "confidence": 1}]}]}"#,
        )),
    });
    let small = VisionTier { max_edge: 100, max_visual_tokens: None };
    let mut request = request(vec![profile("a"), ModelProfile { tier: small, ..profile("b") }]);
    request.picture.bytes = png.into();
    request.picture.frame = Frame::new(Size::new(1600, 800), Size::new(800, 400));
    let (outcome, _) = setup.ask(&request, MINUTE).await;
    let answered = outcome.unwrap();
    assert_eq!((answered.seen, codes(&answered)), (Size::new(100, 50), vec!["MODEL_FALLBACK", "IMAGE_RESIZED"]));
    let found = &answered.findings.labels.unwrap().labels[0].instances[0].bounding_box;
    assert_eq!((found.left(), found.top(), found.right(), found.bottom()), (800, 0, 1600, 800));

    request.topic.options.oversize = OversizePolicy::Reject;
    let (outcome, _) = setup.ask(&request, MINUTE).await;
    assert!(outcome.is_err(), "the caller wants no smaller picture");
}

#[tokio::test(start_paused = true)]
async fn a_bad_answer_is_shown_to_the_model_once() {
    let setup = setup(FAST, |_, index| Ok(reply(if index == 0 { "I see a cat." } else { GOOD })));
    let (outcome, ledger) = setup.ask(&request(vec![profile("a")]), MINUTE).await;
    assert_eq!(codes(&outcome.unwrap()), ["MODEL_ASKED_AGAIN"]);
    let second = setup.asked()[1].correction.clone().unwrap();
    assert_eq!(second.answer, "I see a cat.");
    assert!(second.complaint.starts_with("Your answer cannot be used"), "{}", second.complaint);
    let usage = ledger.claim().usage;
    assert_eq!((usage.model_calls, usage.input_tokens, usage.output_tokens), (2, 6000, 200));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stays_bad_is_an_error_after_two_calls() {
    let setup = setup(FAST, |_, _| Ok(reply("I see a cat.")));
    let (outcome, _) = setup.ask(&request(vec![profile("a"), profile("b")]), MINUTE).await;
    assert!(matches!(outcome, Err(AnalyzeError::Answer { calls: 2, .. })), "{outcome:?}");
    assert_eq!(setup.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_second_answer_is_asked_for_that_would_come_too_late() {
    let setup = setup(Duration::from_secs(6), |_, _| Ok(reply("I see a cat.")));
    let (outcome, _) = setup.ask(&request(vec![profile("a")]), Duration::from_secs(10)).await;
    assert!(matches!(outcome, Err(AnalyzeError::Answer { calls: 1, .. })));
    assert_eq!(setup.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_try_that_fails_leaves_what_the_first_one_holds() {
    let setup = setup(FAST, |_, index| match index {
        0 => Ok(reply(GOOD)),
        _ => Err(ModelError::EndOfLife),
    });
    let mut request = request(vec![profile("a")]);
    request.topic.features.description = true;
    let (outcome, _) = setup.ask(&request, MINUTE).await;
    let answered = outcome.unwrap();
    assert!(answered.findings.labels.is_some() && !answered.is_lasting);
    assert_eq!(answered.findings.missing[0].name, "description");
    assert_eq!(setup.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_the_picture_is_an_error() {
    for (input_tokens, expected) in [(100, false), (199, false), (200, true), (0, true)] {
        let setup =
            setup(FAST, move |_, _| Ok(Reply { usage: Usage { input_tokens, ..Usage::default() }, ..reply(GOOD) }));
        let (outcome, _) = setup.ask(&request(vec![profile("a")]), MINUTE).await;
        assert_eq!(outcome.is_ok(), expected, "{input_tokens}");
        if let Err(error) = outcome {
            assert!(matches!(error, AnalyzeError::Model { error: ModelError::PictureUnseen { .. }, .. }));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_always_thinks_gets_tokens_for_it() {
    let setup = setup(FAST, |_, _| Ok(reply(GOOD)));
    let mut request = request(vec![ModelProfile { thinking: Thinking::Always, ..profile("a") }]);
    request.topic.options.max_output_tokens = Some(300);
    setup.ask(&request, MINUTE).await.0.unwrap();
    assert_eq!(setup.asked()[0].max_output_tokens, 300 + 4096);
}

#[tokio::test(start_paused = true)]
async fn a_silent_model_opens_its_circuit_and_a_caller_in_a_hurry_does_not() {
    let setup = setup(MINUTE, |_, _| Ok(reply(GOOD)));
    let request = request(vec![profile("a")]);
    for _ in 0..20 {
        let (outcome, _) = setup.ask(&request, Duration::from_secs(2)).await;
        assert_eq!(outcome.unwrap_err(), AnalyzeError::DeadlineExceeded { stage: crate::pipeline::Stage::Model });
    }
    assert_eq!(setup.calls(), 20);
    for _ in 0..20 {
        let _ = setup.ask(&request, Duration::from_secs(20)).await;
    }
    assert!(setup.calls() < 35, "ten silences, and then one call at a time: {}", setup.calls());
}

/// What takes CPU here takes it from the same workers as the preparing of pictures.
#[tokio::test(start_paused = true)]
async fn values_are_held_against_a_schema_by_a_worker_of_the_process() {
    let setup = setup(FAST, |_, _| Ok(reply(r#"{"extraction": {"colour": "red"}}"#)));
    let schema = serde_json::json!({"type": "object", "properties": {"colour": {"type": "string"}}});
    let mut request = request(vec![profile("a")]);
    request.topic.features =
        Features { extraction: Some(ExtractionRequest { schema, instruction: String::new() }), ..Features::default() };
    let busy = setup.asker.admission.worker().await.unwrap();
    let (outcome, _) = setup.ask(&request, MINUTE).await;
    assert!(matches!(outcome, Err(AnalyzeError::DeadlineExceeded { .. })), "{outcome:?}");
    drop(busy);
    let (outcome, _) = setup.ask(&request, MINUTE).await;
    assert_eq!(outcome.unwrap().findings.extraction.unwrap()["colour"], "red");
}

#[tokio::test(start_paused = true)]
async fn every_call_is_priced_at_the_model_that_answered_it() {
    let prices = |input| Some(Prices { input, output: 0.0, cache_read: 0.0, cache_write: 0.0 });
    let model = ModelProfile { prices: prices(2.0), coordinates: Coordinates::Pixels, ..profile("a") };
    let setup = setup(FAST, |_, index| Ok(reply(if index == 0 { "?" } else { GOOD })));
    let (_, ledger) = setup.ask(&request(vec![model]), MINUTE).await;
    assert_eq!(ledger.claim().usage.cost_usd(), Some(2.0 * 6000.0 / 1e6));
}

/// The value of a series of the asker's metrics; 0 when it is not there.
fn counted(setup: &Setup, series: &str) -> f64 {
    let text = setup.asker.metrics.scrape(crate::metrics::Format::Prometheus);
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn every_call_is_counted_by_what_came_of_it() {
    let name = &profile("a").name;
    let attempts = |setup: &Setup| {
        ["ok", "throttled", "unavailable", "failed"].map(|outcome| {
            let series = format!("sightline_model_attempts_total{{model=\"{name}\",outcome=\"{outcome}\"}}");
            counted(setup, &series) as u32
        })
    };
    for (error, expected, retries) in [
        (ModelError::Throttled, [1, 2, 0, 0], 2.0),
        (unavailable(true), [1, 0, 2, 0], 2.0),
        (unavailable(false), [0, 0, 1, 0], 0.0),
        (ModelError::Refused, [0, 0, 0, 1], 0.0),
    ] {
        let setup = setup(FAST, move |_, index| if index < 2 { Err(error.clone()) } else { Ok(reply(GOOD)) });
        let _ = setup.ask(&request(vec![profile("a")]), MINUTE).await;
        assert_eq!(attempts(&setup), expected);
        assert_eq!(counted(&setup, &format!("sightline_retries_total{{model=\"{name}\"}}")), retries);
        let paid = if expected[0] == 1 { 3100.0 } else { 0.0 };
        assert_eq!(counted(&setup, "sightline_caller_tokens_total{caller=\"team-a\"}"), paid);
    }
    let silent = setup(MINUTE * 2, |_, _| Ok(reply(GOOD)));
    silent.ask(&request(vec![profile("a")]), MINUTE).await.0.unwrap_err();
    assert_eq!(attempts(&silent), [0, 0, 0, 1], "no answer in time");
    let left = setup(MINUTE, |_, _| Ok(reply(GOOD)));
    let request = request(vec![profile("a")]);
    assert!(tokio::time::timeout(FAST, left.ask(&request, MINUTE * 2)).await.is_err());
    assert_eq!((attempts(&left), left.calls()), ([0, 0, 0, 0], 1), "who leaves says nothing of the model");
}

#[tokio::test(start_paused = true)]
async fn a_model_gets_of_the_sampling_what_it_takes() {
    use crate::domain::Sampling;
    let sent = async |sampling| {
        let setup = setup(FAST, |_, _| Ok(reply(GOOD)));
        let mut request = request(vec![ModelProfile { sampling, ..profile("a") }]);
        request.topic.options = Options { top_p: Some(0.999), top_k: Some(250), ..Options::default() };
        setup.ask(&request, Duration::from_secs(10)).await.0.unwrap();
        let question = setup.asked().remove(0);
        (question.temperature, question.top_p, question.top_k)
    };
    assert_eq!(sent(Sampling::All).await, (Some(0.0), Some(0.999), Some(250)));
    assert_eq!(sent(Sampling::OneOf).await, (Some(0.0), None, None));
    assert_eq!(sent(Sampling::Temperature).await, (Some(0.0), None, None));
    assert_eq!(sent(Sampling::None).await, (None, None, None));
}

#[tokio::test(start_paused = true)]
async fn a_refused_temperature_takes_along_what_is_beside_it() {
    use crate::domain::Sampling;
    let setup = setup(FAST, |question, _| match question.top_k {
        None => Ok(reply(GOOD)),
        Some(_) => {
            let (part, detail) = (Part::Temperature, "400".to_owned());
            Err(ModelError::PartRefused { part, lasting: false, may_be_billed: false, detail })
        }
    });
    let mut request = request(vec![ModelProfile { sampling: Sampling::All, ..profile("a") }]);
    request.topic.options = Options { top_p: Some(0.999), top_k: Some(250), ..Options::default() };
    setup.ask(&request, Duration::from_secs(10)).await.0.unwrap();
    let second = setup.asked().remove(1);
    assert_eq!((second.temperature, second.top_p, second.top_k), (None, None, None));
}
