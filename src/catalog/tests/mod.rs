use super::*;

mod built_in;
mod errors;
mod offer;
mod overlay;
mod resolve;

fn built_in() -> Catalog {
    Catalog::built_in().unwrap()
}

/// The shipped catalogue under a file.
fn under(text: &str) -> Catalog {
    built_in().with_file(text).unwrap()
}
