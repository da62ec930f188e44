//! What a request costs: known prices times known tokens, exactly; nothing where a price is not known; and the expected
//! cost before a cent is spent.

use serde_json::json;
use sightline::proto::{AnalysisOptions, AnalyzeImageRequest, ImageAnalysis};

use crate::support::{
    bedrock::Reply,
    images::Scene,
    many::{config, features, inline, item},
    models::{NOVA, SONNET_5, about, about_picture, answer, everything, scene, to, usage_of, with},
    service::{Service, describe, prompt},
};

/// Two models with prices that are easy to reckon with, and one without.
const PRICES: &str = r#"
    [models.claude-sonnet-5]
    prices = { input = 2, output = 10, cache_read = 0.2, cache_write = 2.5 }
    fallbacks = ["claude-sonnet-4-6"]
    [models.claude-sonnet-4-6]
    prices = { input = 3, output = 15 }
    fallbacks = []
    [models.gratis]
    id = "us.amazon.nova-pro-v1:0"
    extends = "nova-pro"
    prices = { input = 0, output = 0 }
    [models.secret]
    id = "qwen.qwen3-vl-235b-a22b"
    extends = "qwen3-vl"
    fallbacks = ["claude-sonnet-5"]
"#;

async fn service() -> Service {
    let service = Service::with_models(PRICES, &["--max-model-attempts", "1"]).await;
    service.bedrock.answer_with(|request| answer(request).usage(1500, 100));
    service
}

fn cost(analysis: &ImageAnalysis) -> Option<f64> {
    usage_of(analysis).estimated_cost_usd
}

#[tokio::test]
async fn tokens_times_prices_to_the_last_digit() {
    let service = service().await;
    for (model, expected) in [("", 0.004), ("claude-sonnet-4-6", 0.006), ("gratis", 0.0)] {
        let analysis = service.analyze(to(model, about(describe()))).await.expect("an answer");
        assert_eq!(cost(&analysis), Some(expected), "{model}");
    }
    let tokens = json!({"input_tokens": 1000, "output_tokens": 10,
        "cache_read_input_tokens": 100, "cache_creation_input_tokens": 40});
    let content = json!([{"type": "text", "text": "Blue."}]);
    service.bedrock.push(Reply::messages(content, "end_turn", tokens));
    let analysis = service.analyze(about(prompt("Which colour?"))).await.expect("an answer");
    // 1000 * 2 + 10 * 10 + 100 * 0.2 + 40 * 2.5 dollars a million.
    assert_eq!(cost(&analysis), Some(0.00222));
}

#[tokio::test]
async fn a_model_without_a_price_has_no_cost() {
    let service = service().await;
    let analysis = service.analyze(to("secret", about(describe()))).await.expect("an answer");
    assert_eq!((usage_of(&analysis).input_token_count, cost(&analysis)), (1500, None));
    let unknown = Service::with(&["--model", "us.acme.seer-9-v1:0"]).await;
    unknown.bedrock.answer_with(answer);
    let analysis = unknown.analyze(about(describe())).await.expect("an answer");
    assert_eq!(cost(&analysis), None, "never a guessed 0");
}

#[tokio::test]
async fn every_call_is_paid_for_at_its_own_price() {
    let service = service().await;
    // Two answers of one model.
    service.bedrock.push(Reply::text("I cannot tell.").usage(1000, 50));
    let analysis = service.analyze(about(describe())).await.expect("an answer");
    assert_eq!((usage_of(&analysis).model_call_count, cost(&analysis)), (2, Some(0.0065)));
    // A throttled call takes no tokens; its fallback has another price.
    service.bedrock.push(Reply::throttled());
    let analysis = service.analyze(about(describe())).await.expect("an answer");
    assert_eq!((usage_of(&analysis).model_call_count, cost(&analysis)), (2, Some(0.006)));
    // And a model without a price that gave no answer takes nothing either.
    service.bedrock.push(Reply::throttled());
    let analysis = service.analyze(to("secret", about(describe()))).await.expect("an answer");
    assert_eq!((usage_of(&analysis).model_call_count, cost(&analysis)), (2, Some(0.004)));
}

#[tokio::test]
async fn a_stream_sums_what_its_items_cost_failed_ones_included() {
    let service = service().await;
    let picture = |side: u32| Scene::new(side, side).encode(crate::support::images::Format::Png);
    service.bedrock.push(Reply::refusal().usage(500, 0));
    let mut requests = vec![config(features(describe()))];
    requests.extend([100, 101, 102].map(|side| item(inline(&side.to_string(), &picture(side)))));
    let collected = service.many(requests).await;
    let total = collected.summary().total_usage.as_ref().expect("usage");
    assert_eq!((total.input_token_count, total.output_token_count, total.model_call_count), (3500, 200, 3));
    assert_eq!(total.estimated_cost_usd, Some(0.009));
}

async fn expected(service: &Service, request: AnalyzeImageRequest) -> ImageAnalysis {
    let analysis = service.analyze(AnalyzeImageRequest { validate_only: true, ..request }).await.expect("facts");
    assert!(analysis.model.is_none() && usage_of(&analysis).model_call_count == 0);
    analysis
}

/// The expected tokens are those that the call then takes, and the cost is the most that it may.
#[tokio::test]
async fn the_cost_is_known_before_a_cent_is_spent() {
    let service = Service::with_models(PRICES, &[]).await;
    service.bedrock.answer_with(answer);
    for request in [
        about(everything()),
        about_picture(&Scene::new(3000, 2000), describe()),
        about(prompt("Which colour is it?")),
        to("claude-sonnet-4-6", about(everything())),
        with(about(describe()), AnalysisOptions { max_output_tokens: 77, ..AnalysisOptions::default() }),
    ] {
        let before = expected(&service, request.clone()).await;
        let calls = service.bedrock.requests().len();
        let after = service.analyze(request.clone()).await.expect("an answer");
        assert_eq!(service.bedrock.requests().len(), calls + 1, "validating calls no model");
        let (planned, taken) = (usage_of(&before), usage_of(&after));
        assert_eq!(planned.image_token_count, taken.image_token_count);
        let difference = (planned.input_token_count - taken.input_token_count).abs();
        assert!(difference * 10 <= taken.input_token_count, "{planned:?} {taken:?}");
        let sent = service.bedrock.requests().pop().expect("a request");
        assert_eq!(planned.output_token_count as u64, sent.max_tokens());
        let (input, output) = if sent.model_id == SONNET_5 { (2.0, 10.0) } else { (3.0, 15.0) };
        let most = (planned.input_token_count as f64 * input + planned.output_token_count as f64 * output) / 1e6;
        assert!((cost(&before).expect("a cost") - most).abs() < 1e-12, "{:?} {most}", cost(&before));
        assert!(cost(&after) <= cost(&before));
        assert_eq!(before.image, after.image);
    }
    assert_eq!(cost(&expected(&service, to("secret", about(describe()))).await), None);
    // Nova has a price and no rule for pictures: what the words alone cost would mislead.
    let nova = expected(&service, to(NOVA, about(describe()))).await;
    assert_eq!((cost(&nova), usage_of(&nova).image_token_count), (None, 0));
    assert!(usage_of(&nova).input_token_count > 0);
}

/// A throttled service still tells what a request would cost, and how the picture would be seen.
#[tokio::test]
async fn validating_needs_no_model() {
    let service = Service::start().await;
    service.bedrock.answer_with(|_| Reply::throttled());
    let before = expected(&service, about_picture(&scene(), describe())).await;
    assert_eq!(usage_of(&before).image_token_count, 23 * 15);
    assert!(service.bedrock.requests().is_empty());
}
