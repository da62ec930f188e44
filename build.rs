//! Compiles the contract to Rust stubs and to the descriptor set that reflection serves. Needs neither protoc nor a
//! network.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=third_party/googleapis");
    #[cfg(feature = "server")]
    contract::compile()?;
    Ok(())
}

#[cfg(feature = "server")]
mod contract {
    use std::{env, fs, path::PathBuf};

    use protox::prost::Message as _;

    pub fn compile() -> Result<(), Box<dyn std::error::Error>> {
        // error_details.proto is imported by nothing, but clients that reflect need it to print error details.
        let files = ["sightline/v1/image_analysis.proto", "google/rpc/error_details.proto"];
        let descriptors = protox::compile(files, ["proto", "third_party/googleapis"])?;
        let out_dir = PathBuf::from(env::var("OUT_DIR")?);
        fs::write(out_dir.join("sightline_descriptors.bin"), descriptors.encode_to_vec())?;
        tonic_prost_build::configure()
            .extern_path(".google.rpc", "::tonic_types::pb")
            .bytes(".sightline.v1.ImageSource")
            .compile_fds(descriptors)?;
        Ok(())
    }
}
