use insta::assert_snapshot;
use serde_json::Value;

use super::{
    super::test_loopback::{Answer, ask, question},
    *,
};
use crate::{domain::Api, pipeline::Correction};

const DONE: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"ok"}]}},"stopReason":"end_turn",
    "usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}"#;

fn asked(strategy: Strategy) -> Question {
    question(Api::Converse, strategy)
}

async fn body(question: &Question) -> Value {
    let (seen, reply) = ask(question, Answer::Ok(DONE)).await;
    assert_eq!(reply.unwrap().text, "ok");
    seen.body
}

async fn pretty(question: &Question) -> String {
    serde_json::to_string_pretty(&body(question).await).unwrap()
}

/// What is made of an answer with this content, stop reason and usage.
async fn reply_of(content: &str, stop_reason: &str) -> Reply {
    let answer = format!(
        r#"{{"output":{{"message":{{"role":"assistant","content":{content}}}}},"stopReason":"{stop_reason}","usage":
        {{"inputTokens":10,"outputTokens":20,"totalTokens":37,"cacheReadInputTokens":3,"cacheWriteInputTokens":4}}}}"#
    );
    ask(&asked(Strategy::ForcedTool), Answer::Ok(&answer)).await.1.unwrap()
}

#[tokio::test]
async fn every_strategy_has_its_body() {
    assert_snapshot!("native_schema", pretty(&asked(Strategy::NativeSchema)).await);
    assert_snapshot!("forced_tool", pretty(&asked(Strategy::ForcedTool)).await);
    assert_snapshot!("auto_tool", pretty(&asked(Strategy::AutoTool)).await);
    assert_snapshot!("prompted_json", pretty(&asked(Strategy::PromptedJson)).await);
}

/// Nova refuses further keywords at the top of a tool's schema, other vendors closed objects anywhere.
#[tokio::test]
async fn a_tools_schema_is_open_as_far_as_the_model_needs_it() {
    let line = json!({"type": "object", "properties": {"additionalProperties": {"type": "string"}},
        "additionalProperties": false});
    let map = json!({"type": "object", "additionalProperties": {"anyOf": [line]}});
    let schema = json!({"type": "object", "properties": {"lines": {"type": "array", "items": line}, "map": map},
        "required": ["lines"], "additionalProperties": false});
    let sent = async |id: &str| {
        let mut question = asked(Strategy::ForcedTool);
        id.clone_into(&mut question.model.id);
        if let Some(answer) = &mut question.prompt.schema {
            answer.schema = schema.clone().into();
        }
        body(&question).await["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"].clone()
    };
    let mut for_claude = schema.clone();
    for_claude.as_object_mut().unwrap().remove("additionalProperties");
    assert_eq!(sent("eu.anthropic.claude-sonnet-5").await, for_claude);
    let open = json!({"type": "object", "properties": {"additionalProperties": {"type": "string"}}});
    let open_map = json!({"type": "object", "additionalProperties": {"anyOf": [open]}});
    let for_others = json!({"type": "object", "required": ["lines"],
        "properties": {"lines": {"type": "array", "items": open}, "map": open_map}});
    assert_eq!(sent("us.amazon.nova-pro-v1:0").await, for_others);
}

#[tokio::test]
async fn the_parameters_of_a_call_stand_where_converse_looks_for_them() {
    let tags = [("team".to_owned(), "search".to_owned())].into();
    let question = Question {
        temperature: Some(0.5),
        thinking: ThinkingParameter::Disabled,
        media_type: "image/webp",
        tags,
        ..asked(Strategy::PromptedJson)
    };
    let (seen, _) = ask(&question, Answer::Ok(DONE)).await;
    assert!(seen.head.starts_with("post /model/global.anthropic.claude-sonnet-5/converse "), "{}", seen.head);
    assert_eq!(seen.body["inferenceConfig"], json!({"maxTokens": 1024, "temperature": 0.5}));
    assert_eq!(seen.body["additionalModelRequestFields"], json!({"thinking": {"type": "disabled"}}));
    assert_eq!(seen.body["requestMetadata"], json!({"team": "search"}));
    assert_eq!(seen.body["messages"][0]["content"][0]["image"]["format"], "webp");
    let short = body(&Question { thinking: ThinkingParameter::LowEffort, ..asked(Strategy::AutoTool) }).await;
    assert_eq!(short["additionalModelRequestFields"], json!({"output_config": {"effort": "low"}}));
}

