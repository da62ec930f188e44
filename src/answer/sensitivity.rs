//! The verdict on sensitive information: its words in many languages, its reason and what was found.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    Fault, Field, Reader,
    fields::{field, words},
    notes::Notes,
    quality, shape,
};
use crate::domain::{SensitiveFinding, Sensitivity, Verdict, WarningCode};

/// Names under which models put the verdict.
pub(super) const VERDICT_NAMES: &[&str] =
    &["verdict", "result", "sensitive", "is_sensitive", "contains_sensitive_information"];

/// Longest text that may be the name of a kind.
const LONGEST_CATEGORY: usize = 64;

const SENSITIVE: &[&str] = &[
    "sensitive",
    "yes",
    "y",
    "true",
    "unsafe",
    "contains_sensitive_information",
    "예",
    "네",
    "민감",
    "민감함",
    "민감_정보_있음",
    "민감한_정보_있음",
    "있음",
    "はい",
    "機密",
    "機微",
    "是",
    "敏感",
    "有",
    "oui",
    "ja",
    "si",
    "sí",
    "sì",
    "sim",
    "да",
    "sensible",
    "sensibel",
    "sensibile",
    "sensível",
];

const NOT_SENSITIVE: &[&str] = &[
    "not_sensitive",
    "non_sensitive",
    "nonsensitive",
    "insensitive",
    "no",
    "n",
    "false",
    "safe",
    "no_sensitive_information",
    "아니요",
    "아니오",
    "아뇨",
    "민감하지_않음",
    "민감_정보_없음",
    "민감한_정보_없음",
    "비민감",
    "없음",
    "いいえ",
    "機密ではない",
    "機微ではない",
    "否",
    "不",
    "不是",
    "不敏感",
    "非敏感",
    "无",
    "無",
    "non",
    "nein",
    "não",
    "nao",
    "нет",
    "no_sensible",
    "non_sensible",
    "nicht_sensibel",
    "non_sensibile",
    "não_sensível",
];

const UNCERTAIN: &[&str] = &[
    "uncertain",
    "unclear",
    "unknown",
    "unsure",
    "undetermined",
    "maybe",
    "불확실",
    "불확실함",
    "알_수_없음",
    "不明",
    "不確実",
    "不确定",
    "不確定",
    "incertain",
    "incierto",
    "unsicher",
    "incerto",
    "неизвестно",
];

impl Reader<'_> {
    pub(super) fn sensitivity(&self, object: &Value, notes: &mut Notes) -> Field<Sensitivity> {
        let value = self.decoded(field(object, shape::names("sensitivity")).ok_or(Fault::Absent)?, notes);
        let (said, reason) = match value.as_ref() {
            Value::Object(_) => (field(&value, VERDICT_NAMES), field(&value, &["reason", "explanation"])),
            Value::String(_) | Value::Bool(_) => (Some(value.as_ref()), None),
            _ => return Err(Fault::WrongForm),
        };
        let said = said.ok_or(Fault::Absent)?;
        let listed = field(&value, &["findings", "items", "categories"]).map(|items| self.decoded(items, notes));
        let items = match listed.as_deref() {
            Some(Value::Array(items)) => items.as_slice(),
            // One that stands in no list.
            other => other.map_or(&[][..], std::slice::from_ref),
        };
        let mut findings: Vec<SensitiveFinding> = items.iter().filter_map(|item| self.finding(item, notes)).collect();
        quality::findings(&mut findings, notes);
        let mut verdict =
            verdict_of(said).unwrap_or_else(|| notes.verdict_unclear("the model gave none that is known"));
        if verdict == Verdict::NotSensitive && !findings.is_empty() {
            verdict = notes.verdict_unclear("the model found nothing sensitive, yet listed findings");
        }
        let reason = reason.and_then(words).map(Cow::into_owned).unwrap_or_default();
        Ok(Sensitivity { verdict, reason, findings })
    }

    fn finding(&self, item: &Value, notes: &mut Notes) -> Option<SensitiveFinding> {
        let named = item.as_str().or_else(|| field(item, &["category", "type", "kind", "name"])?.as_str());
        let Some(category) = named.map(kebab_case).filter(|name| (1..=LONGEST_CATEGORY).contains(&name.len())) else {
            notes.entry_dropped();
            return None;
        };
        let detail =
            field(item, &["detail", "details", "description"]).and_then(words).unwrap_or_default().into_owned();
        Some(SensitiveFinding { category, detail, bounding_box: self.optional_box(item, notes) })
    }
}

/// A verdict in tags, as in `<result>YES</result><reason>A face.</reason>`, as the object that was asked for.
pub(super) fn in_tags(text: &str) -> Option<Value> {
    let verdict = tag(text, "result").or_else(|| tag(text, "verdict"))?;
    let reason = tag(text, "reason").unwrap_or_default();
    Some(serde_json::json!({"sensitivity": {"verdict": verdict, "reason": reason}}))
}

fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    // Of the same length, so that places are the same in both.
    let plain = text.to_ascii_lowercase();
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = plain.find(&open)? + open.len();
    let length = plain.get(start..)?.find(&close)?;
    text.get(start..start + length).map(str::trim)
}

fn verdict_of(value: &Value) -> Option<Verdict> {
    let said = words(value)?.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase().replace([' ', '-'], "_");
    let meanings =
        [(SENSITIVE, Verdict::Sensitive), (NOT_SENSITIVE, Verdict::NotSensitive), (UNCERTAIN, Verdict::Uncertain)];
    meanings.into_iter().find(|(words, _)| words.contains(&said.as_str())).map(|(_, verdict)| verdict)
}

/// `Government ID` and `government_id` to `government-id`.
fn kebab_case(text: &str) -> String {
    text.trim().to_lowercase().split([' ', '_', '-']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

impl Notes {
    fn verdict_unclear(&mut self, why: &str) -> Verdict {
        self.add(WarningCode::VerdictUnclear, &format!("The verdict is UNCERTAIN: {why}."));
        Verdict::Uncertain
    }
}
