//! The filtered rows of a PNG out of its zlib stream (RFC 1950 and 1951), a batch at a time.

use fdeflate::{DecompressionError, Decompressor};

use super::chunks::DataChunks;
use crate::imaging::ImageError;

/// How far back a stream may refer.
const HISTORY: usize = 32 * 1024;
/// Bytes that are free whenever the decompressor is called. It leaves bytes out of the checksum when a single
/// repetition, of 258 at most, fills all that is free and more.
const SLACK: usize = 512;
/// Least room for new bytes, so that the history is not moved for every few.
const LEAST_ROOM: usize = 96 * 1024;

/// Bytes of the window for batches of that many bytes; `None` when a number cannot hold it.
pub(super) fn window(batch: usize) -> Option<usize> {
    HISTORY.checked_add(batch.checked_add(SLACK)?.max(LEAST_ROOM))
}

/// Bytes of memory of [`Inflate`] beside its window: the decompressor's tables, whose second levels grow.
pub(super) const MEMORY: usize = 64 * 1024;

/// A picture's zlib stream, which goes on through all its data chunks.
pub(super) struct Inflate<'a> {
    chunks: DataChunks<'a>,
    /// What is left of the present chunk.
    input: &'a [u8],
    decompressor: Decompressor,
    window: Vec<u8>,
    /// Where the bytes begin that were not yet taken.
    start: usize,
    /// Where the inflated bytes end.
    end: usize,
}

impl<'a> Inflate<'a> {
    /// `window` is what [`window`] answers for the largest batch.
    pub(super) fn new(chunks: DataChunks<'a>, window: usize) -> Self {
        Self { chunks, input: &[], decompressor: Decompressor::new(), window: vec![0; window], start: 0, end: 0 }
    }

    /// The next bytes.
    ///
    /// # Errors
    ///
    /// [`ImageError::Corrupt`] when the stream is damaged or holds fewer.
    pub(super) fn take(&mut self, count: usize) -> Result<&[u8], ImageError> {
        while self.end - self.start < count {
            if !self.fill(count)? {
                return Err(ImageError::corrupt("the PNG holds too little picture data; the file is cut off"));
            }
        }
        let from = self.start;
        self.start += count;
        self.window.get(from..self.start).ok_or_else(|| damage(None))
    }

    /// Looks at the stream's end, once all of the picture was taken. What is behind the picture or behind the stream is
    /// nobody's business, and a stream that ends where its checksum should be is let pass: the chunks have checksums of
    /// their own. A stream that goes on is not followed.
    ///
    /// # Errors
    ///
    /// [`ImageError::Corrupt`] when the checksum is there and wrong, or damage is where the stream should end.
    pub(super) fn end(&mut self) -> Result<(), ImageError> {
        while self.start == self.end && self.fill(0)? {}
        Ok(())
    }

    /// Inflates as much as there is room for, room for `count` bytes from `start` on at least. Answers whether that
    /// took the stream any further.
    fn fill(&mut self, count: usize) -> Result<bool, ImageError> {
        self.make_room(count);
        while self.input.is_empty() {
            let Some(chunk) = self.chunks.next() else { break };
            self.input = chunk;
        }
        let (consumed, produced) = self
            .decompressor
            .read(self.input, &mut self.window, self.end, false)
            .map_err(|error| damage(Some(&error)))?;
        self.input = self.input.get(consumed..).unwrap_or_default();
        self.end += produced;
        Ok(consumed + produced > 0)
    }

    /// Moves the history, and what was not yet taken, to the window's front when there is too little room behind.
    fn make_room(&mut self, count: usize) {
        let needed = (self.start + count).max(self.end) + SLACK;
        if needed > self.window.len() {
            let kept = self.start.min(self.end.saturating_sub(HISTORY));
            self.window.copy_within(kept..self.end, 0);
            self.start -= kept;
            self.end -= kept;
        }
    }
}

fn damage(error: Option<&DecompressionError>) -> ImageError {
    ImageError::corrupt(match error {
        Some(DecompressionError::WrongChecksum) => "the PNG's picture data does not match its checksum",
        _ => "the PNG's picture data cannot be decompressed",
    })
}
