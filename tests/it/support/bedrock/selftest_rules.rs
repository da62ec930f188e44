//! The rules are tested too: what they let pass, no test finds.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{Api, Facts, InvokeRequest, MODELS, Thinking, models::Sampling, rules};
use crate::support::images::{Format, Scene};

pub(super) const SONNET_5: &str = "global.anthropic.claude-sonnet-5";
pub(super) const SONNET_4_6: &str = "global.anthropic.claude-sonnet-4-6";

/// A question about a picture.
pub(super) fn message(image: &[u8], media_type: &str) -> Value {
    let data = base64::engine::general_purpose::STANDARD.encode(image);
    json!({
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}},
            {"type": "text", "text": "Where is it?"},
        ]}],
    })
}

/// A request that every rule takes, but for what is set in its body: `/` parts the path.
pub(super) fn sent(model: &str, changes: &[(&str, Value)]) -> InvokeRequest {
    let mut body = message(&Scene::new(64, 64).encode(Format::Png), "image/png");
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = if parent.is_empty() { String::new() } else { format!("/{parent}") };
        let target = body.pointer_mut(&parent).expect("the parent");
        match value {
            Value::Null => drop(target.as_object_mut().expect("an object").remove(key)),
            value => target[key] = value.clone(),
        }
    }
    InvokeRequest::parse(Api::Invoke, model.to_owned(), Default::default(), body.to_string().into()).expect("a body")
}

/// The same of Converse.
fn conversed(model: &str, changes: &[(&str, Value)]) -> InvokeRequest {
    let data = base64::engine::general_purpose::STANDARD.encode(Scene::new(64, 64).encode(Format::Png));
    let mut body = json!({
        "messages": [{"role": "user", "content": [
            {"image": {"format": "png", "source": {"bytes": data}}}, {"text": "Where is it?"}]}],
        "inferenceConfig": {"maxTokens": 100},
    });
    for (key, value) in changes {
        body[*key] = value.clone();
    }
    InvokeRequest::parse(Api::Converse, model.to_owned(), Default::default(), body.to_string().into()).expect("a body")
}

fn refuses(request: &InvokeRequest, expected: &str) {
    let problem = rules::check(request).expect_err(expected);
    assert!(problem.contains(expected), "{}: {problem}", request.model_id);
}

/// An id of a model as it must be named.
fn id_of(facts: &Facts) -> String {
    let vendor = match facts.name {
        name if name.starts_with("claude") => "anthropic",
        name if name.starts_with("nova") => "amazon",
        name if name.starts_with("llama") => "meta",
        name if name.starts_with("pixtral") => "mistral",
        _ => "qwen",
    };
    let prefix = if facts.needs_profile { "us." } else { "" };
    format!("{prefix}{vendor}.{}", facts.name)
}