#[tokio::test]
async fn a_correction_shows_the_answer_and_what_is_wrong_with_it() {
    let corrected = |answer: &str| Question {
        correction: Some(Correction { answer: answer.to_owned(), complaint: "That is no JSON.".to_owned() }),
        ..asked(Strategy::PromptedJson)
    };
    let three = body(&corrected("I see a cat.")).await;
    assert_eq!(three["messages"][1], json!({"role": "assistant", "content": [{"text": "I see a cat."}]}));
    assert_eq!(three["messages"][2], json!({"role": "user", "content": [{"text": "That is no JSON."}]}));
    let one = body(&corrected(" ")).await;
    assert_eq!(one["messages"].as_array().unwrap().len(), 1);
    assert_eq!(one["messages"][0]["content"][2], json!({"text": "That is no JSON."}));
}

#[tokio::test]
async fn the_tools_input_is_the_answer_and_reasoning_is_none() {
    let content = r#"[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}},{"text":"Sure."},
        {"toolUse":{"toolUseId":"1","name":"report_analysis","input":{}}},
        {"toolUse":{"toolUseId":"2","name":"report_analysis","input":{"b":[1,2.5,-3],"a":null}}}]"#;
    let reply = reply_of(content, "tool_use").await;
    assert_eq!(reply.text, r#"{"a":null,"b":[1,2.5,-3]}"#);
    assert_eq!(reply.stop_reason, StopReason::EndTurn);
    assert_eq!(reply.upstream_request_id.as_deref(), Some("request-1"));
    let usage = reply.usage;
    assert_eq!((usage.input_tokens, usage.output_tokens), (10, 20));
    assert_eq!((usage.cache_read_tokens, usage.cache_write_tokens), (3, 4));
}

#[tokio::test]
async fn texts_are_joined_and_nothing_is_an_empty_answer() {
    assert_eq!(reply_of(r#"[{"text":"a"},{"text":"b"}]"#, "end_turn").await.text, "ab");
    assert_eq!(reply_of("[]", "end_turn").await.text, "");
    // A block that this SDK does not know.
    assert_eq!(reply_of(r#"[{"hologram":{"x":1}},{"text":"b"}]"#, "end_turn").await.text, "b");
}

#[tokio::test]
async fn every_stop_reason_has_its_meaning() {
    let table = [
        ("end_turn", StopReason::EndTurn),
        ("stop_sequence", StopReason::EndTurn),
        ("max_tokens", StopReason::MaxTokens),
        ("model_context_window_exceeded", StopReason::MaxTokens),
        ("refusal", StopReason::Refusal),
        ("content_filtered", StopReason::Filtered),
        ("guardrail_intervened", StopReason::Filtered),
        ("malformed_tool_use", StopReason::Unknown),
        ("malformed_model_output", StopReason::Unknown),
    ];
    for (name, expected) in table {
        assert_eq!(reply_of("[]", name).await.stop_reason, expected, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_message_is_malformed() {
    let deep = format!(
        r#"{{"output":{{"message":{{"role":"assistant","content":[{{"toolUse":{{"toolUseId":"1","name":"n","input":{}1{}}}}}]}}}},
        "stopReason":"tool_use"}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for body in
        [r#"{"stopReason":"end_turn"}"#, "<html>", r#"{"output":{"other":{}},"stopReason":"end_turn"}"#, "[", &deep]
    {
        let (_, reply) = ask(&asked(Strategy::ForcedTool), Answer::Ok(body)).await;
        assert!(matches!(reply, Err(ModelError::Malformed { .. })), "{body:.40}: {reply:?}");
    }
    let refused = r#"{"stopReason":"refusal","usage":{"inputTokens":1,"outputTokens":0,"totalTokens":1}}"#;
    let reply = ask(&asked(Strategy::ForcedTool), Answer::Ok(refused)).await.1.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop_reason), ("", StopReason::Refusal));
}

#[tokio::test]
async fn the_originals_parameters_go_as_far_as_the_model_has_them() {
    let sent = async |id: &str| {
        let mut question =
            Question { temperature: Some(0.0), top_p: Some(0.5), top_k: Some(250), ..asked(Strategy::AutoTool) };
        id.clone_into(&mut question.model.id);
        let body = body(&question).await;
        (body["inferenceConfig"].clone(), body.get("additionalModelRequestFields").cloned())
    };
    let both = json!({"maxTokens": 1024, "temperature": 0.0, "topP": 0.5});
    assert_eq!(sent("anthropic.claude-3-sonnet-20240229-v1:0").await, (both.clone(), Some(json!({"top_k": 250}))));
    assert_eq!(sent("us.amazon.nova-pro-v1:0").await, (both, None), "Nova's has another name and range");
}

#[tokio::test]
async fn the_whole_body_comes_along_when_it_is_asked_for() {
    let with = async |keeps_body| {
        let question = Question { keeps_body, ..asked(Strategy::AutoTool) };
        ask(&question, Answer::Ok(DONE)).await.1.unwrap().body
    };
    assert_eq!(with(true).await.as_deref(), Some(DONE));
    assert_eq!(with(false).await, None);
}
