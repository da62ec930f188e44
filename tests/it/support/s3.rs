//! An S3 on loopback, path style: answers `GetObject`, `HeadObject` and `ListObjectsV2` from a map, takes `PutObject` and
//! `DeleteObject` with their conditions, fails as the test says, and keeps every request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{
    loopback::{Body, Counter, Loopback, check_signature},
    s3_list::Page,
    s3_wire::{self, Target},
    s3_write,
};
pub use super::{
    s3_list::{Dialect, ListQuery},
    s3_wire::{Failure, Fault, Object},
    s3_write::WriteFault,
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
    /// What a `ListObjectsV2` asks; `None` for every other operation.
    pub list: Option<ListQuery>,
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

/// What decides over every request for an object before anything else does.
type Hook = Arc<dyn Fn(&S3Request) -> Option<WriteFault> + Send + Sync>;

/// A fault of the listings of a bucket: of every page, or of the page that holds a key.
struct ListFault {
    bucket: String,
    key: Option<String>,
    planned: Planned,
}

#[derive(Default)]
struct State {
    buckets: Mutex<HashMap<String, Bucket>>,
    faults: Mutex<HashMap<(String, String), Planned>>,
    list_faults: Mutex<Vec<ListFault>>,
    write_faults: Mutex<Vec<s3_write::Planned>>,
    hook: Mutex<Option<Hook>>,
    /// Most keys of a page; `None` for what is asked.
    page_size: Mutex<Option<usize>>,
    dialect: Mutex<Dialect>,
    requests: Mutex<Vec<S3Request>>,
    received: Counter,
    gets: Counter,
    lists: Counter,
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

    /// Makes the next `times` requests of a method for the key fail so: those that write, and looks at what was written.
    pub fn fault_method(&self, times: usize, method: Method, bucket: &str, key: &str, fault: impl Into<WriteFault>) {
        let (bucket, key, fault) = (bucket.to_owned(), key.to_owned(), fault.into());
        let planned = s3_write::Planned { method, bucket, key, fault, left: times };
        self.state.write_faults.lock().unwrap().push(planned);
    }

    /// Has every request for an object go through `hook` first, which may make it fail.
    pub fn fail_with(&self, hook: impl Fn(&S3Request) -> Option<WriteFault> + Send + Sync + 'static) {
        *self.state.hook.lock().unwrap() = Some(Arc::new(hook));
    }

    /// The newest version of an object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        self.state.buckets.lock().unwrap().get(bucket)?.objects.get(key)?.last().cloned()
    }

    /// Every key of a bucket, in order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let buckets = self.state.buckets.lock().unwrap();
        let mut keys: Vec<_> =
            buckets.get(bucket).into_iter().flat_map(|bucket| bucket.objects.keys().cloned()).collect();
        keys.sort();
        keys
    }

    /// Takes an object away.
    pub fn remove(&self, bucket: &str, key: &str) {
        self.state.buckets.lock().unwrap().get_mut(bucket).unwrap().objects.remove(key);
    }

    /// The keys of every request of a method so far, oldest first.
    pub fn keys_of(&self, method: &Method) -> Vec<String> {
        let requests = self.state.requests.lock().unwrap();
        requests.iter().filter(|request| request.method == *method).map(|request| request.key.clone()).collect()
    }

    /// Bounds the pages of listings, so that a few objects make several pages.
    pub fn set_page_size(&self, keys: usize) {
        *self.state.page_size.lock().unwrap() = Some(keys);
    }

    /// Lists as a store that is not quite S3.
    pub fn set_dialect(&self, dialect: Dialect) {
        *self.state.dialect.lock().unwrap() = dialect;
    }

    /// Makes every listing of the bucket fail so, as without s3:ListBucket; reading objects goes on.
    pub fn fault_lists(&self, bucket: &str, fault: impl Into<Fault>) {
        self.plan_list_fault(bucket, None, (fault.into(), None));
    }

    /// Makes every request for the page that holds `key` fail so. The fault that was set last comes first.
    pub fn fault_page_with(&self, bucket: &str, key: &str, fault: impl Into<Fault>) {
        self.plan_list_fault(bucket, Some(key), (fault.into(), None));
    }

    /// Makes the next `times` requests for the page that holds `key` fail so.
    pub fn fault_page_with_times(&self, times: usize, bucket: &str, key: &str, fault: impl Into<Fault>) {
        self.plan_list_fault(bucket, Some(key), (fault.into(), Some(times)));
    }

    /// Ends all faults of listings.
    pub fn mend_lists(&self) {
        self.state.list_faults.lock().unwrap().clear();
    }

    fn plan_list_fault(&self, bucket: &str, key: Option<&str>, planned: Planned) {
        let fault = ListFault { bucket: bucket.to_owned(), key: key.map(str::to_owned), planned };
        self.state.list_faults.lock().unwrap().insert(0, fault);
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<S3Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Every listing so far, oldest first: one for each page and each attempt.
    pub fn lists(&self) -> Vec<ListQuery> {
        self.state.requests.lock().unwrap().iter().filter_map(|request| request.list.clone()).collect()
    }

    /// The keys of every `GetObject` so far, oldest first.
    pub fn gets(&self) -> Vec<String> {
        let requests = self.state.requests.lock().unwrap();
        let gets = requests.iter().filter(|request| request.list.is_none() && request.method == Method::GET);
        gets.map(|request| request.key.clone()).collect()
    }

    /// Returns once `count` objects have been asked for.
    pub async fn gets_received(&self, count: usize) {
        self.state.gets.reaches(count).await;
    }

    /// Returns once `count` pages have been asked for.
    pub async fn lists_received(&self, count: usize) {
        self.state.lists.reaches(count).await;
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
        let (request, sent) = request.into_parts();
        let Some(target) = Target::parse(&request.uri) else {
            return Failure::NOT_IMPLEMENTED.response("", "");
        };
        let (bucket, key) = (target.bucket.clone(), target.key.clone());
        let list = ListQuery::parse(&request.uri).filter(|_| key.is_empty());
        let seen = S3Request {
            method: request.method.clone(),
            bucket: bucket.clone(),
            key: key.clone(),
            version_id: target.version_id.clone(),
            list: list.clone(),
            headers: request.headers.clone(),
        };
        self.requests.lock().unwrap().push(seen.clone());
        self.received.increment();
        let is_known = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE].contains(&request.method);
        match (&list, &request.method) {
            (Some(_), _) => self.lists.increment(),
            (None, &Method::GET) => self.gets.increment(),
            _ => {}
        }
        if !is_known || (key.is_empty() && list.is_none()) {
            return Failure::NOT_IMPLEMENTED.response(&bucket, &key);
        }
        if check_signature(&request.headers, "s3").is_err() {
            return Failure::ACCESS_DENIED.response(&bucket, &key);
        }
        if let Some(query) = list {
            return self.list(&bucket, &query, &request.headers).await;
        }
        let write_fault = self.next_write_fault(&seen);
        match &write_fault {
            Some(WriteFault::Fails(failure)) => return failure.answers(&request.method, &bucket, &key),
            Some(WriteFault::Hang) => {
                let _guard = self.abandoned.on_drop();
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        let lost = matches!(write_fault, Some(WriteFault::LostAnswer));
        match request.method {
            Method::GET => {}
            Method::HEAD => {
                return match self.find(&target, &request.headers) {
                    Ok(object) => s3_wire::head_response(&object),
                    Err(failure) => failure.answers(&request.method, &bucket, &key),
                };
            }
            _ => {
                let bytes = sent.collect().await.map(http_body_util::Collected::to_bytes);
                let Ok(bytes) = bytes else { return Failure::NOT_IMPLEMENTED.response(&bucket, &key) };
                let is_put = request.method == Method::PUT;
                let written = self.write(&target, |there| match is_put {
                    true => s3_write::put(there, &request.headers, bytes),
                    false => s3_write::delete(there, &request.headers),
                });
                return match written {
                    Ok(etag) => s3_write::done(etag.as_deref(), lost),
                    Err(failure) => failure.response(&bucket, &key),
                };
            }
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
        match self.find(&target, &request.headers) {
            Ok(object) => s3_wire::object_response(&object, fault.as_ref(), &self.abandoned),
            Err(failure) => failure.response(&bucket, &key),
        }
    }

    fn next_write_fault(&self, request: &S3Request) -> Option<WriteFault> {
        let hook = self.hook.lock().unwrap().clone();
        if let Some(fault) = hook.and_then(|hook| hook(request)) {
            return Some(fault);
        }
        let mut faults = self.write_faults.lock().unwrap();
        let meant = faults.iter_mut().find(|planned| {
            planned.left > 0
                && planned.method == request.method
                && planned.bucket == request.bucket
                && planned.key == request.key
        })?;
        meant.left -= 1;
        Some(meant.fault.clone())
    }

    /// Changes an object without versions in one step; returns the ETag of what is there afterwards.
    fn write(
        &self,
        target: &Target,
        change: impl FnOnce(Option<&Object>) -> s3_write::Change,
    ) -> Result<Option<String>, Failure> {
        let mut buckets = self.buckets.lock().unwrap();
        let bucket = buckets.get_mut(&target.bucket).ok_or(Failure::NO_SUCH_BUCKET)?;
        let there = bucket.objects.get(&target.key).and_then(|versions| versions.last());
        let Some(object) = change(there)? else {
            bucket.objects.remove(&target.key);
            return Ok(None);
        };
        let etag = object.etag.clone();
        bucket.objects.insert(target.key.clone(), vec![object]);
        Ok(Some(etag))
    }

    async fn list(&self, bucket: &str, query: &ListQuery, headers: &HeaderMap) -> Response<Body> {
        let page_size = self.page_size.lock().unwrap().unwrap_or(usize::MAX);
        let dialect = *self.dialect.lock().unwrap();
        let page = match self.bucket(bucket, headers, |found| query.page(&found.objects, page_size, dialect)) {
            Ok(page) => page,
            Err(failure) => return failure.response(bucket, ""),
        };
        let fault = self.next_list_fault(bucket, &page);
        match &fault {
            Some(Fault::Fails(failure)) => return failure.response(bucket, ""),
            Some(Fault::Hang) => {
                let _guard = self.abandoned.on_drop();
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        page.response(bucket, fault.as_ref(), &self.abandoned)
    }

    fn next_list_fault(&self, bucket: &str, page: &Page) -> Option<Fault> {
        let mut faults = self.list_faults.lock().unwrap();
        let holds = |fault: &ListFault| fault.key.as_ref().is_none_or(|key| page.holds(key));
        let mut meant = faults.iter_mut().filter(|fault| fault.bucket == bucket && holds(fault));
        meant.find_map(|fault| take(&mut fault.planned))
    }

    fn next_fault(&self, bucket: &str, key: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        take(faults.get_mut(&(bucket.to_owned(), key.to_owned()))?)
    }

    /// The bucket, when it is there and the caller names its owner or nobody.
    fn bucket<T>(
        &self,
        name: &str,
        headers: &HeaderMap,
        look: impl FnOnce(&Bucket) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let buckets = self.buckets.lock().unwrap();
        let bucket = buckets.get(name).ok_or(Failure::NO_SUCH_BUCKET)?;
        let expected = headers.get("x-amz-expected-bucket-owner").and_then(|value| value.to_str().ok());
        if expected.is_some_and(|expected| bucket.owner.as_deref().is_some_and(|owner| owner != expected)) {
            return Err(Failure::ACCESS_DENIED);
        }
        look(bucket)
    }

    fn find(&self, target: &Target, headers: &HeaderMap) -> Result<Object, Failure> {
        self.bucket(&target.bucket, headers, |bucket| {
            let versions = bucket.objects.get(&target.key).ok_or(Failure::NO_SUCH_KEY)?;
            let object = match &target.version_id {
                Some(id) => versions.iter().find(|object| object.version_id.as_ref() == Some(id)),
                None => versions.last(),
            };
            let object = object.ok_or(Failure::NO_SUCH_VERSION)?;
            let wanted = headers.get("if-match").and_then(|value| value.to_str().ok());
            let matches = |wanted: &str| wanted == "*" || wanted.trim_matches('"') == object.etag.trim_matches('"');
            if wanted.is_some_and(|wanted| !matches(wanted)) {
                return Err(Failure::PRECONDITION_FAILED);
            }
            Ok(object.clone())
        })
    }
}

/// The fault, when it still happens.
fn take((fault, times): &mut Planned) -> Option<Fault> {
    match times {
        Some(0) => return None,
        Some(times) => *times -= 1,
        None => {}
    }
    Some(fault.clone())
}
