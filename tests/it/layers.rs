//! The directions of docs/ARCHITECTURE.md, read off the sources: which module may name which, and what the core never
//! touches.

use crate::support::sources::{Named, Source, read_all};

/// What one top-level module may name.
struct Layer {
    name: &'static str,
    /// Modules of this crate, or parts of them, beside itself.
    knows: &'static [&'static str],
    /// Paths of other crates; `aws_*` means every crate whose name begins so.
    never: &'static [&'static str],
}

/// No I/O, no clock, no environment.
const IO: &[&str] = &[
    "aws_*",
    "http",
    "hyper",
    "hyper_util",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tokio_stream",
    "tonic",
    "tonic_types",
    "tower",
];

/// Who may know what. A new top-level module needs a line here. Only `app`, `serve` and `cli` name concrete adapters.
const LAYERS: &[Layer] = &[
    Layer { name: "domain", knows: &[], never: IO },
    Layer { name: "imaging", knows: &["domain"], never: IO },
    Layer { name: "toml_text", knows: &[], never: IO },
    Layer { name: "catalog", knows: &["domain", "toml_text"], never: IO },
    Layer { name: "json_schema", knows: &[], never: IO },
    Layer { name: "prompt", knows: &["domain", "json_schema"], never: IO },
    Layer { name: "answer", knows: &["domain", "json_schema"], never: IO },
    Layer {
        name: "pipeline",
        knows: &["answer", "catalog", "domain", "imaging", "metrics", "prompt", "spans"],
        never: &["aws_*", "hyper", "std::env", "std::fs", "std::net", "tonic", "tonic_types"],
    },
    Layer {
        name: "policy",
        knows: &["domain", "toml_text"],
        never: &["aws_*", "http", "hyper", "std::env", "std::fs", "std::net", "tonic", "tonic_types"],
    },
    Layer { name: "adapters", knows: PORTS, never: &["tonic", "tonic_types"] },
    Layer { name: "proto", knows: &[], never: &["aws_*"] },
    Layer {
        name: "reload",
        knows: &[],
        never: &["aws_*", "http", "hyper", "std::env", "std::net", "tonic", "tonic_types", "tower"],
    },
    // The one web page it reads, a JWKS, comes by the HTTP client that the SDKs bring along.
    Layer {
        name: "identity",
        knows: &["domain", "reload", "toml_text"],
        never: &["aws_config", "aws_sdk_*", "hyper", "std::env", "tonic", "tonic_types"],
    },
    Layer {
        name: "grpc",
        // What the status map and the capabilities report of pictures is the core's own vocabulary.
        knows: &[
            "domain",
            "identity",
            "imaging::ImageError",
            "imaging::MediaType",
            "json_schema",
            "metrics",
            "pipeline",
            "policy",
            "proto",
            "reload",
            "spans",
        ],
        never: &["aws_*"],
    },
    Layer { name: "embedded", knows: &["domain"], never: &["tonic", "tonic_types"] },
    Layer { name: "config", knows: &["catalog", "domain", "identity", "pipeline", "policy"], never: &["aws_*"] },
    Layer { name: "metrics", knows: &["domain"], never: LEAF },
    Layer { name: "spans", knows: &["domain"], never: LEAF },
    Layer { name: "telemetry", knows: &["config", "spans"], never: &["aws_*"] },
    Layer {
        name: "admin",
        knows: &["grpc::Readiness", "grpc::State", "metrics", "telemetry"],
        never: &["aws_*", "tonic"],
    },
    Layer {
        name: "app",
        knows: &[
            "adapters", "catalog", "config", "domain", "embedded", "grpc", "identity", "metrics", "pipeline", "policy",
            "reload",
        ],
        never: &[],
    },
    Layer { name: "check", knows: &["adapters::Clients", "domain", "pipeline", "prompt::Prompt"], never: &["tonic"] },
    Layer { name: "iam", knows: &["domain"], never: IO },
    Layer { name: "serve", knows: &["adapters", "app", "check", "config", "embedded", "grpc", "policy"], never: &[] },
    // `AnalyzeImage` in process, by the contract's own messages.
    Layer {
        name: "lambda",
        knows: &[
            "adapters::Clients",
            "adapters::S3Results",
            "app",
            // The form of a result, which a file of `analyze-many` has too.
            "cli::json",
            "config::FunctionArgs",
            "domain",
            "grpc::Extras",
            "grpc::Service",
            "metrics",
            "pipeline::Deadline",
            "proto",
        ],
        never: &["aws_config", "aws_sdk_bedrockruntime", "hyper"],
    },
    Layer {
        name: "cli",
        knows: &[
            "adapters",
            "app",
            "catalog",
            "check",
            "config",
            "domain",
            "embedded",
            "iam",
            "json_schema",
            "proto",
            "serve",
            "telemetry",
        ],
        never: &[],
    },
];

