//! Files written here, by the standard's words, against what `image` makes of them.

use image::DynamicImage;
use proptest::prelude::*;

use super::*;

/// All kinds of pixels, as the header names them: depth and colour type.
const KINDS: [(u8, u8); 15] = [
    (1, 0),
    (2, 0),
    (4, 0),
    (8, 0),
    (16, 0),
    (8, 2),
    (16, 2),
    (1, 3),
    (2, 3),
    (4, 3),
    (8, 3),
    (8, 4),
    (16, 4),
    (8, 6),
    (16, 6),
];

/// A picture to be written.
#[derive(Debug, Clone)]
struct Picture {
    width: usize,
    height: usize,
    depth: u8,
    colour: u8,
    interlaced: bool,
    /// Pixel by pixel from the top left.
    samples: Vec<u16>,
    transparency: Option<Vec<u8>>,
    palette: Option<Vec<u8>>,
    /// Filters of the rows, over and over.
    filters: Vec<u8>,
    /// Bytes of the data chunks, over and over; one may be empty.
    parts: Vec<usize>,
}

/// A row of numbers that look random. Some repeat their neighbour, as pictures do.
fn noise(seed: u64) -> impl FnMut() -> u16 {
    let mut state = seed | 1;
    let mut last = 0;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state >> 62 != 0 {
            last = (state >> 40) as u16;
        }
        last
    }
}

impl Picture {
    fn new((width, height): (usize, usize), (depth, colour): (u8, u8), seed: u64) -> Self {
        let mut noise = noise(seed);
        let channels = [1, 0, 3, 1, 2, 0, 4][usize::from(colour)];
        let colours = 1 << depth.min(8);
        let samples = (0..width * height * channels).map(|_| noise() >> (16 - depth)).collect();
        let palette = (colour == 3).then(|| (0..3 * colours).map(|_| noise() as u8).collect());
        Self {
            width,
            height,
            depth,
            colour,
            interlaced: false,
            samples,
            transparency: None,
            palette,
            filters: vec![0, 1, 2, 3, 4],
            parts: vec![usize::MAX],
        }
    }

    fn interlaced(self) -> Self {
        Self { interlaced: true, ..self }
    }

    fn filtered(self, filter: u8) -> Self {
        Self { filters: vec![filter], ..self }
    }

    /// Some of the palette's colours, or the colour of the first pixel, are transparent.
    fn transparent(self) -> Self {
        let of_pixel = || self.samples[..self.channels()].iter().flat_map(|sample| sample.to_be_bytes()).collect();
        let transparency = match self.colour {
            0 | 2 => Some(of_pixel()),
            3 => Some(vec![128, 0, 255][..2].to_vec()),
            _ => None,
        };
        Self { transparency, ..self }
    }

    fn channels(&self) -> usize {
        [1, 0, 3, 1, 2, 0, 4][usize::from(self.colour)]
    }

    /// Every `step`th pixel from `first` on, packed and filtered.
    fn pass(&self, first: (usize, usize), step: (usize, usize)) -> Vec<u8> {
        let channels = self.channels();
        let bits = channels * usize::from(self.depth);
        let mut filters = self.filters.iter().cycle();
        let (mut bytes, mut above) = (Vec::new(), Vec::new());
        for y in (first.1..self.height).step_by(step.1) {
            let pixels = (first.0..self.width).step_by(step.0).map(|x| (y * self.width + x) * channels);
            let samples: Vec<u16> = pixels.flat_map(|at| self.samples[at..at + channels].to_vec()).collect();
            if samples.is_empty() {
                continue;
            }
            let row = packed(&samples, self.depth);
            bytes.extend(filtered(&row, &above, bits.div_ceil(8), *filters.next().unwrap()));
            above = row;
        }
        bytes
    }

