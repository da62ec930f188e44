//! The trace of a call goes on to whoever answers in AWS's place: a gateway or a proxy on the way may be a part of it.

use aws_sdk_s3::{
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
};

use crate::spans::outgoing;

/// Puts W3C's headers of the trace into a request. After it is signed: a proxy on the way may write its own span there.
#[derive(Debug)]
pub(super) struct PassTrace;

impl Intercept for PassTrace {
    fn name(&self) -> &'static str {
        "PassTrace"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        for (name, value) in outgoing() {
            context.request_mut().headers_mut().try_insert(name, value)?;
        }
        Ok(())
    }
}
