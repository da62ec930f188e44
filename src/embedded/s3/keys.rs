use std::path::{Component, Path, PathBuf};

/// Longest key S3 knows, bytes of UTF-8.
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// Why a key names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadKey {
    /// It holds `.` or `..` or something else that would lead elsewhere.
    LeadsElsewhere,
    /// S3 allows it, a folder cannot hold it: an empty part, as in `a//b` or `a/`.
    NoFile,
}

/// The key as a relative path of plain names.
pub(super) fn path(key: &str) -> Result<PathBuf, BadKey> {
    let mut path = PathBuf::new();
    for part in key.split('/') {
        if part.is_empty() {
            return Err(if key.starts_with('/') { BadKey::LeadsElsewhere } else { BadKey::NoFile });
        }
        // What is one plain name differs between operating systems: a drive or a backslash is none on Windows.
        let mut components = Path::new(part).components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(name)), None) if name == part && !part.contains('\0') => path.push(part),
            _ => return Err(BadKey::LeadsElsewhere),
        }
    }
    Ok(path)
}

/// The media type a name suggests; like S3's, a claim that nobody should believe.
pub(super) fn content_type(key: &str) -> &'static str {
    let extension = key.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("bmp") => "image/bmp",
        Some("tif" | "tiff") => "image/tiff",
        _ => "binary/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_that_lead_elsewhere_are_told_from_those_no_file_can_have() {
        for key in ["../x", "a/../b", ".", "..", "./a", "a/.", "/etc/passwd", "//x", "a\0b"] {
            assert_eq!(path(key), Err(BadKey::LeadsElsewhere), "{key:?}");
        }
        for key in ["", "a/", "a//b"] {
            let refused = path(key).unwrap_err();
            assert!(refused == BadKey::NoFile || key.is_empty(), "{key:?}");
        }
    }

    #[test]
    fn every_other_name_is_literal() {
        for key in ["a b.png", "사진/가.jpg", "a+b", "100%", "%2e%2e", "...", ".hidden", "a..b", "x/.../y"] {
            assert_eq!(path(key).unwrap(), PathBuf::from(key));
        }
    }

    proptest! {
        #[test]
        fn no_key_leaves_the_bucket(key in "[a./\\\\%: ]{0,12}") {
            if let Ok(path) = path(&key) {
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(path.to_str(), Some(key.as_str()));
            }
        }
    }
}
