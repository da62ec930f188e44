//! Every file that fuzzing found worth keeping, once more: what it reached, and what went wrong before.

use std::path::Path;

use crate::imaging::fuzzing;

/// Runs a target on its whole corpus.
fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Shown when it fails.
        println!("{}", path.display());
        run(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 5, "the corpus of {target} is there");
}

macro_rules! replays {
    ($($name:ident: $run:expr;)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name), $run);
        })*
    };
}

replays! {
    image_headers: fuzzing::headers;
    image_exif: fuzzing::exif;
    image_jpeg: fuzzing::jpeg;
    image_png: fuzzing::png;
    image_tiff: fuzzing::tiff;
    image_webp: fuzzing::webp;
    image_gif: fuzzing::gif;
    image_bmp: fuzzing::bmp;
    image_profile: fuzzing::profile;
    image_prepare: |data| {
        fuzzing::Input::parse(data).and_then(|input| fuzzing::prepare(&input));
    };
}
