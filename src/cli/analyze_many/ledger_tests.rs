use proptest::prelude::*;

use super::*;

fn listing() -> Listing {
    Listing { bucket: "p".into(), prefix: "x/".into() }
}

fn line(source: &str, listed: bool, resume_after: &str, failed: bool) -> Head {
    let listing = if listed { r#""listing":"s3://p/x/","# } else { "" };
    let outcome = if failed { "error" } else { "analysis" };
    Head::read(&format!(r#"{{"source":"{source}",{listing}"resumeAfter":"{resume_after}","{outcome}":{{}}}}"#)).unwrap()
}

#[test]
fn a_line_is_a_result_or_broken() {
    assert!(Head::read(r#"{"source":"a","itemIndex":"3","analysis":{"new":1}}"#).is_ok());
    for broken in ["", "{}", "[]", r#"{"source":"a"}"#, r#"{"source":"a","error":{},"analysis":{}}"#, r#"{"error":{}}"#]
    {
        assert!(Head::read(broken).is_err(), "{broken}");
    }
}

#[test]
fn what_has_a_line_is_not_asked_for_again_but_failures_may_be() {
    for (retry_failed, again) in [(false, false), (true, true)] {
        let mut ledger = Ledger::new(retry_failed);
        ledger.read(&line("a", false, "", true));
        ledger.read(&line("b", false, "", true));
        ledger.read(&line("b", false, "", false));
        assert!(ledger.has("b") && !ledger.has("c"), "the last line counts");
        assert_eq!(ledger.has("a"), !again);
        assert_eq!(ledger.failed_earlier(), 1);
        ledger.answered("a", true);
        assert!(ledger.has("a"), "one attempt in a run is enough");
        assert_eq!(ledger.failed_earlier(), 0, "that is a failure of this run");
        assert!(ledger.is_last("b", 2) && !ledger.is_last("b", 1) && !ledger.is_last("a", 0));
    }
}

#[test]
fn a_listing_goes_on_after_its_watermark() {
    let mut ledger = Ledger::new(true);
    for (key, after, failed) in [("a", "x/a", false), ("d", "x/a", true), ("b", "x/b", true), ("e", "x/b", false)] {
        ledger.read(&line(&format!("s3://p/x/{key}"), true, after, failed));
    }
    ledger.read(&line("s3://p/x/", true, "x/b", true));
    ledger.read(&line("s3://q/x/z", true, "x/z", false));
    let reached = ledger.reached(&listing());
    assert_eq!((reached.after.as_str(), reached.below), ("x/b", 2));
    assert_eq!(ledger.take_failed(&listing()), ["x/b"], "the listing comes by x/d again");
    assert!(ledger.has("s3://p/x/e") && !ledger.has("s3://p/x/d"));
    assert_eq!(ledger.failed_earlier(), 3);
    ledger.finished(&listing(), true);
    assert_eq!(ledger.failed_earlier(), 2, "the listing has been gone through after all");
    for (bucket, prefix, within) in [("p", "x/", true), ("p", "x/y/", true), ("p", "", false), ("q", "x/", false)] {
        assert_eq!(ledger.is_within(&Listing { bucket: bucket.into(), prefix: prefix.into() }), within);
    }
}

#[test]
fn a_listing_that_failed_is_left_unless_it_broke_off_in_the_middle() {
    let failure = |code: i32| {
        let line = format!(r#"{{"source":"s3://p/x/","listing":"s3://p/x/","error":{{"code":{code}}}}}"#);
        Head::read(&line).unwrap()
    };
    let (gone, unavailable) = (5, 14);
    for (code, begun, goes_on) in
        [(gone, false, false), (gone, true, false), (unavailable, false, false), (unavailable, true, true)]
    {
        for retry_failed in [false, true] {
            let mut ledger = Ledger::new(retry_failed);
            assert!(!ledger.is_left(&listing()));
            if begun {
                ledger.read(&line("s3://p/x/b", true, "", false));
            }
            ledger.read(&failure(code));
            assert_eq!(ledger.is_left(&listing()), !goes_on && !retry_failed, "{code} {begun}");
            // It was gone on with by a run that came to no end.
            ledger.read(&line("s3://p/x/c", true, "x/c", false));
            assert!(!ledger.is_left(&listing()));
        }
    }
}

#[test]
fn a_failure_that_was_mended_is_not_asked_for_again() {
    let mut ledger = Ledger::new(true);
    ledger.read(&line("s3://p/x/a", true, "x/a", true));
    ledger.read(&line("s3://p/x/a", true, "", false));
    assert_eq!(ledger.take_failed(&listing()), [""; 0]);
    assert_eq!(ledger.reached(&listing()).after, "x/a");
}

proptest! {
    /// Answers in any order, cut at any line: what comes after the watermark or has no line is exactly what is missing.
    #[test]
    fn nothing_is_lost_or_repeated_wherever_a_listing_is_cut(
        order in Just((0..40usize).collect::<Vec<_>>()).prop_shuffle(),
        cut in 0..=40usize,
    ) {
        let key = |n: usize| format!("x/{n:02}");
        let mut ledger = Ledger::new(false);
        for (at, n) in order.iter().enumerate().take(cut) {
            let answered = &order[..=at];
            let mark = (0..40).take_while(|n| answered.contains(n)).last().map(key).unwrap_or_default();
            ledger.read(&line(&format!("s3://p/{}", key(*n)), true, &mark, false));
        }
        let (after, below) = { let reached = ledger.reached(&listing()); (reached.after.clone(), reached.below) };
        prop_assert_eq!((0..40).filter(|n| key(*n) <= after).count() as u64, below);
        let asked: Vec<_> =
            (0..40).filter(|n| key(*n) > after && !ledger.has(&format!("s3://p/{}", key(*n)))).collect();
        let mut missing = order[cut..].to_vec();
        missing.sort_unstable();
        prop_assert_eq!(asked, missing);
    }
}
