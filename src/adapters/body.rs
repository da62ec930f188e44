//! The body of a response whose operation gives its parts alone: some callers want it as the service sent it.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_bedrockruntime::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::AfterDeserializationInterceptorContextRef},
    error::BoxError,
};
use bytes::Bytes;

/// Keeps the body of the response of one call.
#[derive(Debug, Clone, Default)]
pub(super) struct BodyKeeper(Arc<Mutex<Option<Bytes>>>);

impl BodyKeeper {
    /// The body, once there was a response.
    pub(super) fn body(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Intercept for BodyKeeper {
    fn name(&self) -> &'static str {
        "BodyKeeper"
    }

    /// By now all of the body has been read.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().map(Bytes::copy_from_slice);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}
