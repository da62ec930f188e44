//! What the real service refuses in tools and in schemas of the answer.

use serde_json::Value;

use super::{
    models::{Facts, Vendor},
    request::{Api, InvokeRequest},
    rules::{Verdict, from_model},
};

/// What a schema that the service compiles may not hold, by the type that it bounds.
const BOUNDS: [(&str, &str); 11] = [
    ("minimum", "number"),
    ("maximum", "number"),
    ("exclusiveMinimum", "number"),
    ("exclusiveMaximum", "number"),
    ("multipleOf", "number"),
    ("minLength", "string"),
    ("maxLength", "string"),
    ("maxItems", "array"),
    ("prefixItems", "array"),
    ("minProperties", "object"),
    ("maxProperties", "object"),
];

pub(super) fn check(request: &InvokeRequest, facts: Option<&Facts>) -> Verdict {
    let tools = request.tools();
    if let Some(forced) = request.forced_tool() {
        if tools.is_empty() {
            return Err("tool_choice may only be specified while providing tools".to_owned());
        }
        if !forced.is_empty() && tools.iter().all(|tool| tool.name != forced) {
            return Err(format!("Tool '{forced}' not found in provided tools"));
        }
        if facts.is_some_and(|facts| facts.vendor != Vendor::Anthropic && !facts.forced_tool) {
            let choice = if forced.is_empty() { "any" } else { "tool" };
            return Err(format!(
                "This model doesn't support the toolConfig.toolChoice.{choice} field. Remove toolConfig.toolChoice.{choice} \
                 and try again."
            ));
        }
    }
    for (index, tool) in tools.iter().enumerate() {
        name(&tool.name)?;
        input(request.api, index, &tool.schema)?;
        top(facts, index, &tool.schema)?;
    }
    match (request.native_schema(), facts) {
        (Some(schema), Some(facts)) => {
            compiled(&schema).map_err(|problem| from_model(facts, format!("output_config.format.schema: {problem}")))
        }
        _ => Ok(()),
    }
}

fn name(name: &str) -> Verdict {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if fits {
        Ok(())
    } else {
        Err("tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'".to_owned())
    }
}

/// The schema of a tool's input is shown to the model and otherwise only has to be one.
fn input(api: Api, index: usize, schema: &Value) -> Verdict {
    if schema["type"] != "object" {
        return Err(match api {
            Api::Invoke => format!("tools.{index}.custom.input_schema.type: Field required"),
            Api::Converse => format!(
                "The value at toolConfig.tools.{index}.toolSpec.inputSchema.json.type must be one of the following: object."
            ),
        });
    }
    if !jsonschema::meta::is_valid(schema) {
        return Err(format!(
            "tools.{index}.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12"
        ));
    }
    match ["oneOf", "allOf", "anyOf"].iter().any(|keyword| schema.get(keyword).is_some()) {
        true => Err(format!(
            "tools.{index}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
        )),
        false => Ok(()),
    }
}

/// Amazon's models take these at the top of a tool's schema and nothing else.
fn top(facts: Option<&Facts>, index: usize, schema: &Value) -> Verdict {
    let known = ["type", "properties", "required"];
    let other = schema.as_object().and_then(|keywords| keywords.keys().find(|key| !known.contains(&key.as_str())));
    match other {
        Some(key) if facts.is_some_and(|facts| facts.vendor == Vendor::Amazon) => Err(format!(
            "Malformed input request: #/toolConfig/tools/{index}/toolSpec/inputSchema/json: extraneous key [{key}] is not \
             permitted, please reformat your input and try again."
        )),
        _ => Ok(()),
    }
}

/// A schema that the service compiles into a grammar: closed objects, no bounds, no references to elsewhere.
fn compiled(schema: &Value) -> Verdict {
    let Some(keywords) = schema.as_object() else { return Ok(()) };
    let is_object = keywords.get("type").is_some_and(|kind| kind == "object" || kind[0] == "object");
    if is_object && keywords.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err("For 'object' type, 'additionalProperties' must be explicitly set to false".to_owned());
    }
    for (keyword, kind) in BOUNDS {
        if keywords.contains_key(keyword) {
            return Err(format!("For '{kind}' type, property '{keyword}' is not supported"));
        }
    }
    if let Some(keyword) = ["oneOf", "not", "if", "patternProperties", "$dynamicRef"]
        .iter()
        .find(|keyword| keywords.contains_key(**keyword))
    {
        return Err(format!("Schema type '{keyword}' is not supported"));
    }
    let children = keywords.get("properties").and_then(Value::as_object).into_iter().flat_map(|names| names.values());
    let variants = ["anyOf", "allOf"].iter().filter_map(|keyword| keywords.get(*keyword)?.as_array()).flatten();
    children.chain(keywords.get("items")).chain(variants).try_for_each(compiled)
}
