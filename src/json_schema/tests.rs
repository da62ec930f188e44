use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn problems(schema: &Value) -> Vec<String> {
    let told = check(schema).expect_err("the schema was taken");
    told.into_iter().map(|problem| format!("{}: {}", problem.pointer, problem.description)).collect()
}

/// The only problem of an object with this property.
fn problem_of(property: &Value) -> String {
    let mut told = problems(&json!({"type": "object", "properties": {"p": property}}));
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

fn receipt() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/receipt.json",
        "title": "Receipt",
        "type": "object",
        "required": ["total", "lines"],
        "properties": {
            "total": {"$ref": "#/$defs/money", "description": "With tax."},
            "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "default": "EUR"},
            "date": {"type": "string", "format": "date"},
            "paid_by": {"oneOf": [{"const": "cash"}, {"type": "string", "enum": ["card", "transfer"]}]},
            "lines": {
                "type": "array",
                "maxItems": 100,
                "items": {
                    "allOf": [
                        {"type": "object", "properties": {"name": {"type": "string", "minLength": 1}}},
                        {"properties": {"price": {"$ref": "#/$defs/money"}}, "required": ["name"]}
                    ]
                }
            },
            "corner": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}], "items": false},
            "extras": {"type": "object"},
            "rates": {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
            "holder": {"type": ["string", "null"], "not": {"const": ""}, "examples": ["A. Miller"]}
        },
        "if": {"properties": {"total": {"minimum": 100}}},
        "then": {"properties": {"signature": {"type": "string"}}},
        "$defs": {"money": {"type": "number", "minimum": 0, "description": "An amount."}}
    })
}

#[test]
fn a_schema_for_a_model_has_no_bounds_and_no_references() {
    let schema = receipt();
    assert_eq!(check(&schema), Ok(()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&adapt(&schema)).unwrap());
}

#[test]
fn alternatives_of_an_object_are_whole_objects() {
    let schema = json!({
        "type": "object",
        "description": "A payment.",
        "properties": {"amount": {"type": "number"}},
        "required": ["amount"],
        "anyOf": [
            {"properties": {"card": {"type": "string"}}, "required": ["card"]},
            {"properties": {"iban": {"type": "string"}}, "required": ["iban"]}
        ]
    });
    assert_eq!(check(&schema), Ok(()));
    let whole = |name: &str| {
        json!({"type": "object", "properties": {"amount": {"type": "number"}, name: {"type": "string"}},
               "required": ["amount", name], "additionalProperties": false})
    };
    assert_eq!(adapt(&schema), json!({"description": "A payment.", "anyOf": [whole("card"), whole("iban")]}));
}

#[test]
fn everything_wrong_is_said_at_once() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": ["object"],
        "required": "total",
        "properties": {
            "total": {"type": "numer"},
            "a/b": {"$ref": "https://example.com/other.json"},
            "next": {"$ref": "#/definitions/missing"},
            "self": {"$ref": "#"},
            "anchored": {"$anchor": "here", "$id": "inner.json"},
            "coded": {"pattern": "(a)\\1"}
        }
    });
    insta::assert_snapshot!(problems(&schema).join("\n"));
}

#[test]
fn the_top_must_be_an_object() {
    for schema in
        [json!(true), json!([]), json!("object"), json!({}), json!({"properties": {}}), json!({"type": "array"})]
    {
        assert!(problems(&schema)[0].contains("\"type\": \"object\""), "{schema}");
    }
    let referred = json!({"$ref": "#/$defs/top", "$defs": {"top": {"type": "object"}}});
    assert_eq!(check(&referred), Ok(()));
    assert_eq!(adapt(&referred), json!({"type": "object"}));
}

#[test]
fn every_known_draft_is_taken_and_no_other() {
    for draft in ["draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12"] {
        for scheme in ["http", "https"] {
            let schema = json!({"$schema": format!("{scheme}://json-schema.org/{draft}/schema#"), "type": "object"});
            assert_eq!(check(&schema), Ok(()));
        }
    }
    for uri in [json!("https://example.com/meta"), json!(""), json!("json-schema.org/draft-07/schema"), json!(7)] {
        let told = problems(&json!({"$schema": uri, "type": "object"}));
        assert!(told[0].starts_with("/$schema: names a draft that is not known"), "{told:?}");
    }
}