    /// What the data chunks hold once inflated.
    fn inflated(&self) -> Vec<u8> {
        if !self.interlaced {
            return self.pass((0, 0), (1, 1));
        }
        // The standard's table, section 8.1, as where a pass starts and how far apart its pixels are.
        let passes: [[usize; 4]; 7] =
            [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
        passes.map(|[x, y, dx, dy]| self.pass((x, y), (dx, dy))).concat()
    }

    fn file(&self) -> Vec<u8> {
        self.file_of(&fdeflate::compress_to_vec(&self.inflated()))
    }

    /// The file with another zlib stream in it.
    fn file_of(&self, stream: &[u8]) -> Vec<u8> {
        let size = [(self.width as u32).to_be_bytes(), (self.height as u32).to_be_bytes()].concat();
        let kind = [self.depth, self.colour, 0, 0, u8::from(self.interlaced)];
        let mut file = [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &[&size[..], &kind].concat())[..]].concat();
        self.palette.iter().for_each(|palette| file.extend(chunk(b"PLTE", palette)));
        self.transparency.iter().for_each(|transparency| file.extend(chunk(b"tRNS", transparency)));
        let mut rest = stream;
        for part in self.parts.iter().cycle() {
            let (part, behind) = rest.split_at((*part).min(rest.len()));
            file.extend(chunk(b"IDAT", part));
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        [file, chunk(b"IEND", &[])].concat()
    }
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let checked = [name, body].concat();
    let checksum = crc32fast::hash(&checked).to_be_bytes();
    [&(body.len() as u32).to_be_bytes(), &checked[..], &checksum].concat()
}

/// Samples as bytes, the first in the highest bits.
fn packed(samples: &[u16], depth: u8) -> Vec<u8> {
    let bits: Vec<u8> =
        samples.iter().flat_map(|sample| (0..depth).rev().map(move |bit| (sample >> bit & 1) as u8)).collect();
    bits.chunks(8).map(|bits| (0..8).fold(0, |byte, at| byte << 1 | bits.get(at).unwrap_or(&0))).collect()
}

/// A row behind its filter's number, in the words of section 9.
fn filtered(row: &[u8], above: &[u8], pixel: usize, filter: u8) -> Vec<u8> {
    let at = |row: &[u8], at: Option<usize>| at.and_then(|at| row.get(at)).map_or(0, |byte| i32::from(*byte));
    let predicted = (0..row.len()).map(|x| {
        let (a, b, c) = (at(row, x.checked_sub(pixel)), at(above, Some(x)), at(above, x.checked_sub(pixel)));
        let p = a + b - c;
        let nearest = [a, b, c].into_iter().min_by_key(|value| (p - value).abs()).unwrap();
        [0, a, b, (a + b) / 2, nearest].get(usize::from(filter)).copied().unwrap_or(0)
    });
    let bytes = row.iter().zip(predicted).map(|(byte, predicted)| byte.wrapping_sub(predicted as u8));
    std::iter::once(filter).chain(bytes).collect()
}

/// All rows, and whether a pixel was transparent.
fn decoded(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, bool), ImageError> {
    let mut rows = Vec::new();
    let was_transparent = decode(bytes, &Cancel::never(), &mut |row| {
        rows.push(row.to_vec());
        Ok(())
    })?;
    Ok((rows, was_transparent))
}

/// What [`decoded`] should answer, by the other decoder.
fn wanted(bytes: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let picture = image::load_from_memory(bytes).unwrap();
    let length = picture.width() as usize * 3;
    let mut was_transparent = false;
    let on_white = |sample: u8, alpha: u8| {
        let (sample, alpha) = (u32::from(sample), u32::from(alpha));
        ((sample * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let rgb: Vec<u8> = if picture.color().has_alpha() {
        let picture = DynamicImage::into_rgba8(picture);
        was_transparent = picture.pixels().any(|pixel| pixel.0[3] != u8::MAX);
        picture.pixels().flat_map(|pixel| [0, 1, 2].map(|at| on_white(pixel.0[at], pixel.0[3]))).collect()
    } else {
        picture.into_rgb8().into_raw()
    };
    (rgb.chunks(length).map(<[u8]>::to_vec).collect(), was_transparent)
}

fn assert_as_wanted(bytes: &[u8], what: &str) {
    let found = decoded(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    let wanted = wanted(bytes);
    assert_eq!(found.1, wanted.1, "{what}: transparency");
    for (y, (found, wanted)) in found.0.iter().zip(&wanted.0).enumerate() {
        assert_eq!(found, wanted, "{what}: row {y}");
    }
    assert_eq!(found.0.len(), wanted.0.len(), "{what}: rows");
}

fn damage(bytes: &[u8]) -> String {
    match decoded(bytes) {
        Err(ImageError::Corrupt { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_pixel_is_read() {
    for kind in KINDS {
        for size in [(1, 1), (3, 2), (8, 8), (21, 35)] {
            let picture = Picture::new(size, kind, 7);
            for (name, picture) in [
                ("plain", picture.clone()),
                ("transparent", picture.clone().transparent()),
                ("interlaced", picture.clone().interlaced()),
                ("both", picture.transparent().interlaced()),
            ] {
                assert_as_wanted(&picture.file(), &format!("{kind:?}, {size:?}, {name}"));
            }
        }
    }
}

#[test]
fn every_filter_is_undone_alone() {
    for kind in [(8, 0), (8, 4), (8, 2), (8, 6), (16, 2), (16, 6)] {
        for filter in 0..=4 {
            // Wider than a block of the wavefront, and not a multiple of its rows.
            let picture = Picture::new((300, 37), kind, 9).filtered(filter);
            assert_as_wanted(&picture.file(), &format!("{kind:?}, filter {filter}"));
        }
    }
}

#[test]
fn files_of_other_encoders_are_read() {
    for (name, bytes) in [
        ("an animation's default image", &include_bytes!("../tests/data/animated.png")[..]),
        ("palette", include_bytes!("../tests/data/palette.png")),
        ("transparent palette", include_bytes!("../tests/data/palette-transparent.png")),
        ("photo", include_bytes!("../../../assets/photos/chelsea.png")),
    ] {
        assert_as_wanted(bytes, name);
    }
}

#[test]
fn a_stream_may_refer_as_far_back_as_deflate_allows() {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    // Every row repeats one of 30 kB or more above it, over several windows.
    let (width, height) = (3000_u32, 200_u32);
    let mut noise = noise(3);
    let tile: Vec<u8> = (0..32_000).map(|_| noise() as u8).collect();
    let pixels: Vec<u8> = tile.iter().copied().cycle().take((width * height * 3) as usize).collect();
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter);
    image::ImageEncoder::write_image(encoder, &pixels, width, height, image::ExtendedColorType::Rgb8).unwrap();
    assert!(bytes.len() < pixels.len() / 10, "the encoder found the repetitions");
    assert_as_wanted(&bytes, "repetitions");
}

#[test]
fn long_runs_across_the_window_keep_the_checksum() {
    // Zeros for many windows, in repetitions of 258 bytes, a few at a time: they end anywhere in a window.
    let parts = vec![3];
    let picture = Picture { samples: vec![0; 1021 * 1000], parts, ..Picture::new((1021, 1000), (8, 0), 1) };
    assert_as_wanted(&picture.filtered(0).file(), "zeros");
}

#[test]
fn a_transparency_that_does_not_suit_is_ignored() {
    let picture = Picture::new((9, 5), (8, 2), 5);
    let plain = decoded(&picture.file()).unwrap();
    let short = Picture { transparency: Some(vec![0; 5]), ..picture };
    assert_eq!(decoded(&short.file()).unwrap(), plain);
    let palette = Picture::new((9, 5), (2, 3), 5);
    let plain = decoded(&palette.file()).unwrap();
    let long = Picture { transparency: Some(vec![0; 5]), ..palette.clone() };
    assert_eq!(decoded(&long.file()).unwrap(), plain);
    let mut early = Picture { transparency: Some(vec![0; 4]), ..palette }.file();
    // Palette of 12 bytes and transparency of 4, both behind 33 bytes of header, change places.
    early[33..33 + 24 + 16].rotate_left(24);
    assert_eq!(&early[37..41], b"tRNS");
    assert_eq!(decoded(&early).unwrap(), plain);
}

#[test]
fn colours_beyond_a_short_palette_are_damage() {
    let mut picture = Picture::new((9, 5), (4, 3), 5);
    picture.samples.fill(3);
    picture.palette = Some(vec![200; 12]);
    assert!(decoded(&picture.file()).is_ok());
    *picture.samples.last_mut().unwrap() = 4;
    assert_eq!(damage(&picture.file()), "a pixel's colour is not in the PNG's palette");
    for palette in [None, Some(vec![]), Some(vec![1; 11]), Some(vec![1; 3 * 257])] {
        let reason = damage(&Picture { palette, ..picture.clone() }.file());
        assert!(reason.contains("palette"), "{reason}");
    }
}

#[test]
fn impossible_headers_are_damage() {
    let file = Picture::new((9, 5), (8, 2), 5).file();
    assert!(decoded(&file).is_ok());
    // Width and height of zero; depth, colour type, compression, filter and interlace methods that do not exist.
    for (at, value) in [(19, 0), (23, 0), (24, 4), (25, 1), (26, 1), (27, 1), (28, 2), (12, b'X')] {
        let mut file = file.clone();
        file[at] = value;
        damage(&file);
    }
    damage(&file[..8]);
    damage(&[&file[..33], &chunk(b"IEND", &[])].concat());
}

#[test]
fn a_wrong_filter_or_checksum_is_damage() {
    let picture = Picture::new((9, 25), (8, 2), 5);
    let mut wrong = picture.inflated();
    let at = 20 * 28;
    wrong[at] = 5;
    assert_eq!(
        damage(&picture.file_of(&fdeflate::compress_to_vec(&wrong))),
        "a row of the PNG names a filter that does not exist"
    );
    let mut stream = fdeflate::compress_to_vec(&picture.inflated());
    let length = stream.len();
    stream[length - 1] ^= 1;
    assert_eq!(damage(&picture.file_of(&stream)), "the PNG's picture data does not match its checksum");
    // Chunks of one byte and of none make no difference.
    let parts = Picture { parts: vec![1, 0], ..picture };
    assert_eq!(damage(&parts.file_of(&stream)), "the PNG's picture data does not match its checksum");
}

#[test]
fn too_little_data_is_damage_and_too_much_is_not() {
    for picture in [Picture::new((40, 30), (8, 2), 5), Picture::new((40, 30), (8, 2), 5).interlaced()] {
        let inflated = picture.inflated();
        let whole = decoded(&picture.file()).unwrap();
        let cut = "the PNG holds too little picture data; the file is cut off";
        for length in [0, 1, inflated.len() / 2, inflated.len() - 1] {
            assert_eq!(damage(&picture.file_of(&fdeflate::compress_to_vec(&inflated[..length]))), cut);
        }
        let stream = fdeflate::compress_to_vec(&inflated);
        for length in [0, 1, 2, stream.len() / 2] {
            assert_eq!(damage(&picture.file_of(&stream[..length])), cut);
        }
        assert_eq!(decoded(&picture.file_of(&[&stream[..], &[0x5a; 1000]].concat())).unwrap(), whole);
        assert_eq!(decoded(&picture.file_of(&stream[..stream.len() - 4])).unwrap(), whole, "no checksum");
        let more = fdeflate::compress_to_vec(&[&inflated[..], b"and more"].concat());
        assert_eq!(decoded(&picture.file_of(&more)).unwrap(), whole);
    }
}

#[test]
fn what_follows_the_data_chunks_is_not_read() {
    let picture = Picture::new((40, 30), (8, 2), 5);
    let (file, whole) = (picture.file(), decoded(&picture.file()).unwrap());
    let end = file.len() - 12;
    let behind = [&file[..end], &chunk(b"tEXt", b"x\0y"), &chunk(b"IDAT", b"nonsense"), &file[end..]].concat();
    assert_eq!(decoded(&behind).unwrap(), whole);
}

#[test]
fn a_bomb_is_not_followed_beyond_the_picture() {
    let picture = Picture::new((4, 4), (8, 2), 5);
    let mut stream = fdeflate::compress_to_vec(&[picture.inflated(), vec![0; 10_000_000]].concat());
    // Nothing that was inflated could have passed this.
    let middle = stream.len() / 2;
    stream[middle..].fill(0xff);
    assert_eq!(decoded(&picture.file_of(&stream)), decoded(&picture.file()));
}

#[test]
fn a_cut_file_is_damage_wherever_it_is_cut() {
    for picture in [Picture::new((20, 12), (8, 6), 5), Picture::new((20, 12), (4, 3), 5).transparent().interlaced()] {
        let file = Picture { parts: vec![50], ..picture }.file();
        for cut in 0..file.len() - 12 {
            damage(&file[..cut]);
        }
    }
}

#[test]
fn work_stops_when_it_is_told_to() {
    let file = Picture::new((4, 64), (8, 2), 5).file();
    let cancel = Cancel::never();
    let mut rows = 0;
    let outcome = decode(&file, &cancel, &mut |_| {
        rows += 1;
        cancel.cancel();
        Ok(())
    });
    assert_eq!(outcome, Err(ImageError::Cancelled));
    assert!(rows < 64);
    let refusal = ImageError::corrupt("enough");
    assert_eq!(decode(&file, &Cancel::never(), &mut |_| Err(refusal.clone())), Err(refusal));
}

#[test]
fn memory_is_a_few_rows_unless_the_picture_is_interlaced() {
    let file = |edge: (u32, u32), depth: u8, colour: u8, interlaced: u8| {
        let header = [&edge.0.to_be_bytes()[..], &edge.1.to_be_bytes(), &[depth, colour, 0, 0, interlaced]].concat();
        memory_of(&[&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &[])].concat())
    };
    let (plain, interlaced) = (file((4000, 3000), 8, 2, 0), file((4000, 3000), 8, 2, 1));
    assert!((4000 * 3 * 32..1_000_000).contains(&plain), "{plain}");
    assert_eq!(interlaced - plain, 36_000_000);
    assert_eq!(file((u32::MAX, u32::MAX), 16, 6, 1), u64::MAX);
}

prop_compose! {
    fn pictures()(
        size in (1_usize..70, 1_usize..40),
        kind in prop::sample::select(&KINDS[..]),
        seed in any::<u64>(),
        flags in any::<[bool; 2]>(),
        filters in prop::collection::vec(0_u8..5, 1..40),
        parts in prop::collection::vec(prop_oneof![Just(0_usize), 1..9_usize, 100..9000_usize], 0..5),
    ) -> Picture {
        let picture = Picture::new(size, kind, seed);
        let picture = if flags[0] { picture.transparent() } else { picture };
        Picture { interlaced: flags[1], filters, parts: [parts, vec![1000]].concat(), ..picture }
    }
}

proptest! {
    #[test]
    fn any_picture_is_read_as_the_other_decoder_reads_it(picture in pictures()) {
        assert_as_wanted(&picture.file(), "picture");
    }

    #[test]
    fn damaged_files_are_refused_or_have_all_their_rows(
        picture in pictures(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = picture.file();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        // The width stays small enough for a test, whatever was written there.
        bytes[16..19].fill(0);
        bytes[20..23].fill(0);
        if let Ok((rows, _)) = decoded(&bytes) {
            prop_assert_eq!(rows.len(), usize::from(bytes[23]));
            prop_assert!(rows.iter().all(|row| row.len() == 3 * usize::from(bytes[19])));
        }
    }
}