/// What counts and traces knows of no transport and no service.
const LEAF: &[&str] = &["aws_*", "hyper", "std::env", "std::net", "tokio", "tonic", "tower"];

/// What the adapters know: the vocabulary, the pipeline's ports and that for results.
const PORTS: &[&str] = &[
    "domain",
    "lambda::jobs::Condition",
    "lambda::jobs::Document",
    "lambda::jobs::Facts",
    "lambda::jobs::ResultStore",
    "lambda::jobs::ResultsError",
    "lambda::jobs::Stored",
    "pipeline::Correction",
    "pipeline::ImageStore",
    "pipeline::ListQuery",
    "pipeline::ModelError",
    "pipeline::OpenObject",
    "pipeline::Page",
    "pipeline::PageStart",
    "pipeline::Part",
    "pipeline::Question",
    "pipeline::Reply",
    "pipeline::StoreError",
    "pipeline::ThinkingParameter",
    "pipeline::VisionModel",
    "spans::outgoing",
];

/// Most lines of a file, its tests not counted.
const MAX_LINES: usize = 400;

fn layer_of(source: &Source) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| source.module.first().is_some_and(|name| name == layer.name))
}

/// What in the file goes against its layer; empty when nothing does.
fn violations(source: &Source) -> Vec<String> {
    if source.module.is_empty() {
        return Vec::new();
    }
    let Some(layer) = layer_of(source) else {
        return vec![format!("{}: its module has no line in LAYERS", source.file)];
    };
    let mut found: Vec<String> = source
        .paths()
        .iter()
        .filter(|named| !allowed(layer, named))
        .map(|named| format!("{}: {} must not name {}", source.file, layer.name, named.path.join("::")))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn allowed(layer: &Layer, named: &Named) -> bool {
    let path: Vec<&str> = named.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["crate"] => !named.glob,
        ["crate", inside @ ..] => {
            let known = |module: &&str| begins(inside, &module.split("::").collect::<Vec<_>>());
            inside[0] == layer.name || layer.knows.iter().any(known)
        }
        outside => !layer.never.iter().any(|forbidden| {
            let forbidden: Vec<&str> = forbidden.split("::").collect();
            begins(outside, &forbidden) || (named.glob && begins(&forbidden, outside))
        }),
    }
}

/// Whether `path` begins with `prefix`, whose words may end in `*`.
fn begins(path: &[&str], prefix: &[&str]) -> bool {
    let same = |(word, wanted): (&&str, &&str)| match wanted.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == wanted,
    };
    path.len() >= prefix.len() && path.iter().zip(prefix).all(same)
}

