//! Names of files that are made of sources.

use std::path::Path;

/// Most bytes of a source that are kept to be read by people: with what is added still below the 255 of a file name.
const MAX_READABLE: usize = 120;

/// The name of the annotated picture of a source: readable, without a folder, and another one for every other source.
/// A source that is a JPEG by its name stays one, all others become PNG.
pub fn annotated(source: &str) -> String {
    let path = source.strip_prefix("s3://").unwrap_or(source);
    let (stem, extension) = match Path::new(path).extension().and_then(|extension| extension.to_str()) {
        Some(extension) => (path.strip_suffix(extension).unwrap_or(path), extension),
        None => (path, ""),
    };
    let jpeg = ["jpg", "jpeg"].iter().any(|name| extension.eq_ignore_ascii_case(name));
    let readable: String =
        stem.chars().map(|c| if c.is_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' }).collect();
    // The end tells pictures apart better than the beginning.
    let cut = (0..=readable.len()).find(|at| readable.len() - at <= MAX_READABLE && readable.is_char_boundary(*at));
    let readable = cut.and_then(|at| readable.get(at..)).unwrap_or_default().trim_matches(['.', '_']);
    format!("{readable}-{:016x}.{}", fnv1a(source.as_bytes()), if jpeg { "jpg" } else { "png" })
}

/// FNV-1a: the same in every version of this command, so that a resumed run writes the same files.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_can_be_read_and_keeps_its_format() {
        for (source, readable) in [
            ("s3://photos/2026/회의.jpg", "photos_2026_회의"),
            ("a/b c.JPEG", "a_b_c"),
            ("../../etc/x.png", "etc_x"),
            ("..", ""),
        ] {
            let name = annotated(source);
            assert_eq!(name.rsplit_once('-').unwrap().0, readable);
        }
        assert_eq!(annotated("a.png"), "a-a29205b56ba85779.png", "the same in every version");
        assert!(annotated("a.JPG").ends_with(".jpg") && annotated("a.webp").ends_with(".png"));
        assert_eq!(fnv1a(b"foobar"), 0x85944171f73967e8, "as published");
    }

    #[test]
    fn sources_that_look_alike_have_different_names() {
        let alike = ["a/b.png", "a_b.png", "s3://a/b.png", "./a/b.png", "a/b.jpg", "a//b.png", "A/b.png"];
        let names: std::collections::HashSet<_> = alike.map(|name| annotated(name).to_lowercase()).into();
        assert_eq!(names.len(), alike.len());
    }

    proptest! {
        #[test]
        fn a_name_is_one_file_of_any_folder(source in ".{0,400}") {
            let name = annotated(&source);
            prop_assert!(name.len() <= 255 && !name.starts_with('.'), "{name}");
            prop_assert_eq!(Path::new(&name).components().count(), 1);
            prop_assert!(!name.contains(['/', '\\', '\0', ':']) && !name.chars().any(crate::cli::plain::is_unsafe));
        }
    }
}
