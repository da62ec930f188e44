//! What a model answers.

use serde_json::{Value, json};
use sightline::{
    answer::Answer,
    domain::{Coordinates, Features, Frame, LabelsRequest, Size, StopReason},
    prompt::TOOL_NAME,
};

/// An answer, and what it answers.
pub struct Written {
    text: String,
    stop_reason: StopReason,
    features: Features,
    frame: Frame,
}

impl Written {
    fn new(text: String, stop_reason: StopReason) -> Self {
        let features = Features { description: true, labels: Some(LabelsRequest::default()), ..Features::default() };
        Self { text, stop_reason, features, frame: Frame::new(Size::new(4032, 3024), Size::new(1270, 952)) }
    }

    /// As the reader takes it.
    pub fn answer(&self) -> Answer<'_> {
        Answer {
            text: &self.text,
            stop_reason: self.stop_reason,
            features: &self.features,
            frame: &self.frame,
            filter_vocabulary: false,
            coordinates: Coordinates::Pixels,
        }
    }
}

/// A description and fifty labels, every second with two boxes.
fn analysis() -> Value {
    let instance = |n: u32, at: u32| {
        let (x, y) = (n * 23 % 1200 + at * 30, n * 17 % 900);
        json!({"box": {"x1": x, "y1": y, "x2": x + 28, "y2": y + 31}, "confidence": 0.75})
    };
    let label = |n: u32| {
        let instances: Vec<Value> = (0..2 * (n % 2)).map(|at| instance(n, at)).collect();
        json!({
            "name": format!("thing {n}"),
            "display_name": format!("사물 {n}"),
            "confidence": f64::from(100 - n) / 100.0,
            "instances": instances
        })
    };
    json!({
        "description": "A street in the rain. Two people wait at a \"tram\" stop, and a dog looks on.",
        "labels": (0..50).map(label).collect::<Vec<_>>()
    })
}

/// What a tool's input is in nearly every answer.
pub fn typical() -> Written {
    Written::new(analysis().to_string(), StopReason::EndTurn)
}

/// Words around a fence, quotes of Python, and a comma too many.
pub fn damaged() -> Written {
    let json = analysis().to_string().replace("\\\"", "").replace('"', "'").replace("}]", "},]");
    Written::new(format!("Here is what I see:\n```json\n{json}\n```\nShall I go on?"), StopReason::EndTurn)
}

/// Cut off at the most output tokens, in the middle of a box.
pub fn cut() -> Written {
    let mut text = analysis().to_string();
    let middle = text.rfind("\"y2\"").unwrap_or_default();
    text.truncate(middle);
    Written::new(text, StopReason::MaxTokens)
}

/// The body of the response that a typical answer comes in.
pub fn response() -> String {
    let call = json!({"type": "tool_use", "id": "toolu_bdrk_01", "name": TOOL_NAME, "input": analysis()});
    json!({
        "id": "msg_bdrk_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5",
        "content": [{"type": "text", "text": "I report the analysis."}, call],
        "stop_reason": "tool_use",
        "stop_sequence": null,
        "usage": {"input_tokens": 1500, "output_tokens": 900}
    })
    .to_string()
}
