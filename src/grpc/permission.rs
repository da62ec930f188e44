//! Whether a caller may do what it asks: held against the policy before anything is read or paid for, a kept result included.

use std::sync::Arc;

use tonic::Request;

use super::status::{self, Failure};
use crate::{
    domain::{Caller, ModelProfile, Options, Usage},
    pipeline::{
        Analyzer, Source,
        many::{self, ListingTask, Task},
    },
    policy::{Guard, Pass, Picture, Wanted},
};

/// One caller before the policy.
#[derive(Clone)]
pub(super) struct Permission {
    pub(super) caller: Caller,
    guard: Guard,
    analyzer: Arc<Analyzer>,
}

/// Who calls, as an identity source found out; without one, nobody in particular.
pub(super) fn caller_of<T>(request: &Request<T>) -> Caller {
    request.extensions().get::<Caller>().cloned().unwrap_or_else(Caller::anonymous)
}

impl Permission {
    pub(super) fn new(caller: Caller, guard: Guard, analyzer: Arc<Analyzer>) -> Self {
        Self { caller, guard, analyzer }
    }

    /// Whether the caller may do anything at all, such as opening a stream.
    pub(super) fn known(&self) -> Result<(), Failure> {
        self.guard.knows(&self.caller).map_err(|denied| self.counted(status::denied(&self.caller, &denied)))
    }

    /// Whether the caller may ask that model.
    pub(super) fn offers(&self, model: &ModelProfile) -> bool {
        self.guard.may_use(&self.caller, model)
    }

    /// Lets a single request in.
    pub(super) fn try_enter(&self, source: &Source, options: &Options) -> Result<Pass, Failure> {
        let entered = self.guard.try_enter(&self.caller, &self.wanted(picture(source), options));
        entered.map_err(|refused| self.counted(status::refused(&self.caller, &refused)))
    }

    /// Whether the caller may list that: each of the objects is an item of its own, and held against the policy again.
    pub(super) fn listing(&self, task: &ListingTask) -> Result<(), Failure> {
        let picture = Picture::Listing { bucket: &task.listing.bucket, prefix: &task.listing.prefix };
        let decision = self.guard.decide(&self.caller, &self.wanted(picture, &task.options));
        decision.map_err(|denied| self.counted(status::denied(&self.caller, &denied)))
    }

    fn counted(&self, failure: Failure) -> Failure {
        let (_, reason) = failure.summary();
        self.analyzer.metrics().caller_denied(reason);
        failure
    }

    fn wanted<'a>(&'a self, picture: Picture<'a>, options: &Options) -> Wanted<'a> {
        let models = self.analyzer.models();
        let model = match options.model.as_deref() {
            None => Some(models.default_model()),
            Some(name) => models.find(name),
        };
        Wanted { picture, model }
    }
}

fn picture(source: &Source) -> Picture<'_> {
    match source {
        Source::Object(object) => Picture::Object { bucket: &object.bucket, key: &object.key },
        Source::Content(_) => Picture::Inline,
    }
}

#[tonic::async_trait]
impl many::Gate<Failure> for Permission {
    async fn enter(&self, task: &Task) -> Result<Box<dyn many::Pass>, Failure> {
        let wanted = self.wanted(picture(&task.source), &task.options);
        match self.guard.enter(&self.caller, &wanted).await {
            Ok(pass) => Ok(Box::new(Item(pass))),
            Err(refused) => Err(self.counted(status::refused(&self.caller, &refused))),
        }
    }
}

/// The right of an item to be in work.
struct Item(Pass);

impl many::Pass for Item {
    fn charge(&self, usage: &Usage) {
        self.0.charge(usage);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        adapters::Endpoints,
        app::App,
        config::{ServerArgs, read_policy},
        grpc::Service,
        proto::{self, image_analysis_service_server::ImageAnalysisService as _, image_source::Source},
    };

    async fn service(policy: &str) -> Service {
        let config = ServerArgs::from_environment().unwrap().config().unwrap();
        let app = App::new(&config, Some(&Endpoints::nowhere())).await.unwrap();
        let guard = Guard::new(Some(read_policy(policy, &config.models).unwrap()));
        Service::new(Arc::clone(app.service.analyzer()), guard, 1 << 20, Duration::from_secs(10))
    }

    /// A request as an identity source hands it on.
    fn by<T>(caller: Option<&str>, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(name) = caller {
            request.extensions_mut().insert(Caller::named(name));
        }
        request
    }

    const POLICY: &str = r#"
        [[rule]]
        callers = ["spiffe://example.org/ns/shop/sa/*"]
        inline = true
        requests_per_second = 0.001
        [[rule]]
        callers = ["team-a"]
        objects = ["s3://photos"]
        models = ["nova-pro"]
    "#;

    #[tokio::test]
    async fn callers_are_known_by_the_name_that_their_identity_source_gave() {
        let service = service(POLICY).await;
        let web = "spiffe://example.org/ns/shop/sa/web";
        let ask = async |caller| {
            let content = Source::Content(b"no picture".as_slice().into());
            let message = proto::AnalyzeImageRequest {
                image: Some(proto::ImageSource { source: Some(content) }),
                features: Some(proto::Features { text: Some(Default::default()), ..Default::default() }),
                ..Default::default()
            };
            let status = service.analyze_image(by(caller, message)).await.unwrap_err();
            (status.code(), status.message().to_owned())
        };
        use tonic::Code::{InvalidArgument, PermissionDenied, ResourceExhausted};
        assert_eq!(ask(Some(web)).await.0, InvalidArgument, "it is looked at, and is no picture");
        assert_eq!(ask(Some(web)).await.0, ResourceExhausted, "one in a thousand seconds");
        let another = "spiffe://example.org/ns/shop/sa/batch";
        assert_eq!(ask(Some(another)).await.0, InvalidArgument, "each caller has the limits for itself");
        for (caller, shown) in [(Some("team-a"), "team-a"), (Some("team-b"), "team-b"), (None, "without identity")] {
            let (code, message) = ask(caller).await;
            assert!(code == PermissionDenied && message.contains(shown), "{caller:?}: {code:?} {message}");
        }
    }

    #[tokio::test]
    async fn each_caller_is_shown_the_models_that_it_may_ask() {
        let service = service(POLICY).await;
        let count = async |caller| {
            let answer = service.get_capabilities(by(caller, proto::GetCapabilitiesRequest {})).await;
            answer.map(|answer| answer.into_inner().models.len()).map_err(|status| status.code())
        };
        assert_eq!(count(Some("team-a")).await, Ok(1));
        assert!(count(Some("spiffe://example.org/ns/shop/sa/web")).await.unwrap() > 10);
        assert_eq!(count(None).await, Err(tonic::Code::PermissionDenied));
    }
}
