//! What a request cost.

use std::ops::AddAssign;

/// Tokens and calls, over every attempt made for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Input tokens, cached ones not counted.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read_tokens: u64,
    /// Input tokens written to the prompt cache.
    pub cache_write_tokens: u64,
    /// Visual tokens of the picture, by the model's published rule.
    pub image_tokens: u64,
    /// Model calls made, retries counted.
    pub model_calls: u32,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
        self.image_tokens = self.image_tokens.saturating_add(other.image_tokens);
        self.model_calls = self.model_calls.saturating_add(other.model_calls);
    }
}
