//! The transport: thin handlers, conversion both ways, and THE one map from error to status. Knows the pipeline and the
//! domain, never the adapters.

mod caller;
mod connection;
mod deadline;
mod edge;
#[cfg(feature = "lambda")]
mod here;
mod listener;
mod log;
mod many;
mod observe;
mod permission;
mod readiness;
mod request;
mod response;
mod server;
mod service;
mod status;
pub mod tls;
mod violations;

pub use listener::{ConnectionLimits, Connections};
pub use readiness::{Readiness, State};
pub use server::{Transport, serve};
#[cfg(feature = "lambda")]
pub(crate) use service::Extras;
pub use service::Service;

use crate::proto::structs;
