use insta::assert_snapshot;

use super::{super::test_loopback, *};
use crate::{domain::Api, pipeline::Correction, prompt::Prompt};

fn question(strategy: Strategy) -> Question {
    test_loopback::question(Api::Messages, strategy)
}

fn body(question: &Question) -> Value {
    serde_json::from_slice(&request(question)).unwrap()
}

fn pretty(question: &Question) -> String {
    serde_json::to_string_pretty(&body(question)).unwrap()
}

fn corrected(answer: &str) -> Question {
    let correction = Correction { answer: answer.to_owned(), complaint: "That is no JSON.".to_owned() };
    Question { correction: Some(correction), ..question(Strategy::PromptedJson) }
}

#[test]
fn every_strategy_has_its_body() {
    assert_snapshot!("native_schema", pretty(&question(Strategy::NativeSchema)));
    assert_snapshot!("forced_tool", pretty(&question(Strategy::ForcedTool)));
    assert_snapshot!("auto_tool", pretty(&question(Strategy::AutoTool)));
    assert_snapshot!("prompted_json", pretty(&question(Strategy::PromptedJson)));
}

#[test]
fn thinking_is_left_alone_or_switched_off_or_kept_short() {
    let with = |thinking, strategy| body(&Question { thinking, ..question(strategy) });
    let unset = with(ThinkingParameter::Unset, Strategy::ForcedTool);
    assert_eq!((unset.get("thinking"), unset.get("output_config")), (None, None));
    let disabled = with(ThinkingParameter::Disabled, Strategy::ForcedTool);
    assert_eq!(disabled["thinking"], json!({"type": "disabled"}));
    assert!(disabled.get("output_config").is_none());
    let low = with(ThinkingParameter::LowEffort, Strategy::AutoTool);
    assert!(low.get("thinking").is_none());
    assert_eq!(low["output_config"], json!({"effort": "low"}));
    let both = with(ThinkingParameter::LowEffort, Strategy::NativeSchema);
    assert_eq!(both["output_config"]["effort"], "low");
    assert_eq!(both["output_config"]["format"]["type"], "json_schema");
}

#[test]
fn a_correction_shows_the_answer_and_what_is_wrong_with_it() {
    assert_snapshot!("correction", pretty(&corrected("I see a \"cat\".")));
}

#[test]
fn a_correction_of_an_empty_answer_stays_in_the_callers_turn() {
    for answer in ["", " \n"] {
        let body = body(&corrected(answer));
        assert_eq!(body["messages"].as_array().unwrap().len(), 1);
        let content = body["messages"][0]["content"].as_array().unwrap();
        assert_eq!((content.len(), &content[2]), (3, &json!({"type": "text", "text": "That is no JSON."})));
    }
}

#[test]
fn nothing_is_sent_that_was_not_asked_for() {
    let body = body(&question(Strategy::ForcedTool));
    for absent in ["temperature", "top_p", "top_k", "thinking", "output_config", "model", "stream"] {
        assert!(body.get(absent).is_none(), "{absent}");
    }
    let data = body["messages"][0]["content"][0]["source"]["data"].as_str().unwrap();
    assert_eq!(STANDARD.decode(data).unwrap(), b"\xff\xd8\xff picture");
}

#[test]
fn the_body_for_a_prompt_alone_is_the_original_guides() {
    let prompt = "당신은 이미지 분석가입니다. \"제공된\" 사진을\n설명해주세요.";
    for strategy in [Strategy::NativeSchema, Strategy::ForcedTool, Strategy::AutoTool, Strategy::PromptedJson] {
        let alone = Prompt { system: None, text: prompt.to_owned(), schema: None };
        let question = Question { prompt: alone, temperature: Some(0.2), ..question(strategy) };
        let expected = json!({
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 1024,
            "temperature": 0.2,
            "messages": [{"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/IHBpY3R1cmU="}},
                {"type": "text", "text": prompt}
            ]}]
        });
        assert_eq!(body(&question), expected);
    }
}

