//! CPU time of the codecs that were candidates, and of Sightline's own, on one file:
//!
//! ```text
//! cargo run --release --manifest-path scripts/pixels/candidates/Cargo.toml -- target/pixels/pictures/camera.jpg
//! ```
//!
//! Of a JPEG it times decoding at several scales and encoding, of a PNG or WebP decoding. The best of thirty runs and the
//! median, in milliseconds of CPU, by Linux's own count.

use std::hint::black_box;
use std::io::Cursor;

use libjpeg_turbo_rs::{PixelFormat, ScalingFactor, StreamingDecoder, Subsampling};

/// Only what the codecs themselves need of the library.
#[allow(dead_code, unused_imports, reason = "the codecs' own sources, of which a part is called")]
mod domain {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Size {
        pub width: u32,
        pub height: u32,
    }
    impl Size {
        pub const fn new(width: u32, height: u32) -> Self {
            Self { width, height }
        }
        pub fn pixel_count(self) -> u64 {
            u64::from(self.width) * u64::from(self.height)
        }
    }
    impl std::fmt::Display for Size {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}x{}", self.width, self.height)
        }
    }
}

#[allow(dead_code, unused_imports, reason = "the codecs' own sources, of which a part is called")]
#[path = "."]
mod imaging {
    #[path = "../../../../src/imaging/cancel.rs"]
    mod cancel;
    #[path = "../../../../src/imaging/error.rs"]
    mod error;
    #[path = "../../../../src/imaging/jpeg_decoder/mod.rs"]
    mod jpeg_decoder;
    #[path = "../../../../src/imaging/jpeg_encoder/mod.rs"]
    mod jpeg_encoder;
    #[path = "../../../../src/imaging/planes.rs"]
    mod planes;
    #[path = "../../../../src/imaging/png_decoder/mod.rs"]
    mod png_decoder;
    #[path = "../../../../src/imaging/transpose.rs"]
    mod transpose;

    pub use cancel::Cancel;
    pub use error::ImageError;

    use crate::domain::Size;

    /// Samples of the luma.
    pub fn decode_jpeg(bytes: &[u8], luma: Size) -> usize {
        let chroma = Size::new(luma.width / 2, luma.height / 2);
        let wanted = jpeg_decoder::Wanted { full: luma, chroma };
        let decoded = jpeg_decoder::decode(bytes, &wanted, &Cancel::never()).expect("a sound file");
        decoded.components[0].plane.samples.len()
    }

    pub fn decode_png(bytes: &[u8]) -> usize {
        let mut sum = 0;
        let mut sink = |row: &[u8]| {
            sum += row.len();
            Ok(())
        };
        png_decoder::decode(bytes, &Cancel::never(), &mut sink).expect("a sound file");
        sum
    }

    pub fn encode_jpeg(rgb: &image::RgbImage) -> usize {
        let planes = jpeg_encoder::planes_of_rgb(rgb, jpeg_encoder::Chroma::Half);
        jpeg_encoder::encode(&planes, 90).expect("planes of one picture").len()
    }
}

/// Nanoseconds of CPU that this thread has had. The count is brought up to date when the thread gives way.
fn cpu() -> u64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split_whitespace().next().and_then(|field| field.parse().ok()).expect("a number")
}

fn time<T>(name: &str, mut run: impl FnMut() -> T) {
    black_box(run());
    let mut times: Vec<u64> = (0..30)
        .map(|_| {
            let start = cpu();
            black_box(run());
            cpu() - start
        })
        .collect();
    times.sort_unstable();
    println!("| {name:<52} | {:6.1} | {:6.1} |", times[0] as f64 / 1e6, times[15] as f64 / 1e6);
}

fn main() {
    println!("| what                                                 |   best | median |\n|---|---|---|");
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).expect("a file to read");
        match path.rsplit('.').next() {
            Some("png") => png(&bytes),
            Some("webp") => webp(&bytes),
            _ => jpeg(&bytes),
        }
    }
}

fn jpeg(bytes: &[u8]) {
    time("decode 8/8: zune-jpeg", || zune_jpeg::JpegDecoder::new(Cursor::new(bytes)).decode().expect("a sound file"));
    let picture = image::load_from_memory(bytes).expect("a sound file").into_rgb8();
    for (eighths, lowest_terms) in [(8, (1, 1)), (5, (5, 8)), (4, (1, 2)), (3, (3, 8))] {
        time(&format!("decode {eighths}/8: libjpeg-turbo-rs"), || {
            let mut decoder = StreamingDecoder::new(bytes).expect("a sound file");
            decoder.set_output_format(PixelFormat::Rgb);
            decoder.set_scale(ScalingFactor::try_new(lowest_terms.0, lowest_terms.1).expect("a scale"));
            decoder.decode().expect("a sound file")
        });
        let size = domain::Size::new(picture.width() * eighths / 8, picture.height() * eighths / 8);
        time(&format!("decode {eighths}/8: ours, to planes"), || imaging::decode_jpeg(bytes, size));
    }
    let small = image::imageops::thumbnail(&picture, 1270, 952);
    time("encode 1270x952, quality 90, 4:2:0: jpeg-encoder", || {
        let mut out = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut out, 90);
        encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_2_0);
        encoder.encode(&small, 1270, 952, jpeg_encoder::ColorType::Rgb).expect("a sound picture");
        out
    });
    time("encode 1270x952, quality 90, 4:2:0: libjpeg-turbo-rs", || {
        libjpeg_turbo_rs::compress(&small, 1270, 952, PixelFormat::Rgb, 90, Subsampling::S420).expect("a sound picture")
    });
    time("encode 1270x952, quality 90, 4:2:0: ours, from RGB", || imaging::encode_jpeg(&small));
}

fn png(bytes: &[u8]) {
    time("decode PNG: the png crate", || {
        let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().expect("a sound file");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size that fits")];
        reader.next_frame(&mut pixels).expect("a sound file");
        pixels
    });
    time("decode PNG: ours", || imaging::decode_png(bytes));
}

fn webp(bytes: &[u8]) {
    time("decode WebP: image-webp", || {
        let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).expect("a sound file");
        let mut pixels = vec![0; decoder.output_buffer_size().expect("a size that fits")];
        decoder.read_image(&mut pixels).expect("a sound file");
        pixels
    });
    time("decode WebP: libwebp", || webp::Decoder::new(bytes).decode().expect("a sound file").len());
}
