//! Text for a terminal. What a model or a server wrote is untrusted: an escape sequence in it could move the cursor,
//! change the window's title or hide what stands before it.

use std::time::Duration;

/// Shown in place of a character that a terminal would obey.
const REPLACEMENT: char = '\u{fffd}';
/// Terminal width in columns when nothing tells it.
const DEFAULT_WIDTH: u16 = 100;

/// The text as several lines: line breaks stay, a tab becomes a space, every other control character and every
/// character that reorders text becomes `U+FFFD`.
pub fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").chars().map(|c| if c == '\n' { c } else { harmless(c) }).collect()
}

/// The text as one line: as [`lines`], with every line break a space.
pub fn line(text: &str) -> String {
    text.replace("\r\n", "\n").chars().map(|c| if c == '\n' { ' ' } else { harmless(c) }).collect()
}

fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_unsafe(c) => REPLACEMENT,
        c => c,
    }
}

/// Whether a terminal obeys the character instead of showing it: C0, C1, DEL, line separators, text direction.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A count of bytes for people, such as `271.4 KiB`.
pub fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).display().iec().to_string()
}

/// A duration for people, such as `34 ms` or `2.41 s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_millis() {
        0 if duration.is_zero() => "0 ms".to_owned(),
        0 => "<1 ms".to_owned(),
        millis @ 1..1000 => format!("{millis} ms"),
        _ => format!("{seconds:.2} s"),
    }
}

/// A share in `[0, 1]` as a percentage, such as `55 %`; `-` when there is none.
pub fn percent(share: Option<f32>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

/// Columns to write in, 40 to 160: the shell's `COLUMNS` where it is exported, 100 otherwise.
pub fn width() -> u16 {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.unwrap_or(DEFAULT_WIDTH).clamp(40, 160)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_survives() {
        let hostile = "a\u{1b}[31mred\u{7}\u{9b}2J\u{202e}x\ry\tz\u{2028}";
        for shown in [line(hostile), lines(hostile)] {
            assert!(shown.chars().all(|c| !is_unsafe(c)), "{shown:?}");
            assert!(shown.starts_with("a\u{fffd}[31mred\u{fffd}\u{fffd}2J"), "{shown:?}");
        }
    }

    #[test]
    fn only_lines_keeps_line_breaks() {
        assert_eq!(lines("a\r\nb\nc"), "a\nb\nc");
        assert_eq!(line("a\r\nb\nc"), "a b c");
    }

    #[test]
    fn other_scripts_are_left_alone() {
        assert_eq!(line("당신은 café 👩‍💻"), "당신은 café 👩‍💻");
    }

    #[test]
    fn durations_read_well() {
        let shown = [0, 400, 34_000, 2_412_000].map(|micros| duration(Duration::from_micros(micros)));
        assert_eq!(shown, ["0 ms", "<1 ms", "34 ms", "2.41 s"]);
    }
}