fn text_of(content: &str) -> String {
    let body = format!(r#"{{"content":{content},"stop_reason":"end_turn"}}"#);
    reply(body.as_bytes(), Some("report_analysis"), None).unwrap().text
}

#[test]
fn the_tools_input_is_kept_byte_for_byte() {
    let body =
        br#"{"content":[{"type":"text","text":"Sure."},{"type":"tool_use","id":"t","name":"n","input":{"a" : 1.0}}],
        "stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":4,"cache_read_input_tokens":5}}"#;
    let reply = reply(body, Some("n"), Some("id".to_owned())).unwrap();
    assert_eq!(reply.text, r#"{"a" : 1.0}"#);
    let usage = reply.usage;
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cache_read_tokens), (3, 4, 5));
    assert_eq!(reply.stop_reason, StopReason::EndTurn);
    assert_eq!(reply.upstream_request_id.as_deref(), Some("id"));
}

#[test]
fn the_first_call_of_our_tool_that_holds_something_is_the_answer() {
    let call = |name: &str, input: &str| format!(r#"{{"type":"tool_use","id":"t","name":"{name}","input":{input}}}"#);
    let (ours, other) = (|input: &str| call("report_analysis", input), |input: &str| call("Report", input));
    let of = |blocks: &[String]| text_of(&format!("[{}]", blocks.join(",")));
    assert_eq!(of(&[ours("{ }"), ours(r#"{"a":1}"#), ours(r#"{"a":2}"#)]), r#"{"a":1}"#);
    assert_eq!(of(&[other(r#"{"a":1}"#), ours(r#"{"a":2}"#)]), r#"{"a":2}"#);
    assert_eq!(of(&[other(r#"{"a":1}"#)]), r#"{"a":1}"#);
    assert_eq!(of(&[ours("{}")]), "{}");
    assert_eq!(of(&[ours("{}"), r#"{"type":"text","text":"It is a cat."}"#.to_owned()]), "It is a cat.");
    assert_eq!(of(&[ours(r#""{\"a\":1}""#)]), r#"{"a":1}"#);
}

#[test]
fn thinking_is_no_answer_and_texts_are_joined() {
    let content = r#"[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"x"},
            {"type":"text","text":"a"},{"type":"text","text":"b"}]"#;
    assert_eq!(text_of(content), "ab");
}

#[test]
fn an_empty_content_is_an_empty_answer_and_null_is_as_good_as_absent() {
    assert_eq!(text_of("[]"), "");
    assert_eq!(text_of(r#"[{"type":"text","text":null,"name":null}]"#), "");
    let body = br#"{"content":[{"type":"text","text":"a","input":null}],"stop_reason":null,"usage":null}"#;
    assert_eq!(reply(body, None, None).unwrap().text, "a");
}

#[test]
fn every_stop_reason_has_its_meaning() {
    let table = [
        ("end_turn", StopReason::EndTurn),
        ("tool_use", StopReason::EndTurn),
        ("stop_sequence", StopReason::EndTurn),
        ("max_tokens", StopReason::MaxTokens),
        ("model_context_window_exceeded", StopReason::MaxTokens),
        ("refusal", StopReason::Refusal),
        ("content_filtered", StopReason::Filtered),
        ("guardrail_intervened", StopReason::Filtered),
        ("pause_turn", StopReason::Unknown),
    ];
    for (name, expected) in table {
        let body = format!(r#"{{"content":[],"stop_reason":"{name}"}}"#);
        assert_eq!(reply(body.as_bytes(), None, None).unwrap().stop_reason, expected, "{name}");
    }
    let guarded = br#"{"content":[],"stop_reason":"end_turn","amazon-bedrock-guardrailAction":"INTERVENED"}"#;
    assert_eq!(reply(guarded, None, None).unwrap().stop_reason, StopReason::Filtered);
}

#[test]
fn what_is_no_message_is_malformed() {
    for body in [&b"{}"[..], b"", b"<html>", b"{\"content\": 3}", b"\xff\xfe"] {
        assert!(matches!(reply(body, None, None), Err(ModelError::Malformed { .. })));
    }
}

#[test]
fn the_originals_parameters_are_sent_as_they_were_written() {
    let original =
        Question { temperature: Some(0.0), top_p: Some(0.999), top_k: Some(250), ..question(Strategy::AutoTool) };
    let text = String::from_utf8(request(&original)).unwrap();
    for written in [r#""temperature":0.0"#, r#""top_p":0.999}"#, r#""top_k":250,"#] {
        assert!(text.contains(written), "{written} in {text}");
    }
}
