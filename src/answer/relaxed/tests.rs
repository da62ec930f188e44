use proptest::prelude::*;
use serde_json::json;

fn parse(text: &str) -> Option<Parsed> {
    super::parse(text).0
}

use super::*;

#[test]
fn reads_what_models_write() {
    for (text, value) in [
        ("{a: 'b', \"c\": [1, 2,],}", json!({"a": "b", "c": [1, 2]})),
        (
            "[{label: stage, position: {TopLeft: {x: 0, y: 1}}}]",
            json!([{"label": "stage", "position": {"TopLeft": {"x": 0, "y": 1}}}]),
        ),
        ("{'a': True, 'b': None} // done", json!({"a": true, "b": null})),
        ("{/* c */ a: 1 // d\n}", json!({"a": 1})),
        (r#"{"a": "\ud83d\ude00\u00e9 it\'s"}"#, json!({"a": "😀é it's"})),
    ] {
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.value, value, "{text}");
        assert!(parsed.repaired && !parsed.cut, "{text}");
    }
}

#[test]
fn a_cut_list_keeps_its_complete_entries() {
    let whole = r#"{"labels": [{"name": "a", "n": 1}, {"name": "\uac00\ud83d\ude00", "n": 22}], "x": "y"}"#;
    for end in 1..whole.len() {
        let parsed = parse(&whole[..end]).unwrap();
        assert!(parsed.cut);
        if let Some(labels) = parsed.value.get("labels") {
            let all = [json!({"name": "a", "n": 1}), json!({"name": "가😀", "n": 22})];
            let labels = labels.as_array().unwrap();
            assert_eq!(labels.as_slice(), &all[..labels.len()], "cut at {end}");
        }
    }
}

#[test]
fn prose_in_brackets_is_no_list() {
    for text in ["[image not clear].", "[see below, please]", "[1 2 3]", "[a]", "{not an object}"] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn one_odd_number_does_not_lose_the_answer() {
    let parsed = parse(r#"{"labels": [{"box": [10, +5, .5, 60px]} {"box": [1, 2, 3, 4]}] "a": 1}"#).unwrap();
    assert_eq!(parsed.value, json!({"labels": [{"box": [10, "+5", ".5", "60px"]}, {"box": [1, 2, 3, 4]}], "a": 1}));
    assert!(parsed.repaired);
}

#[test]
fn a_missing_comma_is_said() {
    assert!(parse(r#"{"a": "b" "c": "d"}"#).unwrap().repaired);
    assert!(parse(r#"[{"a": 1} {"a": 2}]"#).unwrap().repaired);
    assert!(!parse(r#"{"a": "b", "c": ["d", {}]}"#).unwrap().repaired);
}

#[test]
fn half_a_surrogate_pair_is_a_replacement_character() {
    assert_eq!(parse(r#"["\ud83d\u0041", "\ud83d!"]"#).unwrap().value, json!(["\u{fffd}A", "\u{fffd}!"]));
}

#[test]
fn endless_nesting_is_no_value() {
    assert_eq!(parse(&"[".repeat(100_000)), None);
    assert_eq!(parse(&"{a:".repeat(100_000)), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn valid_json_reads_as_it_is(value in any_json()) {
        prop_assume!(value.is_object() || value.is_array());
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let parsed = parse(&text).unwrap();
            prop_assert_eq!(&parsed.value, &value);
            prop_assert_eq!(parsed.length, text.len());
            prop_assert!(!parsed.cut);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,'\"a0\\\\u\n/* -]{0,60}") {
        let _ = parse(&text);
    }
}