#[test]
fn every_module_keeps_to_its_layer() {
    let sources = read_all();
    assert!(sources.iter().any(|source| source.file == "src/domain/mod.rs"), "the sources were not found");
    let found: Vec<String> = sources.iter().flat_map(violations).collect();
    assert!(found.is_empty(), "imports against the directions:\n{}", found.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    let long: Vec<String> = read_all()
        .iter()
        .filter(|source| source.line_count >= MAX_LINES)
        .map(|source| format!("{}: {} lines", source.file, source.line_count))
        .collect();
    assert!(long.is_empty(), "files of {MAX_LINES} lines or more:\n{}", long.join("\n"));
}

#[test]
fn a_forbidden_import_is_found() {
    let cases = [
        ("src/domain/mod.rs", "use tokio::sync::Mutex;", "tokio::sync::Mutex"),
        ("src/domain/mod.rs", "use crate::imaging::Limits;", "crate::imaging::Limits"),
        ("src/domain/a.rs", "use super::super::prompt;", "crate::prompt"),
        ("src/imaging/mod.rs", "use std::{io, fs::{self, File}};", "std::fs"),
        ("src/imaging/mod.rs", "fn f() { std::env::var(\"X\"); }", "std::env::var"),
        ("src/imaging/a/b.rs", "use std::time; fn f() { time::Instant::now(); }", "std::time::Instant::now"),
        ("src/prompt/mod.rs", "use std::time::*;", "std::time"),
        ("src/prompt/mod.rs", "use aws_sdk_s3 as s3;", "aws_sdk_s3"),
        ("src/answer/mod.rs", "use crate::{domain::Size, pipeline::{Port as _}};", "crate::pipeline::Port"),
        ("src/answer/mod.rs", "use crate::*;", "crate"),
        ("src/answer/mod.rs", "const C: char = '\"'; use tonic::Status; // \"", "tonic::Status"),
        ("src/pipeline/mod.rs", "pub use crate::adapters::s3::Store;", "crate::adapters::s3::Store"),
        ("src/adapters/s3.rs", "fn f(c: crate::config::Config) {}", "crate::config::Config"),
        ("src/adapters/s3.rs", "use crate::pipeline::{ImageStore, Analyzer};", "crate::pipeline::Analyzer"),
        ("src/grpc/a.rs", "use crate::imaging::{MediaType, prepare};", "crate::imaging::prepare"),
        ("src/grpc/mod.rs", "use aws_sdk_bedrockruntime::Client;", "aws_sdk_bedrockruntime::Client"),
        ("src/grpc/a.rs", "use crate::adapters;", "crate::adapters"),
        ("src/metrics/mod.rs", "use crate::pipeline::Stage;", "crate::pipeline::Stage"),
        ("src/embedded/mod.rs", "use crate::pipeline::Model;", "crate::pipeline::Model"),
        ("src/config/mod.rs", "use crate::adapters::bedrock::Bedrock;", "crate::adapters::bedrock::Bedrock"),
    ];
    for (file, text, named) in cases {
        let found = violations(&Source::new(file, text));
        let says_so = found.iter().any(|violation| violation.ends_with(&format!(" must not name {named}")));
        assert!(says_so, "{file} `{text}`: {found:?}");
    }
    assert_eq!(violations(&Source::new("src/misc/mod.rs", "")).len(), 1, "a module without a line");
}

#[test]
fn what_is_allowed_is_not_found() {
    let cases = [
        ("src/domain/mod.rs", "mod size; pub use size::Size; use std::{fmt, time::Duration};"),
        (
            "src/domain/a.rs",
            "/* use tokio::sync; /* nested */ */ // use tonic::Status;\nconst S: &str = \"use tokio::x\";",
        ),
        ("src/domain/a.rs", "const S: &str = r#\"std::fs::read \"quoted\" tokio::spawn\"#; fn f<'a>(x: &'a str) {}"),
        ("src/imaging/mod.rs", "use crate::domain::{Frame, Size}; use super::imaging::limits; use std::io::Cursor;"),
        ("src/imaging/mod.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n use std::fs; fn g() { std::env::args(); }\n}"),
        ("src/imaging/mod.rs", "#[cfg(test)]\nmod tests;\nfn f() -> impl Fn() + use<> {}"),
        ("src/adapters/s3.rs", "use aws_sdk_s3::Client; use crate::{domain, pipeline::ImageStore};"),
        ("src/app.rs", "use crate::adapters::s3::Store; use aws_config::SdkConfig;"),
        ("src/main.rs", "fn main() { sightline::cli::run(std::env::args_os()) }"),
    ];
    for (file, text) in cases {
        assert_eq!(violations(&Source::new(file, text)), Vec::<String>::new(), "{file} `{text}`");
    }
}

#[test]
fn lines_of_tests_are_not_counted() {
    let text = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() { let _ = \"}\"; }\n}\nfn h() {}\n";
    assert_eq!(Source::new("src/domain/a.rs", text).line_count, 3);
}
