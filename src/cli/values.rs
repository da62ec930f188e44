//! Values that were extracted, as indented JSON.

use prost_types::Struct;
use serde_json::Value;

use super::plain;
use crate::proto::structs;

/// The values in at most about `most` characters, harmless to show.
pub fn json(values: Option<&Struct>, most: usize) -> String {
    let object = values.map(|values| Value::Object(structs::to_json(values.clone()))).unwrap_or_default();
    // A value of serde_json always has a JSON form.
    let json = serde_json::to_string_pretty(&object).unwrap_or_default();
    plain::lines(&cut(&json, most))
}

/// The first `most` characters, with an ellipsis where that is not all.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use prost_types::value::Kind;

    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("사진", 2), "사진");
        assert_eq!(cut("사진첩", 2), "사진…");
    }

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
