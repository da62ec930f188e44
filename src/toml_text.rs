//! What is said of a TOML file that is wrong: where, and in a form that does no harm to whoever reads it.

/// The line, from 1, in which the byte at `offset` lies.
pub(crate) fn line(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

/// What a terminal shows as it is: a quoted key may hold what it would obey.
pub(crate) fn one_line(problem: &str) -> String {
    let mut line = String::new();
    for character in problem.trim().chars() {
        match character {
            '\n' => line.push_str("; "),
            ' '..='~' => line.push(character),
            other if other.is_alphanumeric() => line.push(other),
            other => line.extend(other.escape_unicode()),
        }
    }
    line
}
