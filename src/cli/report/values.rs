//! Values that were extracted, as indented JSON.

use prost_types::{Struct, value::Kind};
use serde_json::{Map, Value};

use super::{super::plain, view};

/// The values in at most about `most` characters, harmless to show. How deep they may be is bounded by prost, which
/// refuses messages that are nested deeper than 100.
pub(super) fn json(values: Option<&Struct>, most: usize) -> String {
    let object = values.map(object).unwrap_or_default();
    // A value of serde_json always has a JSON form.
    let json = serde_json::to_string_pretty(&object).unwrap_or_default();
    plain::lines(&view::cut(&json, most))
}

fn object(values: &Struct) -> Value {
    Value::Object(values.fields.iter().map(|(name, value)| (name.clone(), self::value(value))).collect::<Map<_, _>>())
}

fn value(value: &prost_types::Value) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(yes)) => Value::Bool(*yes),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::NumberValue(number)) => match whole(*number) {
            Some(whole) => Value::from(whole),
            None => Value::from(*number),
        },
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(self::value).collect()),
        Some(Kind::StructValue(values)) => object(values),
    }
}

/// A whole number that a double holds exactly, so that 3 does not read 3.0.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_json() {
        let of = |kind| prost_types::Value { kind: Some(kind) };
        let list = prost_types::ListValue { values: vec![of(Kind::NumberValue(3.0)), of(Kind::NumberValue(0.5))] };
        let inner = Struct { fields: [("paid".to_owned(), of(Kind::BoolValue(true)))].into() };
        let values = Struct {
            fields: [
                ("amounts".to_owned(), of(Kind::ListValue(list))),
                ("bill".to_owned(), of(Kind::StructValue(inner))),
                ("none".to_owned(), of(Kind::NullValue(0))),
                ("total\u{202e}".to_owned(), of(Kind::NumberValue(f64::NAN))),
            ]
            .into(),
        };
        let shown: String = json(Some(&values), 1000).split_whitespace().collect();
        let wanted = r#"{"amounts":[3,0.5],"bill":{"paid":true},"none":null,"total�":null}"#;
        assert_eq!(shown, wanted);
        assert_eq!(json(None, 10), "null");
        assert_eq!(json(Some(&values), 4).chars().count(), 5);
    }
}
