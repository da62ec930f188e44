//! What the S3 on loopback does with writes, with the official SDK as its client.

use aws_sdk_s3::{
    error::ProvideErrorMetadata, operation::put_object::builders::PutObjectFluentBuilder, primitives::ByteStream,
};
use http::Method;

use super::{
    s3::{Failure, S3, WriteFault},
    selftest::s3_client,
};

fn put(s3: &S3, text: &'static str) -> PutObjectFluentBuilder {
    s3_client(s3).put_object().bucket("results").key("a b/k").body(ByteStream::from_static(text.as_bytes()))
}

async fn code(request: PutObjectFluentBuilder) -> String {
    let error = request.send().await.expect_err("a condition that does not hold");
    error.code().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn s3_writes_under_conditions() {
    let s3 = S3::start().await;
    s3.create_bucket("results");
    assert_eq!(code(put(&s3, "x").if_match("\"e\"")).await, "NoSuchKey");
    assert_eq!(code(put(&s3, "x").bucket("elsewhere")).await, "NoSuchBucket");
    let first = put(&s3, "first").if_none_match("*").metadata("reason", "R").send().await.expect("a new object");
    assert_eq!(code(put(&s3, "second").if_none_match("*")).await, "PreconditionFailed");
    assert_eq!(code(put(&s3, "second").if_match("\"other\"")).await, "PreconditionFailed");
    assert_eq!(s3.object("results", "a b/k").unwrap().bytes, "first");

    let client = s3_client(&s3);
    let head = || client.head_object().bucket("results").key("a b/k").send();
    let seen = head().await.expect("the object's facts");
    assert_eq!(seen.content_length(), Some(5));
    assert_eq!(seen.e_tag(), first.e_tag());
    assert_eq!(seen.metadata().and_then(|metadata| metadata.get("reason")).map(String::as_str), Some("R"));
    let age =
        aws_smithy_types::DateTime::from(std::time::SystemTime::now()).secs() - seen.last_modified().unwrap().secs();
    assert!((0..60).contains(&age), "{age}");

    let second = put(&s3, "second").if_match(first.e_tag().unwrap()).send().await.expect("the right ETag");
    let delete = |etag: &str| client.delete_object().bucket("results").key("a b/k").if_match(etag).send();
    assert_eq!(delete(first.e_tag().unwrap()).await.expect_err("another object").code(), Some("PreconditionFailed"));
    delete(second.e_tag().unwrap()).await.expect("the right object");
    assert_eq!(delete("*").await.expect_err("no object").code(), Some("NoSuchKey"));
    let gone = head().await.expect_err("no object");
    assert_eq!(gone.raw_response().map(|raw| raw.status().as_u16()), Some(404));
    assert!(gone.into_service_error().is_not_found());
    assert_eq!(s3.keys("results"), Vec::<String>::new());
    assert_eq!(s3.keys_of(&Method::DELETE).len(), 3);
    assert_eq!(s3.gets(), Vec::<String>::new(), "writes and looks are no reads");
}

#[tokio::test]
async fn s3_fails_writes_as_told() {
    let s3 = S3::start().await;
    s3.create_bucket("results");
    s3.fault_method(1, Method::PUT, "results", "a b/k", Failure::CONFLICT);
    assert_eq!(code(put(&s3, "x").if_none_match("*")).await, "ConditionalRequestConflict");
    assert!(s3.object("results", "a b/k").is_none());

    s3.fault_method(1, Method::PUT, "results", "a b/k", WriteFault::LostAnswer);
    put(&s3, "x").if_none_match("*").send().await.expect_err("an answer that breaks");
    assert_eq!(s3.object("results", "a b/k").unwrap().bytes, "x");

    s3.fail_with(|request| (request.method == Method::HEAD).then(|| Failure::ACCESS_DENIED.into()));
    let head = s3_client(&s3).head_object().bucket("results").key("a b/k").send().await.expect_err("no permission");
    assert_eq!(head.raw_response().map(|raw| raw.status().as_u16()), Some(403));
    put(&s3, "x").send().await.expect("what the hook lets through");
}
