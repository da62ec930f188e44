//! What a request cost.

use std::ops::AddAssign;

use super::Prices;

/// Tokens, calls and their price, over every attempt made for a request.
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
    /// Visual tokens of the picture, by the model's published rule; 0 when it publishes none.
    pub image_tokens: u64,
    /// Model calls made, retries and fallbacks counted.
    pub model_calls: u32,
    /// What the tokens of models with a known price cost, in 10^-12 US dollars: whole for any price in use.
    pub picodollars: u64,
    /// A model without a known price has a part in this.
    pub is_unpriced: bool,
}

impl Usage {
    /// The same usage with what its tokens cost at `prices`.
    pub fn priced(self, prices: Option<&Prices>) -> Self {
        let Some(prices) = prices else { return Self { is_unpriced: true, ..self } };
        // A price of dollars per million tokens is millions of picodollars per token.
        let part = |tokens: u64, price: f64| (tokens as f64 * price * 1e6).round() as u64;
        let picodollars = part(self.input_tokens, prices.input)
            .saturating_add(part(self.output_tokens, prices.output))
            .saturating_add(part(self.cache_read_tokens, prices.cache_read))
            .saturating_add(part(self.cache_write_tokens, prices.cache_write));
        Self { picodollars, is_unpriced: false, ..self }
    }

    /// The cost in US dollars; `None` when the price of a part is not known.
    pub fn cost_usd(&self) -> Option<f64> {
        (!self.is_unpriced).then_some(self.picodollars as f64 / 1e12)
    }

    /// All input tokens, those read from or written to the prompt cache among them.
    pub fn all_input_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.cache_read_tokens).saturating_add(self.cache_write_tokens)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
        self.image_tokens = self.image_tokens.saturating_add(other.image_tokens);
        self.model_calls = self.model_calls.saturating_add(other.model_calls);
        self.picodollars = self.picodollars.saturating_add(other.picodollars);
        self.is_unpriced = self.is_unpriced || other.is_unpriced;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_exact_and_an_unknown_one_is_never_zero() {
        let prices = Prices { input: 0.1, output: 0.5, cache_read: 0.01, cache_write: 0.125 };
        let usage = Usage { input_tokens: 1_000_000, output_tokens: 2_000, ..Usage::default() };
        assert_eq!(usage.priced(Some(&prices)).cost_usd(), Some(0.101));
        assert_eq!(usage.priced(None).cost_usd(), None);
        let mut sum = usage.priced(Some(&prices));
        sum += usage.priced(None);
        assert_eq!(sum.cost_usd(), None);
    }
}
