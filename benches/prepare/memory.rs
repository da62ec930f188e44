//! Memory of this process, from Linux's /proc.

use std::{fs, io};

/// Memory of this process in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// In use now (`VmRSS`).
    pub resident: u64,
    /// Most in use since [`reset_peak`] (`VmHWM`).
    pub peak: u64,
    /// Of what is in use, pages of files: the program's own code (`RssFile`).
    pub code: u64,
}

/// Memory of this process.
///
/// # Errors
///
/// `/proc` is not there or lacks a field.
pub fn now() -> io::Result<Memory> {
    let status = fs::read_to_string("/proc/self/status")?;
    let bytes = |field: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("/proc/self/status lacks {field}")))
    };
    Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")?, code: bytes("RssFile:")? })
}

/// Starts the peak anew. A kernel that does not allow it counts from the start of the process.
pub fn reset_peak() {
    let _refused = fs::write("/proc/self/clear_refs", "5");
}
