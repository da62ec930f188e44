//! The canonical JSON of a message, as grpcurl prints it.

use std::fmt::Write as _;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use super::plain;
use crate::proto::{AnalyzeImageResponse, DESCRIPTORS};

/// Full name of the response's message.
const RESPONSE: &str = "sightline.v1.AnalyzeImageResponse";

/// Why a response has no JSON form.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The contract in this binary does not fit the message.
    #[error("the response does not fit the contract: {0}")]
    Contract(String),
    /// An error detail of an unknown type, say.
    #[error("the response has no JSON form: {0}")]
    Encode(#[from] serde_json::Error),
}

/// The response in canonical proto3 JSON, indented: lowerCamelCase names, 64-bit integers as strings, enums by name,
/// fields without presence left out when they are zero. Safe to print: what a terminal would obey is escaped.
///
/// # Errors
/// A response that holds an error detail of a type this binary does not know.
pub fn response(response: &AnalyzeImageResponse) -> Result<String, JsonError> {
    let pool = DescriptorPool::decode(DESCRIPTORS).map_err(|error| JsonError::Contract(error.to_string()))?;
    let descriptor = pool.get_message_by_name(RESPONSE);
    let descriptor = descriptor.ok_or_else(|| JsonError::Contract(format!("{RESPONSE} is missing")))?;
    let dynamic = DynamicMessage::decode(descriptor, response.encode_to_vec().as_slice());
    let dynamic = dynamic.map_err(|error| JsonError::Contract(error.to_string()))?;
    Ok(escape(&serde_json::to_string_pretty(&dynamic)?))
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
}
