//! Requests that come by no transport, from another entry of this process: the same checks, permissions, log and errors.

use tonic::Status;

use super::{
    edge::Arrival,
    request, response,
    service::{Extras, Service},
};
use crate::{
    domain::{Analysis, Caller},
    pipeline::Deadline,
    proto,
};

impl Service {
    /// Answers a request on behalf of `caller`. It has until `deadline`, and at most as long as every request.
    ///
    /// # Errors
    /// The status that a caller over gRPC would get.
    pub(crate) async fn analyze_here(
        &self,
        caller: &Caller,
        deadline: Deadline,
        message: proto::AnalyzeImageRequest,
    ) -> Result<proto::ImageAnalysis, Status> {
        self.ask_here(caller, deadline, message, Extras::default()).await.map(response::analysis)
    }

    /// The same for a request that wants the model's own words, or to be asked in a way that the contract does not know.
    ///
    /// # Errors
    /// As [`Self::analyze_here`].
    pub(crate) async fn ask_here(
        &self,
        caller: &Caller,
        deadline: Deadline,
        message: proto::AnalyzeImageRequest,
        extras: Extras,
    ) -> Result<Analysis, Status> {
        let Arrival { at, deadline: longest } = self.arriving_now();
        self.analyze(Arrival { at, deadline: deadline.min(longest) }, caller, message, extras).await
    }

    /// Whether a request could be worked on, as far as its fields say.
    ///
    /// # Errors
    /// The status that its caller would get.
    pub(crate) fn check_here(&self, message: proto::AnalyzeImageRequest) -> Result<(), Status> {
        request::checked(message).map(drop).map_err(|failure| failure.into_status(None))
    }
}
