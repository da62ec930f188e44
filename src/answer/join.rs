//! Two answers to one question, of which the second was asked for because the first was not whole.

use super::Reading;
use crate::domain::{Findings, Verdict, Warning, WarningCode};

impl Reading {
    /// Whether the answer ended before it was complete: its lists may lack entries.
    pub fn is_cut(&self) -> bool {
        self.warnings.iter().any(|warning| warning.code == WarningCode::OutputTruncated)
    }

    /// What this reading and a `later` one of the same question hold together: of each feature the later's where it has it,
    /// unless its labels are cut or its verdict is unclear where this one's are not.
    /// Where nothing of this one is needed, nothing is left of its warnings either; else each code is said once, in the
    /// later's words.
    pub fn joined(self, later: Self) -> Self {
        let labels_cut = is_cut(&later.findings) && self.findings.labels.is_some() && !is_cut(&self.findings);
        let unclear = is_unclear(&later.findings) && self.findings.sensitivity.is_some() && !is_unclear(&self.findings);
        let needed = held(&self.findings).into_iter().any(|name| !held(&later.findings).contains(&name));
        if !needed && !labels_cut && !unclear {
            return later;
        }
        let (first, mut second) = (self.findings, later.findings);
        if labels_cut {
            second.labels = None;
        }
        if unclear {
            second.sensitivity = None;
        }
        let mut findings = Findings {
            description: second.description.or(first.description),
            sensitivity: second.sensitivity.or(first.sensitivity),
            labels: second.labels.or(first.labels),
            text: second.text.or(first.text),
            answer: second.answer.or(first.answer),
            extraction: second.extraction.or(first.extraction),
            missing: Vec::new(),
        };
        let held = held(&findings);
        findings.missing = second.missing;
        findings.missing.retain(|missing| !held.contains(&missing.name));
        let mistakes = if findings.missing.is_empty() { Vec::new() } else { later.mistakes };
        Self { findings, warnings: once_each(self.warnings, later.warnings), mistakes }
    }
}

fn is_cut(findings: &Findings) -> bool {
    findings.labels.as_ref().is_some_and(|labels| labels.truncated)
}

fn is_unclear(findings: &Findings) -> bool {
    findings.sensitivity.as_ref().is_some_and(|sensitivity| sensitivity.verdict == Verdict::Uncertain)
}

/// The features that were found, by name.
fn held(findings: &Findings) -> Vec<&'static str> {
    let all = [
        (findings.description.is_some(), "description"),
        (findings.sensitivity.is_some(), "sensitivity"),
        (findings.labels.is_some(), "labels"),
        (findings.text.is_some(), "text"),
        (findings.answer.is_some(), "prompt"),
        (findings.extraction.is_some(), "extraction"),
    ];
    all.into_iter().filter_map(|(is_held, name)| is_held.then_some(name)).collect()
}

fn once_each(first: Vec<Warning>, mut later: Vec<Warning>) -> Vec<Warning> {
    let mut warnings = first;
    warnings.retain(|warning| later.iter().all(|other| other.code != warning.code));
    warnings.append(&mut later);
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Labels, MissingCause, MissingFeature};

    fn missing(name: &'static str) -> MissingFeature {
        MissingFeature { name, cause: MissingCause::Unreadable("the model left it out".to_owned()) }
    }

    fn reading(description: Option<&str>, labels: Option<Labels>, codes: &[WarningCode], word: &str) -> Reading {
        let absent = [(description.is_none(), "description"), (labels.is_none(), "labels")];
        let missing = absent.into_iter().filter(|(is_absent, _)| *is_absent).map(|(_, name)| missing(name)).collect();
        let description = description.map(str::to_owned);
        let findings = Findings { description, labels, missing, ..Findings::default() };
        let warnings = codes.iter().map(|code| Warning::new(*code, word)).collect();
        Reading { findings, warnings, mistakes: vec![word.to_owned()] }
    }

    #[test]
    fn each_lacks_what_the_other_has() {
        let first = reading(Some("old"), None, &[WarningCode::OutputRepaired, WarningCode::OutputTruncated], "first");
        let later = reading(None, Some(Labels::default()), &[WarningCode::OutputRepaired], "later");
        let joined = first.joined(later);
        assert_eq!(joined.findings.description.as_deref(), Some("old"));
        assert!(joined.findings.labels.is_some() && joined.findings.missing.is_empty() && joined.mistakes.is_empty());
        let said: Vec<_> = joined.warnings.iter().map(|w| (w.code.as_str(), w.message.as_str())).collect();
        assert_eq!(said, [("OUTPUT_TRUNCATED", "first"), ("OUTPUT_REPAIRED", "later")]);
        assert!(joined.is_cut());
    }

    #[test]
    fn a_later_one_that_lacks_nothing_stands_alone() {
        let first = reading(Some("old"), None, &[WarningCode::OutputTruncated], "first");
        let later = reading(Some("new"), Some(Labels::default()), &[], "later");
        assert_eq!(first.joined(later.clone()), later);
    }

    #[test]
    fn labels_that_are_cut_replace_none_that_are_whole() {
        let whole = Labels { labels: Vec::new(), truncated: false };
        let cut = Labels { truncated: true, ..whole.clone() };
        let first = || reading(Some("old"), Some(whole.clone()), &[], "first");
        let later = |labels| reading(Some("new"), Some(labels), &[WarningCode::OutputTruncated], "later");
        let joined = first().joined(later(cut)).findings;
        assert_eq!((joined.description.as_deref(), joined.labels), (Some("new"), Some(whole.clone())));
        assert_eq!(first().joined(later(whole.clone())), later(whole.clone()));
    }

    #[test]
    fn what_neither_has_is_missing() {
        let first = reading(Some("old"), None, &[], "first");
        let later = reading(Some("new"), None, &[], "later");
        let joined = first.joined(later);
        assert_eq!((joined.findings.missing, joined.mistakes), (vec![missing("labels")], vec!["later".to_owned()]));
    }
}
