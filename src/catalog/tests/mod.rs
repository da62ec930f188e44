use std::sync::LazyLock;

use super::*;

mod built_in;
mod errors;
mod offer;
mod overlay;
mod resolve;

static BUILT: LazyLock<Catalog> = LazyLock::new(|| Catalog::built_in().unwrap());

fn built_in() -> Catalog {
    BUILT.clone()
}

/// The shipped catalogue under a file.
fn under(text: &str) -> Catalog {
    built_in().with_file(text).unwrap()
}
