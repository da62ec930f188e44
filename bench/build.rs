//! The contract's stubs, from the server's own files.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../proto");
    println!("cargo::rerun-if-changed=../third_party/googleapis");
    let descriptors =
        protox::compile(["sightline/v1/image_analysis.proto"], ["../proto", "../third_party/googleapis"])?;
    tonic_prost_build::configure().extern_path(".google.rpc", "::tonic_types::pb").compile_fds(descriptors)?;
    Ok(())
}