#[test]
fn a_name_that_looks_like_a_keyword_is_a_name() {
    let schema = json!({
        "type": "object",
        "properties": {"$ref": {"type": "string"}, "$anchor": {"type": "string"}, "pattern": {"enum": [{"$ref": "#"}]}}
    });
    assert_eq!(check(&schema), Ok(()));
    assert_eq!(violations(&schema, &json!({"$ref": "x", "pattern": {"$ref": "#"}})), Vec::<String>::new());
    assert_eq!(adapt(&schema)["properties"]["pattern"], json!({"enum": [{"$ref": "#"}]}));
}

#[test]
fn a_reference_hides_what_is_beside_it_in_the_older_drafts_only() {
    for (draft, told) in [("draft-07", 0), ("draft/2020-12", 1)] {
        let schema = json!({
            "$schema": format!("http://json-schema.org/{draft}/schema"),
            "type": "object",
            "properties": {"n": {"$ref": "#/definitions/n%251~1x", "maximum": 3}},
            "definitions": {"n%1/x": {"type": "number"}}
        });
        assert_eq!(check(&schema), Ok(()));
        assert_eq!(violations(&schema, &json!({"n": 5})).len(), told, "{draft}");
        assert_eq!(violations(&schema, &json!({"n": "five"})).len(), 1, "{draft}");
    }
}

#[test]
fn recursion_is_found_however_it_is_written() {
    let cases = [
        json!({"type": "object", "properties": {"child": {"$ref": "#"}}}),
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"items": {"$ref": "#/$defs/b"}},
               "b": {"items": {"$ref": "#/$defs/a"}}}}),
        json!({"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}),
        json!({"type": "object", "properties": {"a": {"items": {"$ref": "#/properties/%61"}}}}),
    ];
    for schema in cases {
        assert!(problems(&schema).iter().all(|told| told.contains("is recursive")), "{schema}");
    }
}

