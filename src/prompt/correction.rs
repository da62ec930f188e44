//! What a model is told about an answer that cannot be used.

use crate::domain::Strategy;

/// The complaint about an answer with these mistakes. `is_cut`: it was too long. `is_plain`: the answer is plain text.
pub fn complaint(mistakes: &[String], is_cut: bool, strategy: Strategy, is_plain: bool) -> String {
    if is_plain {
        return "Your answer was empty. Answer the request.".to_owned();
    }
    let mut text = String::from("Your answer cannot be used:\n");
    for mistake in mistakes {
        text.push_str("- ");
        text.push_str(mistake);
        text.push('\n');
    }
    if is_cut {
        text.push_str("- it was cut off before its end: be brief and list the most important things only\n");
    }
    text.push_str("Look at the picture again and give the whole answer once more, all fields of it, corrected");
    text.push_str(match strategy {
        Strategy::ForcedTool | Strategy::AutoTool => ", by calling the tool. Write nothing else.",
        Strategy::NativeSchema => ".",
        Strategy::PromptedJson => ", as one JSON object. Write nothing else.",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_told_what_is_wrong_and_how_to_answer() {
        let mistakes = ["labels: the model left it out".to_owned()];
        insta::assert_snapshot!(complaint(&mistakes, true, Strategy::ForcedTool, false), @r"
        Your answer cannot be used:
        - labels: the model left it out
        - it was cut off before its end: be brief and list the most important things only
        Look at the picture again and give the whole answer once more, all fields of it, corrected, by calling the tool. Write nothing else.
        ");
    }
}
