//! The flags, read by hand: the core carries no parser of command lines.

use std::path::PathBuf;

use sightline::{
    domain::{OversizePolicy, VisionTier},
    imaging::{Limits, Target},
};

/// What `--help` prints.
pub const USAGE: &str = "\
Prepares picture files as the service does and says what that cost. Needs Linux's /proc.

Usage: cargo bench --no-default-features --bench prepare -- [FLAGS] FILE...

  --tier standard|high  the size the model sees [default: standard]
  --repeat N            timed runs in this process [default: 10]; with more than one, a first run is not counted
  --safe-decoders       only decoders without unsafe code and C
  --max-pixels N        largest picture, width times height [default: 100000000]
  --max-memory N        most bytes that one preparation may take [default: no limit]
  --json                one JSON object a file, on a line of its own
  --out DIR             write the prepared bytes there
  --stdin               read more file names from standard input, one a line, and answer each at once
  --once                run once, in this process, which must be fresh: memory is measured and --repeat is ignored
  --times               only the timed runs: no child process, no memory

Without --once and --times, each file is prepared in a fresh child process first, which tells its memory and may crash,
and then --repeat times in this process.

CPU time is the user's and the kernel's, of Plan::of and Plan::run together; reading the file is not in it.
Memory is resident memory of a fresh process. `over_start`: its peak, minus what it had before it read the file; so the
file itself, the result and code that was first used are in it. `beside_file`: the same without the file and without code
(pages of files); Plan::peak_memory (`plan_peak_memory`) is an upper bound of it but for what the allocator and the stack
take besides.";

/// What is measured of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Memory in a child process, then time in this one.
    Both,
    /// One run in this process, with its memory.
    Once,
    /// Time in this process.
    Times,
}

/// The flags.
#[derive(Debug, Clone)]
pub struct Options {
    /// `standard` or `high`.
    pub tier: String,
    /// What the service is willing to decode.
    pub limits: Limits,
    /// What the pictures are prepared for.
    pub target: Target,
    /// Timed runs.
    pub repeat: usize,
    /// JSON instead of a table.
    pub json: bool,
    /// Where prepared bytes go.
    pub out: Option<PathBuf>,
    /// Only say how this is used.
    pub help: bool,
    /// More names come from standard input.
    pub stdin: bool,
    /// What is measured.
    pub mode: Mode,
    /// The files.
    pub files: Vec<PathBuf>,
}

impl Options {
    /// Reads the arguments behind the program's name.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            tier: "standard".to_owned(),
            limits: Limits { max_pixels: 100_000_000, max_memory: u64::MAX, safe_decoders: false },
            target: Target { tier: VisionTier::STANDARD, oversize: OversizePolicy::Resize },
            repeat: 10,
            json: false,
            out: None,
            help: false,
            stdin: false,
            mode: Mode::Both,
            files: Vec::new(),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            options.take(argument, &mut arguments)?;
        }
        Ok(options)
    }

    /// Takes one argument, and its value out of `rest`.
    fn take(&mut self, argument: String, rest: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} lacks its value"));
        match argument.as_str() {
            // cargo says so to every benchmark.
            "--bench" => {}
            "--help" | "-h" => self.help = true,
            "--tier" => self.set_tier(value()?)?,
            "--repeat" => self.repeat = number(&value()?)?,
            "--max-pixels" => self.limits.max_pixels = number(&value()?)?,
            "--max-memory" => self.limits.max_memory = number(&value()?)?,
            "--safe-decoders" => self.limits.safe_decoders = true,
            "--json" => self.json = true,
            "--out" => self.out = Some(value()?.into()),
            "--stdin" => self.stdin = true,
            "--once" => self.mode = Mode::Once,
            "--times" => self.mode = Mode::Times,
            flag if flag.starts_with("--") => return Err(format!("there is no flag {flag}")),
            _ => self.files.push(argument.into()),
        }
        Ok(())
    }

    fn set_tier(&mut self, name: String) -> Result<(), String> {
        self.target.tier = match name.as_str() {
            "standard" => VisionTier::STANDARD,
            "high" => VisionTier::HIGH_RESOLUTION,
            other => return Err(format!("there is no tier {other}")),
        };
        self.tier = name;
        Ok(())
    }

    /// The arguments that make a child process run a file once, all but the file.
    pub fn for_child(&self) -> Vec<String> {
        let mut arguments = vec!["--once".to_owned(), "--json".to_owned(), "--tier".to_owned(), self.tier.clone()];
        arguments.extend(["--max-pixels".to_owned(), self.limits.max_pixels.to_string()]);
        arguments.extend(["--max-memory".to_owned(), self.limits.max_memory.to_string()]);
        arguments.extend(self.limits.safe_decoders.then(|| "--safe-decoders".to_owned()));
        arguments
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number that fits here"))
}
