//! The canonical JSON of a message, as grpcurl prints it.

use std::fmt::Write as _;

use prost_reflect::DeserializeOptions;

use super::plain;
pub use crate::proto::json::JsonError;
use crate::proto::{AnalyzeImageResponse, AnalyzeManyResult, json};

/// The response in canonical proto3 JSON, indented: lowerCamelCase names, 64-bit integers as strings, enums by name,
/// fields without presence left out when they are zero. Safe to print: what a terminal would obey is escaped.
///
/// # Errors
/// A response that holds an error detail of a type this binary does not know.
pub fn response(response: &AnalyzeImageResponse) -> Result<String, JsonError> {
    Ok(escape(&serde_json::to_string_pretty(&json::dynamic("AnalyzeImageResponse", response)?)?))
}

/// One outcome of a stream as one line of JSON Lines without its line break: `source` first, `listing` where it came from
/// one, then the message's own fields in canonical proto3 JSON. As safe to print as [`response`].
///
/// # Errors
/// A result that holds an error detail of a type this binary does not know.
pub fn line(source: &str, listing: Option<&str>, result: &AnalyzeManyResult) -> Result<String, JsonError> {
    let mut line = format!(r#"{{"source":{}"#, serde_json::to_string(source)?);
    if let Some(listing) = listing {
        // Writing to a String cannot fail.
        let _ = write!(line, r#","listing":{}"#, serde_json::to_string(listing)?);
    }
    let message = serde_json::to_string(&json::dynamic("AnalyzeManyResult", result)?)?;
    match message.strip_prefix('{') {
        Some("}") | None => line.push('}'),
        Some(fields) => {
            line.push(',');
            line.push_str(fields);
        }
    }
    Ok(escape(&line))
}

/// Reads what [`line`] wrote.
///
/// # Errors
/// Text that is no such line.
pub fn result(line: &str) -> Result<AnalyzeManyResult, JsonError> {
    let mut reader = serde_json::Deserializer::from_str(line);
    // `source` and `listing` are the line's own.
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    json::read("AnalyzeManyResult", &mut reader, &options)
}

/// Escapes what serde_json leaves as it is but a terminal obeys. Such characters occur inside strings only.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && plain::is_unsafe(c) {
            // All of them lie in the basic plane, so one escape is enough. Writing to a String cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{cli::boxes::tests::bounding_box, proto};

    fn shown(analysis: proto::ImageAnalysis) -> String {
        response(&AnalyzeImageResponse { analysis: Some(analysis) }).unwrap()
    }

    #[test]
    fn names_are_camel_case_and_a_present_zero_is_kept() {
        let finding = proto::SensitiveFinding {
            category: "face".into(),
            r#box: Some(bounding_box(0, 0, 7, 9)),
            ..Default::default()
        };
        let sensitivity = proto::Sensitivity {
            verdict: proto::sensitivity::Verdict::Sensitive as i32,
            findings: vec![finding],
            ..Default::default()
        };
        let usage = proto::Usage { input_token_count: 1200, ..Default::default() };
        let json =
            shown(proto::ImageAnalysis { sensitivity: Some(sensitivity), usage: Some(usage), ..Default::default() });
        insta::assert_snapshot!(json);
    }

    #[test]
    fn error_details_are_written_out() {
        let status = tonic_types::pb::Status {
            code: 13,
            message: "no labels".into(),
            details: vec![prost_types::Any {
                type_url: "type.googleapis.com/google.rpc.ErrorInfo".into(),
                value: tonic_types::pb::ErrorInfo { reason: "MODEL_OUTPUT_INVALID".into(), ..Default::default() }
                    .encode_to_vec(),
            }],
        };
        let error = proto::FeatureError { feature: "labels".into(), error: Some(status) };
        let json = shown(proto::ImageAnalysis { feature_errors: vec![error], ..Default::default() });
        assert!(json.contains("\"reason\": \"MODEL_OUTPUT_INVALID\""), "{json}");
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_reads_back_the_same() {
        let text = "\u{1b}[2J\u{9b}2J\u{7f}\u{202e}\"\\ 사진";
        let json = shown(proto::ImageAnalysis { raw_output: text.into(), ..Default::default() });
        assert!(json.chars().all(|c| c == '\n' || !plain::is_unsafe(c)), "{json:?}");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["analysis"]["rawOutput"], text);
    }

    #[test]
    fn a_line_names_its_source_and_reads_back_the_same() {
        let analysis = proto::ImageAnalysis { raw_output: "\u{1b}[2J\n".into(), ..Default::default() };
        let result = AnalyzeManyResult {
            item_id: "a/b.png".into(),
            item_index: Some(0),
            outcome: Some(proto::analyze_many_result::Outcome::Analysis(analysis)),
            resume_after: "a/b.png".into(),
        };
        let written = line("s3://p/a/b.png", Some("s3://p/"), &result).unwrap();
        assert_eq!(
            written,
            r#"{"source":"s3://p/a/b.png","listing":"s3://p/","itemId":"a/b.png","itemIndex":"0","analysis":{"rawOutput":"\u001b[2J\n"},"resumeAfter":"a/b.png"}"#
        );
        assert_eq!(super::result(&written).unwrap(), result);
        assert_eq!(line("\n", None, &AnalyzeManyResult::default()).unwrap(), r#"{"source":"\n"}"#);
    }
}
