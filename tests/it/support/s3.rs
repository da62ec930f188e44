//! An S3 on loopback, path style: answers `GetObject` from a map, fails as the test says, and keeps every request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;

pub use super::s3_wire::{Failure, Fault, Object};
use super::{
    loopback::{Body, Counter, Loopback, check_signature},
    s3_wire::{self, Target},
};

/// A running server. Dropping it ends it.
pub struct S3 {
    state: Arc<State>,
    server: Loopback,
}

/// One request.
#[derive(Clone, Debug)]
pub struct S3Request {
    pub method: Method,
    pub bucket: String,
    pub key: String,
    pub version_id: Option<String>,
    pub headers: HeaderMap,
}

#[derive(Default)]
struct Bucket {
    owner: Option<String>,
    /// The versions of each key, oldest first.
    objects: HashMap<String, Vec<Object>>,
}

/// A fault and how often it still happens; `None` for ever.
type Planned = (Fault, Option<usize>);

#[derive(Default)]
struct State {
    buckets: Mutex<HashMap<String, Bucket>>,
    faults: Mutex<HashMap<(String, String), Planned>>,
    requests: Mutex<Vec<S3Request>>,
    received: Counter,
    abandoned: Counter,
}

impl S3 {
    /// Starts without a bucket.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let server = Loopback::serve({
            let state = Arc::clone(&state);
            move |request| Arc::clone(&state).respond(request)
        })
        .await;
        Self { state, server }
    }

    /// The URL for `AWS_ENDPOINT_URL_S3`.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Makes a bucket without objects, or one that exists remain.
    pub fn create_bucket(&self, bucket: &str) {
        self.state.buckets.lock().unwrap().entry(bucket.to_owned()).or_default();
    }

    /// Sets the account that owns the bucket, which is made when it does not exist.
    pub fn set_owner(&self, bucket: &str, account: &str) {
        self.state.buckets.lock().unwrap().entry(bucket.to_owned()).or_default().owner = Some(account.to_owned());
    }

    /// Stores bytes without a version and with the content type `binary/octet-stream`; returns the ETag with its quotes.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) -> String {
        self.put_object(bucket, key, Object::new(bytes))
    }

    /// Stores an object: as a further version when it has a version id, in place of all others when not. Returns the
    /// ETag with its quotes.
    pub fn put_object(&self, bucket: &str, key: &str, object: Object) -> String {
        let etag = object.etag.clone();
        let mut buckets = self.state.buckets.lock().unwrap();
        let versions = buckets.entry(bucket.to_owned()).or_default().objects.entry(key.to_owned()).or_default();
        if object.version_id.is_none() {
            versions.clear();
        }
        versions.push(object);
        etag
    }

    /// Makes every request for the key fail so.
    pub fn fault(&self, bucket: &str, key: &str, fault: impl Into<Fault>) {
        self.state.faults.lock().unwrap().insert((bucket.to_owned(), key.to_owned()), (fault.into(), None));
    }

    /// Makes the next `times` requests for the key fail so.
    pub fn fault_times(&self, times: usize, bucket: &str, key: &str, fault: impl Into<Fault>) {
        self.state.faults.lock().unwrap().insert((bucket.to_owned(), key.to_owned()), (fault.into(), Some(times)));
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<S3Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Returns once `count` requests have come in.
    pub async fn received(&self, count: usize) {
        self.state.received.reaches(count).await;
    }

    /// Returns once the client has dropped `count` requests that a hanging fault kept waiting.
    pub async fn abandoned(&self, count: usize) {
        self.state.abandoned.reaches(count).await;
    }
}

impl State {
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let Some(target) = Target::parse(request.uri()) else {
            return Failure::NOT_IMPLEMENTED.response("", "");
        };
        let (bucket, key) = (target.bucket.clone(), target.key.clone());
        self.requests.lock().unwrap().push(S3Request {
            method: request.method().clone(),
            bucket: bucket.clone(),
            key: key.clone(),
            version_id: target.version_id.clone(),
            headers: request.headers().clone(),
        });
        self.received.increment();
        if request.method() != Method::GET || key.is_empty() {
            return Failure::NOT_IMPLEMENTED.response(&bucket, &key);
        }
        if check_signature(request.headers(), "s3").is_err() {
            return Failure::ACCESS_DENIED.response(&bucket, &key);
        }
        let fault = self.next_fault(&bucket, &key);
        match fault {
            Some(Fault::Fails(failure)) => return failure.response(&bucket, &key),
            Some(Fault::Hang) => {
                let _guard = self.abandoned.on_drop();
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        match self.find(&target, request.headers()) {
            Ok(object) => s3_wire::object_response(&object, fault.as_ref(), &self.abandoned),
            Err(failure) => failure.response(&bucket, &key),
        }
    }

    fn next_fault(&self, bucket: &str, key: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let (fault, times) = faults.get_mut(&(bucket.to_owned(), key.to_owned()))?;
        match times {
            Some(0) => return None,
            Some(times) => *times -= 1,
            None => {}
        }
        Some(fault.clone())
    }

    fn find(&self, target: &Target, headers: &HeaderMap) -> Result<Object, Failure> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let buckets = self.buckets.lock().unwrap();
        let bucket = buckets.get(&target.bucket).ok_or(Failure::NO_SUCH_BUCKET)?;
        let expected_owner = header("x-amz-expected-bucket-owner");
        if expected_owner.is_some_and(|expected| bucket.owner.as_deref().is_some_and(|owner| owner != expected)) {
            return Err(Failure::ACCESS_DENIED);
        }
        let versions = bucket.objects.get(&target.key).ok_or(Failure::NO_SUCH_KEY)?;
        let object = match &target.version_id {
            Some(id) => versions.iter().find(|object| object.version_id.as_ref() == Some(id)),
            None => versions.last(),
        };
        let object = object.ok_or(Failure::NO_SUCH_VERSION)?;
        let matches = |wanted: &str| wanted == "*" || wanted.trim_matches('"') == object.etag.trim_matches('"');
        if header("if-match").is_some_and(|wanted| !matches(wanted)) {
            return Err(Failure::PRECONDITION_FAILED);
        }
        Ok(object.clone())
    }
}
