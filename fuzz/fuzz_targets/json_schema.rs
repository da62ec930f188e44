//! Any JSON as a caller's schema, and any JSON as a value for it: checking, adapting and validating end and never panic.
//! The first line is the schema, the rest the value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sightline::json_schema;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (schema, value) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(schema) = serde_json::from_str::<Value>(schema) else { return };
    // Nothing that was refused goes further.
    if json_schema::check(&schema).is_err() {
        return;
    }
    let _ = json_schema::adapt(&schema);
    if let Ok(value) = serde_json::from_str::<Value>(value) {
        let _ = json_schema::violations(&schema, &value);
    }
});