#[test]
fn references_that_multiply_end_early() {
    let mut definitions = serde_json::Map::new();
    for level in 0..14 {
        let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
        let properties: serde_json::Map<_, _> = (0..8).map(|n| (n.to_string(), next.clone())).collect();
        definitions.insert(level.to_string(), json!({"properties": properties}));
    }
    definitions.insert("14".to_owned(), json!({"type": "string"}));
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": definitions});
    let started = Instant::now();
    let told = problems(&schema);
    assert!(told[0].contains("refer to large parts less often"), "{told:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn size_depth_and_counts_are_bounded() {
    let long = json!({"type": "object", "description": "x".repeat(MAX_SCHEMA_BYTES)});
    assert!(problems(&long)[0].contains("bytes; at most 16384 are taken"));
    let deep = |levels: usize| (2..levels).fold(json!({}), |schema, _| json!({"not": schema}));
    let nested = |levels| json!({"type": "object", "not": deep(levels)});
    assert_eq!(Extent::of(&nested(32)).depth, 32);
    assert_eq!(check(&nested(32)), Ok(()));
    assert!(problems(&nested(33))[0].contains("33 levels deep"));
    let wide = |count: usize| {
        let properties: serde_json::Map<_, _> = (0..count).map(|n| (n.to_string(), json!({}))).collect();
        json!({"type": "object", "properties": properties})
    };
    assert_eq!(check(&wide(500)), Ok(()));
    assert!(problems(&wide(501))[0].contains("500 properties"));
    let text = json!({"$ref": "#/$defs/long"});
    let repeated = json!({"type": "object", "$defs": {"long": {"description": "x".repeat(10_000)}},
                          "properties": {"a": text, "b": text, "c": text, "d": text, "e": text, "f": text, "g": text}});
    assert!(problems(&repeated)[0].contains("at most 65536 are taken"));
}

/// Adapters carry a schema of at most 127 levels to the model.
#[test]
fn a_schema_that_passes_stays_shallow_with_its_references_written_out() {
    let chain = |length: usize| {
        let next = |level: usize| json!({"properties": {"a": {"anyOf": [{"$ref": format!("#/$defs/{}", level + 1)}]}}});
        let mut definitions: serde_json::Map<_, _> =
            (0..length).map(|level| (level.to_string(), next(level))).collect();
        definitions.insert(length.to_string(), json!({"type": "string"}));
        json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/0"}}, "$defs": definitions})
    };
    let longest = (1..40).rev().map(chain).find(|schema| check(schema).is_ok()).unwrap();
    assert!(Extent::of(&adapt(&longest)).depth <= 70, "{}", Extent::of(&adapt(&longest)).depth);
    assert!(Extent::of(&adapt(&longest)).depth > 20, "it is a long chain");
    assert!(problems(&chain(40)).iter().any(|told| told.contains("32 schemas deep")), "{:?}", problems(&chain(40)));
}

#[test]
fn patterns_run_on_the_linear_engine_or_not_at_all() {
    for pattern in ["(?=a)a", "(a)\\1", "(?<!x)y", "(", "a{1000}{1000}", &"(".repeat(500), &"x".repeat(513)] {
        assert!(problem_of(&json!({"pattern": pattern})).starts_with("/properties/p/pattern: is "), "{pattern}");
    }
    for pattern in [
        "^\\d{4}-\\d{2}-\\d{2}$",
        "^[\\p{L} ]{1,20}$",
        "^(a+)+$",
        "\\w+@\\w+",
        "^.{1,64}$",
        "^[A-Z]{2}\\d{2}[A-Z0-9]{1,30}$",
    ] {
        assert_eq!(check(&json!({"type": "object", "properties": {"p": {"pattern": pattern}}})), Ok(()), "{pattern}");
    }
    let named = problem_of(&json!({"patternProperties": {"(?=a)/": {}}}));
    assert!(named.starts_with("/properties/p/patternProperties/(?=a)~1: is "), "{named}");
    let many: serde_json::Map<_, _> = (0..51).map(|n| (n.to_string(), json!({"pattern": "a"}))).collect();
    assert!(problems(&json!({"type": "object", "properties": many}))[0].contains("51 patterns"));
}

#[test]
fn violations_name_the_place_and_never_the_value() {
    let value =
        json!({"total": -5, "currency": "euro", "lines": [{"price": "SECRET"}], "corner": [1, 2, 3], "holder": 3});
    insta::assert_snapshot!(violations(&receipt(), &value).join("\n"));
    let good = json!({"total": 5.0, "currency": "EUR", "date": "whenever", "lines": [{"name": "x", "price": 1}]});
    assert_eq!(violations(&receipt(), &good), Vec::<String>::new());
}

#[test]
fn a_whole_number_is_an_integer_in_every_draft() {
    for draft in ["draft-04", "draft/2020-12"] {
        let schema = json!({"$schema": format!("http://json-schema.org/{draft}/schema#"), "type": "object",
                            "properties": {"n": {"type": "integer"}}});
        assert_eq!(violations(&schema, &json!({"n": 3.0})), Vec::<String>::new(), "{draft}");
        assert_eq!(violations(&schema, &json!({"n": 3.5})).len(), 1, "{draft}");
    }
}

#[test]
fn at_most_ten_short_violations_are_told() {
    let name = "n".repeat(5000);
    let properties: serde_json::Map<_, _> = (0..50).map(|n| (n.to_string(), json!({"type": "string"}))).collect();
    let schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    let mut value: serde_json::Map<_, _> = (0..50).map(|n| (n.to_string(), json!(1))).collect();
    value.insert(format!("{name}\n\u{1b}[2J"), json!(1));
    let told = violations(&schema, &Value::Object(value));
    assert_eq!(told.len(), 10);
    assert!(told.iter().all(|line| line.chars().count() <= 300 && !line.contains(char::is_control)), "{told:?}");
}

#[test]
fn a_value_that_gives_too_much_work_is_refused_instead() {
    let any = json!({"type": "object"});
    let deep = |levels: usize| (1..levels).fold(json!(1), |value, _| json!({"a": value}));
    assert_eq!(violations(&any, &deep(24)), Vec::<String>::new());
    assert!(violations(&any, &deep(25))[0].contains("nested deeper than 24"));
    assert!(violations(&any, &deep(1000))[0].contains("nested deeper than 24"));
    assert!(violations(&any, &json!({"a": "x".repeat(2 << 20)}))[0].contains("too large"));
}

/// Schemas at the edge of what passes, each with a value that is the worst for it.
fn worst() -> Vec<(&'static str, Value, Value)> {
    let object = |value: Value| json!({"a": value});
    let of = |property: Value| json!({"type": "object", "properties": {"a": property}});
    let alternatives: Vec<_> = (0..400).map(|n| json!({"const": format!("x{n}")})).collect();
    let nested =
        (0..12).fold(json!({"type": "string"}), |schema, _| json!({"anyOf": [schema, {"items": {"type": "null"}}]}));
    let unevaluated = (0..4)
        .fold(json!({"properties": {"b": {}}}), |schema, _| json!({"allOf": [schema], "unevaluatedProperties": false}));
    let patterns: Vec<_> = (0..50).map(|n| json!({"pattern": format!("(a|b)*a(a|b){{{}}}c", 100 + n)})).collect();
    let ab: String =
        (0..40_000_u32).map(|n| if (n.wrapping_mul(2_654_435_761) >> 13) & 1 == 0 { 'a' } else { 'b' }).collect();
    let members: serde_json::Map<_, _> = (0..100_000).map(|n| (n.to_string(), json!(n))).collect();
    vec![
        ("alternatives", of(json!({"items": {"anyOf": alternatives}})), object(json!(vec!["y"; 50_000]))),
        ("unique entries", of(json!({"uniqueItems": true})), object((0..200_000).map(|n| json!([n])).collect())),
        ("nested alternatives", of(nested), object(json!(vec![json!(1); 20_000]))),
        ("unevaluated", of(unevaluated), object(json!({"b": 1, "c": 2}))),
        ("patterns", of(json!({"allOf": patterns})), object(json!(ab))),
        ("names", of(json!({"propertyNames": {"pattern": "^[a-z]+$"}})), object(Value::Object(members))),
        ("steps", of(json!({"multipleOf": 1e-300})), object(json!(1e300))),
        ("lengths", of(json!({"minLength": 1e300, "maxLength": 1e18})), object(json!("x"))),
    ]
}

#[test]
fn what_passes_the_check_is_validated_in_bounded_time() {
    for (name, schema, value) in worst() {
        let started = Instant::now();
        if let Err(told) = check(&schema) {
            assert_eq!(name, "lengths", "{told:?}");
            continue;
        }
        let told = violations(&schema, &value);
        let spent = started.elapsed();
        println!("{name}: {spent:?}, {:?}", told.first());
        assert!(told.len() <= 10);
        assert!(spent < Duration::from_secs(20), "{name} took {spent:?}");
    }
}

/// Keywords that models take.
const TAKEN: [&str; 9] =
    ["additionalProperties", "anyOf", "description", "enum", "items", "properties", "required", "title", "type"];

fn assert_is_adapted(schema: &Value) {
    let keywords = schema.as_object().expect("a schema is an object");
    for keyword in keywords.keys() {
        assert!(TAKEN.contains(&keyword.as_str()), "{keyword} in {schema}");
    }
    if let Some(properties) = keywords.get("properties") {
        assert_eq!(keywords["additionalProperties"], false, "{schema}");
        properties.as_object().unwrap().values().for_each(assert_is_adapted);
    }
    keywords.get("items").into_iter().for_each(assert_is_adapted);
    keywords.get("anyOf").into_iter().flat_map(|any| any.as_array().unwrap()).for_each(assert_is_adapted);
    keywords.get("additionalProperties").filter(|others| others.is_object()).into_iter().for_each(assert_is_adapted);
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Schemas with every keyword that the adaptation knows, and some that it does not.
fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        Just(json!(true)),
        Just(json!({"type": "string", "minLength": 1, "maxLength": 3})),
        Just(json!({"type": "string", "pattern": "^[ab]*$"})),
        Just(json!({"type": "integer", "minimum": 0, "exclusiveMaximum": 5})),
        Just(json!({"type": ["number", "null"], "multipleOf": 0.5})),
        Just(json!({"enum": [1, "a", null]})),
        Just(json!({"const": "b", "title": "B"})),
        Just(json!({"type": "boolean", "default": true})),
        Just(json!({"$ref": "#/$defs/word"})),
        Just(json!({"$ref": "#/$defs/pair", "description": "Two."})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let named = prop::collection::btree_map(prop::sample::select(&NAMES[..]), inner.clone(), 1..4);
        let required = prop::sample::subsequence(&NAMES[..], 0..3);
        let some = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (named.clone(), required)
                .prop_map(|(named, required)| { json!({"type": "object", "properties": named, "required": required}) }),
            (inner.clone(), 1..4_u8)
                .prop_map(|(items, most)| json!({"type": "array", "items": items, "maxItems": most})),
            some.clone().prop_map(|any| json!({"anyOf": any})),
            some.clone().prop_map(|one| json!({"oneOf": one})),
            some.clone().prop_map(|all| json!({"allOf": all})),
            some.prop_map(|places| json!({"type": "array", "prefixItems": places, "items": false})),
            (named, inner.clone())
                .prop_map(|(named, then)| json!({"properties": named, "if": {"required": ["a"]}, "then": then})),
            inner.clone().prop_map(|others| json!({"type": "object", "additionalProperties": others})),
            inner.prop_map(|not| json!({"not": not, "contains": true})),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..7_i64).prop_map(Value::from),
        Just(json!(0.5)),
        "[abx]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(prop::sample::select(&NAMES[..]), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn document(properties: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {"value": properties},
        "$defs": {
            "word": {"type": "string", "minLength": 2},
            "pair": {"type": "object", "properties": {"a": {"$ref": "#/$defs/word"}, "b": {"type": "number"}}}
        }
    })
}