#[test]
fn bodies_are_held_to_their_shape() {
    let tool = || json!([{"name": "report", "input_schema": {"type": "object"}}]);
    let png = Scene::new(64, 64).encode(Format::Png);
    let mut large = png.clone();
    large.resize(3_932_161, 0);
    let picture = |bytes: &[u8], media_type: &str| message(bytes, media_type)["messages"].clone();
    let user = |text: &str| json!({"role": "user", "content": [{"type": "text", "text": text}]});
    for (changes, expected) in [
        (vec![("anthropic_version", Value::Null)], "required key [anthropic_version] not found"),
        (vec![("max_tokens", Value::Null)], "required key [max_tokens] not found"),
        (vec![("model", "x".into())], "extraneous key [model] is not permitted"),
        (vec![("top_n", 1.into())], "top_n: Extra inputs are not permitted"),
        (vec![("messages", json!([user("a"), user("b")]))], "must alternate between user and assistant roles"),
        (vec![("messages", json!([user(" ")]))], "text content blocks must be non-empty"),
        (vec![("messages", json!([user("a"), {"role": "assistant", "content": "{"}]))], "assistant message prefill"),
        (vec![("messages", json!([{"role": "assistant", "content": "{"}]))], "must start with a user message"),
        (vec![("max_tokens", 1_000_000.into())], "max_tokens: 1000000 > 64000, which is the maximum"),
        (vec![("tool_choice", json!({"type": "tool", "name": "x"}))], "may only be specified while providing tools"),
        (vec![("tools", tool()), ("tool_choice", json!({"type": "tool", "name": "x"}))], "Tool 'x' not found"),
        (vec![("tools", json!([{"name": "a b", "input_schema": {"type": "object"}}]))], "should match pattern"),
        (vec![("tools", json!([{"name": "a", "input_schema": {}}]))], "input_schema.type: Field required"),
        (
            vec![("tools", json!([{"name": "a", "input_schema": {"type": "object", "required": 3}}]))],
            "schema is invalid",
        ),
        (vec![("messages", picture(&png, "image/jpeg"))], "but the image appears to be a image/png image"),
        (vec![("messages", picture(&large, "image/png"))], "image exceeds 5 MB maximum: 5242884 bytes > 5242880 bytes"),
        (vec![("messages", picture(b"GIF8", "image/gif"))], "Could not process image"),
    ] {
        refuses(&sent(SONNET_4_6, &changes), expected);
    }
    large.truncate(3_932_160);
    assert_eq!(rules::check(&sent(SONNET_4_6, &[("messages", picture(&large, "image/png"))])), Ok(()));
    let correction = json!([user("a"), {"role": "assistant", "content": [{"type": "text", "text": "x"}]}, user("b")]);
    assert_eq!(rules::check(&sent(SONNET_4_6, &[("messages", correction)])), Ok(()));

    let closed = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let closed_tool = json!({"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": closed}}}]});
    assert_eq!(rules::check(&conversed(SONNET_4_6, &[("toolConfig", closed_tool.clone())])), Ok(()));
    let extraneous = json!({"thinking": {"type": "disabled"}});
    for (changes, expected) in [
        (vec![("max_tokens", 1.into())], "extraneous key [max_tokens] is not permitted"),
        (vec![("toolConfig", json!({"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": {}}}}]}))], "object."),
        (vec![("toolConfig", closed_tool)], "inputSchema/json: extraneous key [additionalProperties] is not permitted"),
        (vec![("inferenceConfig", json!({"maxTokens": 20_000}))], "exceeds the model limit of 10000"),
        (vec![("additionalModelRequestFields", extraneous)], "extraneous key [thinking] is not permitted"),
    ] {
        refuses(&conversed("us.amazon.nova-lite-v1:0", &changes), expected);
    }
}

