use super::{super::test_loopback, *};
use crate::domain::Api;

/// A question that holds everything that this strategy lets it hold.
fn full(strategy: Strategy, thinking: ThinkingParameter) -> Question {
    Question { temperature: Some(0.0), thinking, ..test_loopback::question(Api::Messages, strategy) }
}

const NATIVE: Part = Part::Strategy(Strategy::NativeSchema);
const FORCED: Part = Part::Strategy(Strategy::ForcedTool);
const TOOLS: Part = Part::Strategy(Strategy::AutoTool);

/// What the service says, to a question of which strategy, and what it means.
type Row = (&'static str, Strategy, Option<(Part, bool)>);

const TABLE: &[Row] = {
    use Strategy::{AutoTool, ForcedTool, NativeSchema, PromptedJson};
    &[
        // Native schemas that the model does not take.
        ("output_config.format: Extra inputs are not permitted", NativeSchema, Some((NATIVE, true))),
        ("output_config: Extra inputs are not permitted", NativeSchema, Some((NATIVE, true))),
        (
            "Malformed input request: #: extraneous key [output_config] is not permitted, please reformat your input and \
          try again.",
            NativeSchema,
            Some((NATIVE, true)),
        ),
        (
            "Malformed input request: #/output_config: extraneous key [format] is not permitted, please reformat your \
          input and try again.",
            NativeSchema,
            Some((NATIVE, true)),
        ),
        (
            "This model doesn't support the outputConfig field. Remove outputConfig and try again.",
            NativeSchema,
            Some((NATIVE, true)),
        ),
        (
            "This model doesn't support the outputConfig.textFormat field. Remove outputConfig.textFormat and try again.",
            NativeSchema,
            Some((NATIVE, true)),
        ),
        ("This model does not support structured outputs.", NativeSchema, Some((NATIVE, true))),
        ("This model does not support response format json_schema", NativeSchema, Some((NATIVE, true))),
        // Native schemas that are too much.
        ("Schema is too complex. Simplify the schema and try again.", NativeSchema, Some((NATIVE, false))),
        (
            "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas or reduce \
          the number of strict tools.",
            NativeSchema,
            Some((NATIVE, false)),
        ),
        ("Grammar compilation timed out.", NativeSchema, Some((NATIVE, false))),
        (
            "Schemas contains too many parameters with union types (19 parameters with type arrays or anyOf). This causes \
          exponential compilation cost.",
            NativeSchema,
            Some((NATIVE, false)),
        ),
        (
            "Schemas contains too many optional parameters (46), which would make grammar compilation inefficient.",
            NativeSchema,
            Some((NATIVE, false)),
        ),
        (
            "output_config.format.schema: For 'integer' type, properties maximum, minimum are not supported",
            NativeSchema,
            Some((NATIVE, false)),
        ),
        ("output_config.format.schema: Schema is too complex", NativeSchema, Some((NATIVE, false))),
        ("output_config.format: Schema is too complex", NativeSchema, Some((NATIVE, false))),
        ("output_config.format: Grammar compilation timed out", NativeSchema, Some((NATIVE, false))),
        ("output_config.format: Schema type 'oneOf' is not supported", NativeSchema, Some((NATIVE, false))),
        ("output_config.format: something went wrong", NativeSchema, Some((NATIVE, false))),
        // Tools.
        ("Thinking may not be enabled when tool_choice forces tool use.", ForcedTool, Some((FORCED, true))),
        ("tool_choice forces tool use is not compatible with this model", ForcedTool, Some((FORCED, true))),
        ("tool_choice: type \"tool\" and \"any\" are not supported for this model.", ForcedTool, Some((FORCED, true))),
        (
            "This model doesn't support the toolConfig.toolChoice.tool field. Remove toolConfig.toolChoice.tool and try \
          again.",
            ForcedTool,
            Some((FORCED, true)),
        ),
        (
            "This model doesn't support the toolConfig.toolChoice.auto field. Remove toolConfig.toolChoice.auto and try \
          again.",
            AutoTool,
            Some((TOOLS, true)),
        ),
        ("tool_choice: Extra inputs are not permitted", AutoTool, Some((TOOLS, true))),
        ("This model doesn't support tool use.", ForcedTool, Some((TOOLS, true))),
        ("This model doesn\u{2019}t support tool use.", AutoTool, Some((TOOLS, true))),
        (
            "This model doesn't support the toolConfig field. Remove toolConfig and try again.",
            AutoTool,
            Some((TOOLS, true)),
        ),
        ("tools: Extra inputs are not permitted", ForcedTool, Some((TOOLS, true))),
        (
            "Malformed input request: #: extraneous key [tools] is not permitted, please reformat your input and try \
          again.",
            ForcedTool,
            Some((TOOLS, true)),
        ),
        (
            "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
            ForcedTool,
            Some((TOOLS, false)),
        ),
        (
            "Model produced invalid sequence as part of ToolUse. Please refer to the model tool use troubleshooting guide.",
            ForcedTool,
            Some((TOOLS, false)),
        ),
        // The temperature.
        ("`temperature` is deprecated for this model.", PromptedJson, Some((Part::Temperature, true))),
        ("temperature is deprecated for this model.", PromptedJson, Some((Part::Temperature, true))),
        (
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
            PromptedJson,
            Some((Part::Temperature, true)),
        ),
        (
            "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.",
            ForcedTool,
            Some((Part::Temperature, true)),
        ),
        ("temperature: Extra inputs are not permitted", PromptedJson, Some((Part::Temperature, true))),
        (
            "This model doesn't support the inferenceConfig.temperature field.",
            PromptedJson,
            Some((Part::Temperature, true)),
        ),
        ("temperature: Input should be less than or equal to 1", PromptedJson, Some((Part::Temperature, false))),
        // What is about something else.
        (
            "messages.0.content.0.image.source.base64: The image was specified using the image/jpeg media type, but the \
          image appears to be a image/png image",
            ForcedTool,
            None,
        ),
        (
            "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes",
            ForcedTool,
            None,
        ),
        ("prompt is too long: 250000 tokens > 200000 maximum", ForcedTool, None),
        ("Input is too long for requested model.", ForcedTool, None),
        ("max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens", ForcedTool, None),
        ("The provided model identifier is invalid.", ForcedTool, None),
        (
            "Malformed input request: 2 schema violations found, please reformat your input and try again.",
            ForcedTool,
            None,
        ),
        ("This model doesn't support the image content block that you provided.", ForcedTool, None),
        ("", ForcedTool, None),
        ("#", ForcedTool, None),
        ("`", ForcedTool, None),
    ]
};

/// Each message as it is, in Bedrock's sentence, and in the model's own envelope inside that.
fn wrapped(message: &str) -> [String; 3] {
    let inner = serde_json::json!({"type": "error", "request_id": "req_1",
        "error": {"type": "invalid_request_error", "message": message}});
    let sentence = |words: &str| format!("The model returned the following errors: {words}");
    [message.to_owned(), sentence(message), sentence(&inner.to_string())]
}

#[test]
fn every_refusal_is_recognised() {
    for (message, strategy, expected) in TABLE {
        for wrapped in wrapped(message) {
            let question = full(*strategy, ThinkingParameter::Unset);
            assert_eq!(refused_part(&wrapped, &question), *expected, "{wrapped}");
        }
    }
}

#[test]
fn thinking_is_refused_by_whichever_name_it_was_sent() {
    use ThinkingParameter::{Disabled, LowEffort};
    let table = [
        (
            "\"thinking.type.disabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \
          \"output_config.effort\" to control thinking behavior.",
            Disabled,
        ),
        (
            "\"thinking.type.disabled\" is not supported for this model. Thinking defaults to adaptive mode when not \
          specified; use \"thinking.type.enabled\" with \"budget_tokens\" for extended thinking.",
            Disabled,
        ),
        ("thinking: Extra inputs are not permitted", Disabled),
        (
            "thinking: Input tag 'disabled' found using 'type' does not match any of the expected tags: 'adaptive'",
            Disabled,
        ),
        ("thinking.type: Input tag 'disabled' is not one of the expected tags", Disabled),
        (
            "Malformed input request: #: extraneous key [thinking] is not permitted, please reformat your input and try \
          again.",
            Disabled,
        ),
        ("This model does not support thinking.", Disabled),
        ("adaptive thinking is not supported on this model", LowEffort),
        ("output_config.effort: Extra inputs are not permitted", LowEffort),
        ("output_config: Extra inputs are not permitted", LowEffort),
        (
            "Malformed input request: #: extraneous key [output_config] is not permitted, please reformat your input and \
          try again.",
            LowEffort,
        ),
        ("This model does not support the effort parameter.", LowEffort),
        ("This model does not support effort level 'low'. Supported levels: high.", LowEffort),
    ];
    for (message, thinking) in table {
        for wrapped in wrapped(message) {
            let question = full(Strategy::AutoTool, thinking);
            assert_eq!(refused_part(&wrapped, &question), Some((Part::Thinking, true)), "{wrapped}");
        }
    }
}

#[test]
fn the_schema_goes_before_the_effort_when_both_may_be_meant() {
    let question = full(Strategy::NativeSchema, ThinkingParameter::LowEffort);
    let refused = |message| refused_part(message, &question);
    assert_eq!(refused("output_config: Extra inputs are not permitted"), Some((NATIVE, true)));
    assert_eq!(refused("output_config.format: Extra inputs are not permitted"), Some((NATIVE, true)));
    assert_eq!(refused("output_config.effort: Extra inputs are not permitted"), Some((Part::Thinking, true)));
}

#[test]
fn a_part_that_was_not_sent_is_never_named() {
    use Strategy::{AutoTool, ForcedTool, NativeSchema, PromptedJson};
    let thinking_words =
        ["thinking: Extra inputs are not permitted", "This model does not support the effort parameter."];
    let messages = TABLE.iter().map(|(message, ..)| *message).chain(thinking_words);
    for message in messages {
        for strategy in [NativeSchema, ForcedTool, AutoTool, PromptedJson] {
            let bare = test_loopback::question(Api::Messages, strategy);
            let Some((part, _)) = refused_part(message, &bare) else { continue };
            let held = match part {
                Part::Strategy(NativeSchema) => strategy == NativeSchema,
                Part::Strategy(ForcedTool) => strategy == ForcedTool,
                Part::Strategy(AutoTool) => matches!(strategy, ForcedTool | AutoTool),
                _ => false,
            };
            assert!(held, "{part:?} of {strategy:?}: {message}");
        }
        let mut plain = test_loopback::question(Api::Messages, NativeSchema);
        plain.prompt.schema = None;
        assert_eq!(refused_part(message, &plain), None, "{message}");
    }
}

#[test]
fn a_callers_schema_cannot_pass_for_a_parameter() {
    let question = full(Strategy::ForcedTool, ThinkingParameter::Disabled);
    for key in ["temperature", "`temperature` is deprecated", "thinking: Extra inputs", "tool_choice", "output_config"]
    {
        let message = format!("tools.0.custom.input_schema.properties.{key}: JSON schema is invalid");
        assert_eq!(refused_part(&message, &question), Some((TOOLS, false)), "{message}");
        let message = format!("messages.0: unexpected {key}");
        assert_eq!(refused_part(&message, &question), None, "{message}");
    }
}

proptest::proptest! {
    #[test]
    fn no_message_is_too_odd(message in ".{0,200}", start in 0..4_usize) {
        let starts = ["", "#/", "This model doesn't support the ", "The model returned the following errors: {"];
        let _ = refused_part(&format!("{}{message}", starts[start]), &full(Strategy::ForcedTool, ThinkingParameter::Disabled));
    }
}

#[test]
fn what_is_sent_beside_the_temperature_is_left_out_with_it() {
    let plain = full(Strategy::PromptedJson, ThinkingParameter::Unset);
    let original = Question { top_p: Some(0.999), top_k: Some(250), ..plain.clone() };
    for message in [
        "top_k: Extra inputs are not permitted",
        "`top_p` is deprecated for this model.",
        "This model doesn't support the inferenceConfig.topP field.",
        "#: extraneous key [top_k] is not permitted",
    ] {
        assert_eq!(refused_part(message, &original), Some((Part::Temperature, false)), "{message}");
        assert_eq!(refused_part(message, &plain), None, "{message}: nothing of the kind was sent");
    }
}