/// The adapted schema without the closing of objects: whether a member that no schema names is refused is the one thing
/// in which it is narrower than the original.
fn opened(schema: &Value) -> Value {
    match schema {
        Value::Object(keywords) => {
            let open = keywords.iter().filter(|(name, value)| *name != "additionalProperties" || value.is_object());
            Value::Object(open.map(|(name, value)| (name.clone(), opened(value))).collect())
        }
        Value::Array(items) => items.iter().map(opened).collect(),
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn what_a_model_is_shown_holds_only_what_models_take(schema in any_schema()) {
        let schema = document(&schema);
        prop_assert_eq!(check(&schema), Ok(()));
        let adapted = adapt(&schema);
        assert_is_adapted(&adapted);
        prop_assert_eq!(&adapt(&schema), &adapted);
        prop_assert_eq!(check(&adapted), Ok(()));
    }

    #[test]
    fn what_the_caller_takes_the_model_may_write(schema in any_schema(), value in any_value()) {
        let (schema, value) = (document(&schema), json!({"value": value}));
        if violations(&schema, &value).is_empty() {
            prop_assert_eq!(violations(&opened(&adapt(&schema)), &value), Vec::<String>::new(), "{}", adapt(&schema));
        }
    }

    #[test]
    fn no_schema_and_no_value_panics(text in "[\\[\\]{}\",:a-d0-9$#/~%._ -]{0,200}", schema in any_value(), value in any_value()) {
        for schema in [serde_json::from_str(&text).unwrap_or_default(), schema] {
            let _ = check(&schema);
            let _ = adapt(&schema);
            let _ = violations(&schema, &value);
        }
    }
}
