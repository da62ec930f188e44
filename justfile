# `just` lists the recipes; `just ci` runs what CI runs. https://just.systems

set shell := ["bash", "-euo", "pipefail", "-c"]

_default:
    @just --list --unsorted

# Everything CI runs, in its order
ci:
    bash .ci/run

# Analyse real pictures on this machine, without AWS
demo *ARGS:
    cargo run --release -- demo {{ ARGS }}

# Serve with the embedded S3 and Bedrock on 127.0.0.1:50051
serve *ARGS:
    cargo run --release -- serve --embedded {{ ARGS }}

# Put buf, grpcurl, hadolint and the Python gRPC packages into .venv
tools:
    scripts/test-tools

# Format the code
fmt:
    cargo fmt

# Formatting, lints of every feature set, the contract and the Dockerfile
lint: tools
    cargo fmt --check
    scripts/check-contract
    .venv/bin/hadolint Dockerfile
    cargo clippy --locked --lib --no-default-features -- -D warnings
    cargo clippy --locked --lib --bins --no-default-features --features server -- -D warnings
    cargo clippy --locked --all-targets -- -D warnings

# The core alone: no tokio, tonic or AWS
core:
    cargo check --locked --lib --no-default-features

# All tests, those with grpcurl and Python too
test *ARGS: tools
    SIGHTLINE_REQUIRE_TOOLS=1 cargo test --locked {{ ARGS }}

# The example clients, against target/debug/sightline
clients *ARGS:
    scripts/check-clients {{ ARGS }}

# The chart, the mesh examples, the rules and the dashboard
deployment: tools
    scripts/check-deploy

# What AnalyzeMany costs; `just bench --help` lists the flags
bench *ARGS:
    cargo bench --bench many -- {{ ARGS }}

# Each step of preparing pictures, in CPU time
bench-pixels *ARGS:
    cargo bench --no-default-features --bench pixels -- {{ ARGS }}

# Instructions of the paths that every request passes, against their baseline
instructions *ARGS:
    scripts/check-instructions {{ ARGS }}

# Pictures beside libvips, sharp and Pillow
compare-pixels *ARGS:
    scripts/compare-pixels {{ ARGS }}

# The production image; FEATURES=embedded adds the laptop stack
image FEATURES="server":
    docker build --build-arg FEATURES={{ FEATURES }} --tag sightline .
