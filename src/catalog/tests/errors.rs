//! What a file must not say. Each error tells the place and what to do.

use proptest::prelude::*;

use super::*;

fn error(text: &str) -> String {
    built_in().with_file(text).unwrap_err().to_string()
}

#[test]
fn every_error_says_where_and_what_to_do() {
    let model = |field: &str| format!("[models.x]\nid = \"a.b\"\n{field}");
    for (text, expected) in [
        // Shape.
        ("models = [".to_owned(), "line 1, column 11: "),
        (
            "[model.x]".to_owned(),
            "line 1, column 2: unknown field `model`, expected one of `replace`, `aliases`, `models`",
        ),
        (model("max_edge = 5"), "line 3, column 1: unknown field `max_edge`, expected one of `extends`, `id`, "),
        (
            model("image = { edge = 5 }"),
            "line 3, column 11: unknown field `edge`, expected `max_edge` or `max_visual_tokens`",
        ),
        (model("prices = { input = 1 }"), "line 3, column 10: missing field `output`"),
        (model("ended = \"yes\""), "line 3, column 9: invalid type: string"),
        (model("id = \"c.d\""), "line 3, column 1: duplicate key"),
        // Words.
        (model("api = \"invoke\""), "line 3, column 7: `api` has no value `invoke`; use `messages`, `converse`"),
        (model("coordinates = \"px\""), "`coordinates` has no value `px`; use `pixels`, `per_mille`"),
        (model("sampling = \"top_k\""), "use `none`, `temperature`, `one_of`, `all`"),
        (model("thinking = \"on\""), "use `off`, `disable`, `always`"),
        (
            model("output = [\"json\"]"),
            "line 3, column 11: `output` has no value `json`; use `native_schema`, `forced_tool`",
        ),
        (model("output = []"), "`output` is empty; `prompted_json` works with every model"),
        (model("output = [\"auto_tool\", \"auto_tool\"]"), "line 3, column 24: `output` names a way twice"),
        // Numbers.
        (model("image = { max_edge = 100 }"), "line 3, column 22: `max_edge` must lie between 200 and 8000"),
        (
            model("image = { max_edge = 800, max_visual_tokens = 0 }"),
            "`max_visual_tokens` must lie between 64 and 100000",
        ),
        (model("max_output_tokens = -1"), "`max_output_tokens` must lie between 256 and 1000000"),
        (
            model("prices = { input = -1, output = 2 }"),
            "line 3, column 20: `input` must lie between 0 and 10000 dollars",
        ),
        (model("prices = { input = 1, output = nan }"), "`output` must lie between 0 and 10000 dollars"),
        (model("prices = { input = 1, output = 2, cache_read = inf }"), "`cache_read` must lie between"),
        // Texts.
        ("[models.x]\nid = \"\"".to_owned(), "line 2, column 6: `id` must be a Bedrock model id"),
        (format!("[models.x]\nid = \"{}\"", "a".repeat(2049)), "`id` must be a Bedrock model id"),
        (
            "[models.\"a b\"]\nid = \"a.b\"".to_owned(),
            "line 1, column 9: a name must be 1 to 128 visible ASCII characters",
        ),
        (model("names = [\"abc\"]"), "a part of an id must be at least 4 visible ASCII characters"),
        (model("region = \"Frankfurt\""), "`region` must be an AWS Region such as `eu-central-1`"),
        (model("end_of_life = \"soon\""), "`end_of_life` must be a date such as \"2027-06-30\""),
        // References.
        (
            "[models.x]\napi = \"converse\"".to_owned(),
            "line 1, column 9: the model `x` has no `id`; give its Bedrock id or ARN",
        ),
        (model("extends = \"claude\""), "line 3, column 11: `extends` names no model: there is no `claude`"),
        (model("extends = \"x\""), "`extends` goes round in a circle"),
        (
            model("fallbacks = [\"claude-sonnet\"]"),
            "line 3, column 14: `fallbacks` must name other models by alias, name or Bedrock id",
        ),
        (model("fallbacks = [\"x\"]"), "`fallbacks` must name other models"),
        (model("fallbacks = [\"a.b\", \"a.c\", \"a.d\", \"a.e\", \"a.f\"]"), "more than 4 fallbacks"),
        (
            "[aliases]\nhouse = \"sonnet\"".to_owned(),
            "line 2, column 9: `sonnet` is no model of the catalogue and no Bedrock id",
        ),
        (
            "[aliases]\nclaude-opus-5 = \"claude-opus-4-8\"".to_owned(),
            "line 2, column 1: `claude-opus-5` is a model's name already",
        ),
        ("[models.fast]\nid = \"a.b\"".to_owned(), "line 1, column 9: `fast` is an alias already"),
        (
            "replace = true\n[aliases]\ndefault = \"claude-sonnet-5\"".to_owned(),
            "line 3, column 11: `claude-sonnet-5` is no model",
        ),
    ] {
        let error = error(&text);
        assert!(error.starts_with("line ") && error.contains(expected), "{text}\n  said {error}\n  not  {expected}");
    }
}

#[test]
fn bounds_of_the_file() {
    assert_eq!(error(&"#".repeat(MAX_BYTES + 1)), "it is longer than 1024 KiB, the most that a catalogue may have");
    let many = |count: usize| (0..count).map(|n| format!("[models.m{n}]\nid = \"a.b{n}\"\n")).collect::<String>();
    assert!(error(&many(MAX_ENTRIES + 1)).contains("more than 1000 models; take some out"));
    assert_eq!(under(&many(MAX_ENTRIES)).entries.len(), built_in().entries.len() + MAX_ENTRIES);
    let chain: String = (0..12).map(|n| format!("[models.m{n}]\nid = \"a.b\"\nextends = \"m{}\"\n", n + 1)).collect();
    assert!(error(&(chain + "[models.m12]\nid = \"a.b\"\n")).contains("over more than 8 models"));
}

#[test]
fn an_error_shows_nothing_that_a_terminal_obeys() {
    let error = error("[models.x]\nid = \"a.b\"\n\"\\u001b[31mred\\n\" = 1");
    assert!(error.contains("line 3") && error.chars().all(|c| (' '..='~').contains(&c)), "{error:?}");
}

#[test]
fn depth_is_bounded() {
    let deep = format!("x = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(error(&deep).starts_with("line 1"));
}

#[test]
fn without_a_default_there_is_no_offer() {
    let catalog = under("replace = true\n[models.claude-sonnet-5]\n");
    let error = Models::new(catalog.clone(), None, None).unwrap_err();
    assert_eq!(error, CatalogError::NoDefault);
    assert!(error.to_string().contains("--model"));
    assert_eq!(Models::new(catalog, Some("claude-sonnet-5"), None).unwrap().rows().count(), 1);
}

proptest! {
    #[test]
    fn reading_is_total(text in "\\PC{0,200}|(\\[|\\]|=|\"|\n|models|aliases|x|id|[a-z.]{1,4}| |\\{|\\}|,|[0-9]){0,60}") {
        let _ = built_in().with_file(&text);
    }
}