/// What the table says of a model is what it takes and refuses, over both operations.
#[test]
fn every_model_refuses_what_its_row_says() {
    let claude = |facts: &&Facts| facts.name.starts_with("claude");
    let tools = json!([{"name": "report", "input_schema": {"type": "object"}}]);
    let disabled = || ("thinking", json!({"type": "disabled"}));
    let forced = [("tools", tools), ("tool_choice", json!({"type": "tool", "name": "report"}))];
    let format =
        json!({"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": false}}});
    for facts in MODELS.iter().filter(claude) {
        let id = id_of(facts);
        let takes = |changes: &[(&str, Value)]| rules::check(&sent(&id, changes)).is_ok();
        assert!(takes(&[]), "{id}");
        let takes_temperature = !matches!(facts.sampling, Sampling::None);
        assert_eq!(takes(&[("temperature", 0.into())]), takes_temperature, "{id}");
        let both = takes(&[("temperature", 0.into()), ("top_p", 1.into())]);
        assert_eq!(both, facts.sampling == Sampling::All, "{id}");
        assert_eq!(takes(&[disabled()]), !matches!(facts.thinking, Thinking::Unknown | Thinking::Always), "{id}");
        assert_eq!(takes(&[("output_config", format.clone())]), facts.native_schema, "{id}");
        assert_eq!(takes(&forced), facts.forced_tool && facts.thinking != Thinking::On, "{id}");
        let calm: Vec<_> = forced.iter().cloned().chain([disabled()]).collect();
        assert_eq!(takes(&calm), facts.forced_tool && facts.thinking != Thinking::Unknown, "{id}");
        assert!(rules::check(&conversed(&id, &[])).is_ok(), "Claude speaks Converse too");
    }
    for facts in MODELS.iter().filter(|facts| !claude(facts)) {
        let id = id_of(facts);
        assert!(rules::check(&conversed(&id, &[])).is_ok(), "{id}");
        refuses(&sent(&id, &[]), "extraneous key [anthropic_version] is not permitted");
        let tools = json!([{"toolSpec": {"name": "report", "inputSchema": {"json": {"type": "object"}}}}]);
        let config = json!({"tools": tools, "toolChoice": {"tool": {"name": "report"}}});
        assert_eq!(rules::check(&conversed(&id, &[("toolConfig", config)])).is_ok(), facts.forced_tool, "{id}");
    }
    refuses(&sent("anthropic.claude-sonnet-5", &[]), "on-demand throughput isn\u{2019}t supported");
}

#[test]
fn schemas_that_the_service_compiles_are_a_small_subset() {
    let with = |schema: Value| {
        let format = json!({"format": {"type": "json_schema", "schema": schema}});
        sent(SONNET_4_6, &[("output_config", format)])
    };
    let object = |properties: Value| json!({"type": "object", "properties": properties, "additionalProperties": false});
    assert_eq!(rules::check(&with(object(json!({"a": {"type": "array", "items": object(json!({}))}})))), Ok(()));
    for (schema, expected) in [
        (json!({"type": "object"}), "'additionalProperties' must be explicitly set to false"),
        (object(json!({"a": {"type": "array", "items": {"type": "object"}}})), "must be explicitly set to false"),
        (object(json!({"a": {"anyOf": [{"type": "integer", "minimum": 0}]}})), "property 'minimum' is not supported"),
        (object(json!({"a": {"type": "array", "maxItems": 4}})), "property 'maxItems' is not supported"),
    ] {
        refuses(&with(schema), expected);
    }
}

#[test]
fn models_are_known_behind_prefixes_and_in_arns() {
    let name = |id: &str| Facts::of(id).map(|facts| facts.name);
    assert_eq!(name("claude-opus-5"), Some("claude-opus-5"));
    assert_eq!(name("eu.anthropic.claude-opus-5-20260801-v1:0"), Some("claude-opus-5"));
    assert_eq!(name("global.anthropic.claude-opus-5-5"), Some("claude-opus-5-5"));
    assert_eq!(name("global.anthropic.claude-opus-4-6-v1"), Some("claude-opus-4-6"));
    let arn = "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.meta.llama4-scout-17b-instruct-v1:0";
    assert_eq!(name(arn), Some("llama4"));
    assert_eq!(name("global.anthropic.claude-sonnet-6"), None);
}

/// The vectors of the published rule.
#[test]
fn pictures_are_seen_as_the_rule_says() {
    let [standard, high] = [SONNET_4_6, SONNET_5].map(|id| Facts::of(id).expect("a known model"));
    for (original, small, large) in [
        ((1092, 1092), (1092, 1092), (1092, 1092)),
        ((1920, 1080), (1456, 819), (1920, 1080)),
        ((3840, 2160), (1456, 819), (2576, 1449)),
        ((1075, 1520), (924, 1307), (1075, 1520)),
        ((4032, 3024), (1270, 952), (2212, 1659)),
        ((8000, 8000), (1092, 1092), (1932, 1932)),
    ] {
        assert_eq!((standard.seen_size(original), high.seen_size(original)), (small, large), "{original:?}");
    }
}
