//! A policy file: TOML, read strictly, and all that is wrong with it said at once.

use std::{num::NonZeroU32, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Limits, MAX_BYTES, Policy, Rate, Rule,
    error::{Mistake, PolicyError},
    pattern::{Callers, Objects},
};
use crate::{
    domain::ModelProfile,
    toml_text::{self, one_line},
};

/// Most rules of a file.
const MAX_RULES: usize = 1000;
/// Most callers, objects or models of a rule.
const MAX_ENTRIES: usize = 1000;
/// Requests per second: one in about a quarter of an hour, to more than the server can take.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;
/// Requests at once.
const COUNTS: std::ops::RangeInclusive<i64> = 1..=1_000_000;

const EMPTY: &str = "it has no [[rule]], and a caller that no rule names may do nothing. Write for example, for every caller:\n  \
                     [[rule]]\n  \
                     callers = [\"*\"]\n  \
                     objects = [\"s3://BUCKET/PREFIX/\"]\n  \
                     inline = true\n\
                     or leave --policy out";

type Value<'i> = Spanned<DeValue<'i>>;
type Offered<'a> = &'a dyn Fn(&str) -> Option<ModelProfile>;

/// Reads a file.
pub(super) fn read(text: &str, offered: Offered<'_>) -> Result<Policy, PolicyError> {
    let mut reader = Reader { text, offered, mistakes: Vec::new(), warnings: Vec::new() };
    let rules = reader.rules();
    let Reader { mut mistakes, warnings, .. } = reader;
    if mistakes.is_empty() {
        return Ok(Policy { rules, warnings });
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    Err(PolicyError { mistakes })
}

struct Reader<'a> {
    text: &'a str,
    offered: Offered<'a>,
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn mistake(&mut self, at: Range<usize>, problem: &str) {
        let mistake = Mistake { line: Some(self.line(at.start)), problem: one_line(problem) };
        // The parser comes upon some mistakes more than once.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    fn line(&self, offset: usize) -> usize {
        toml_text::line(self.text, offset)
    }

    fn of_the_whole(&mut self, problem: &str) -> Vec<Rule> {
        self.mistakes.push(Mistake { line: None, problem: problem.to_owned() });
        Vec::new()
    }

    fn rules(&mut self) -> Vec<Rule> {
        if self.text.len() > MAX_BYTES {
            return self.of_the_whole("it is longer than 1024 KiB, the most that a policy may have");
        }
        let (file, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            self.mistake(error.span().unwrap_or_default(), error.message());
        }
        if !errors.is_empty() {
            // What was guessed of the rest would make mistakes of its own.
            return Vec::new();
        }
        let mut written = None;
        for (key, value) in file.get_ref() {
            match key.get_ref().as_ref() {
                "rule" => written = Some(value),
                other => self.mistake(key.span(), &format!("there is no `{other}`; rules begin with [[rule]]")),
            }
        }
        let rules = match written.map(|value| (value.span(), value.get_ref())) {
            Some((_, DeValue::Array(rules))) => rules.iter().as_slice(),
            Some((span, _)) => {
                self.mistake(span, "`rule` is no list of tables: begin each rule with [[rule]]");
                return Vec::new();
            }
            None => &[],
        };
        if rules.is_empty() && self.mistakes.is_empty() {
            return self.of_the_whole(EMPTY);
        }
        let mut read: Vec<(usize, Rule)> = Vec::new();
        for value in rules {
            let line = self.line(value.span().start);
            let rule = self.rule(value);
            read.extend(rule.map(|rule| (line, rule)));
            if read.len() > MAX_RULES {
                self.mistake(value.span(), "more than 1000 rules; take some out");
                break;
            }
        }
        self.warn_of_unreached(&read);
        read.into_iter().map(|(_, rule)| rule).collect()
    }

    /// A rule, as far as it can be read.
    fn rule(&mut self, value: &Value<'_>) -> Option<Rule> {
        let DeValue::Table(table) = value.get_ref() else {
            self.mistake(value.span(), "a rule is no table: begin it with [[rule]]");
            return None;
        };
        let mut rule =
            Rule { callers: Vec::new(), objects: Vec::new(), inline: false, models: None, limits: Limits::default() };
        let (mut per_second, mut burst) = (None, None);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "callers" => rule.callers = self.entries("callers", value, |_, text| Callers::parse(text)),
                "objects" => rule.objects = self.entries("objects", value, Self::objects),
                "inline" => rule.inline = self.truth("inline", value),
                "models" => rule.models = Some(self.models(value)),
                "requests_per_second" => per_second = self.rate(value),
                "burst" => burst = self.count("burst", value).map(|burst| (key.span(), burst)),
                "max_in_flight" => rule.limits.max_in_flight = self.count("max_in_flight", value).map(NonZeroU32::get),
                "tokens_per_day" => rule.limits.tokens_per_day = self.tokens(value),
                other => {
                    let known =
                        "callers, objects, inline, models, requests_per_second, burst, max_in_flight, tokens_per_day";
                    self.mistake(key.span(), &format!("a rule has no `{other}`; it may have {known}"));
                }
            }
        }
        if !table.contains_key("callers") {
            self.mistake(value.span(), "the rule has no `callers`: write for example callers = [\"*\"]");
        }
        if let (Some((span, _)), false) = (&burst, table.contains_key("requests_per_second")) {
            self.mistake(span.clone(), "`burst` means nothing without `requests_per_second`");
        }
        rule.limits.rate = per_second.map(|per_second| match burst {
            Some((_, burst)) => Rate { per_second, burst },
            None => Rate::of(per_second),
        });
        Some(rule)
    }

    fn objects(&mut self, text: &str) -> Result<Objects, &'static str> {
        let objects = Objects::parse(text)?;
        if objects.ends_inside_a_name() {
            self.warnings.push(format!(
                "the policy's prefix {} does not end in `/`: it allows every key that begins so, whatever follows",
                one_line(text)
            ));
        }
        Ok(objects)
    }

    fn models(&mut self, value: &Value<'_>) -> Vec<ModelProfile> {
        self.entries("models", value, |reader, text| {
            let unknown = "is no model of this server: `sightline models` lists what it offers";
            (reader.offered)(text).ok_or(unknown)
        })
    }

    /// The entries of a list of texts that are right.
    fn entries<T>(
        &mut self,
        field: &str,
        value: &Value<'_>,
        parse: impl Fn(&mut Self, &str) -> Result<T, &'static str>,
    ) -> Vec<T> {
        let DeValue::Array(list) = value.get_ref() else {
            self.mistake(value.span(), &format!("`{field}` is no list: write {field} = [\"...\"]"));
            return Vec::new();
        };
        if list.is_empty() {
            self.mistake(value.span(), &format!("`{field}` is empty: name at least one, or leave it out"));
        }
        if list.len() > MAX_ENTRIES {
            self.mistake(value.span(), &format!("`{field}` has more than 1000 entries; take some out"));
        }
        let mut entries = Vec::new();
        for entry in list.iter().take(MAX_ENTRIES) {
            match entry.get_ref() {
                DeValue::String(text) => match parse(self, text) {
                    Ok(parsed) => entries.push(parsed),
                    Err(problem) => self.mistake(entry.span(), &format!("`{field}`: `{text}` {problem}")),
                },
                _ => self.mistake(entry.span(), &format!("`{field}` holds something that is no text in quotes")),
            }
        }
        entries
    }

    fn truth(&mut self, field: &str, value: &Value<'_>) -> bool {
        let DeValue::Boolean(truth) = value.get_ref() else {
            self.mistake(value.span(), &format!("`{field}` must be true or false"));
            return false;
        };
        *truth
    }

    fn rate(&mut self, value: &Value<'_>) -> Option<f64> {
        let number = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => integer(value).map(|integer| integer as f64),
        };
        let rate = number.filter(|number| RATES.contains(number));
        if rate.is_none() {
            self.mistake(value.span(), "`requests_per_second` must lie between 0.001 and 1000000");
        }
        rate
    }

    fn count(&mut self, field: &str, value: &Value<'_>) -> Option<NonZeroU32> {
        let number = integer(value).filter(|number| COUNTS.contains(number));
        let count = number.and_then(|number| u32::try_from(number).ok()).and_then(NonZeroU32::new);
        if count.is_none() {
            self.mistake(value.span(), &format!("`{field}` must be a whole number between 1 and 1000000"));
        }
        count
    }

    fn tokens(&mut self, value: &Value<'_>) -> Option<u64> {
        let tokens = integer(value).and_then(|number| u64::try_from(number).ok()).filter(|tokens| *tokens > 0);
        if tokens.is_none() {
            self.mistake(value.span(), "`tokens_per_day` must be a whole number above 0");
        }
        tokens
    }

    /// The first rule decides: what a later one says of the same callers is never looked at.
    fn warn_of_unreached(&mut self, rules: &[(usize, Rule)]) {
        for (index, (line, rule)) in rules.iter().enumerate() {
            let earlier = rules.iter().take(index);
            let covers = |callers: &Callers, rule: &Rule| rule.callers.iter().any(|other| other.cover(callers));
            let mut by = rule.callers.iter().map(|callers| earlier.clone().find(|(_, other)| covers(callers, other)));
            if let Some(Some((other, _))) = by.find(Option::is_some) {
                self.warnings.push(format!(
                    "callers of the policy's rule in line {line} are decided by the rule in line {other} already: the first \
                     rule that names a caller decides"
                ));
            }
        }
    }
}

fn integer(value: &Value<'_>) -> Option<i64> {
    let DeValue::Integer(integer) = value.get_ref() else { return None };
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
