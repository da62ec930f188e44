//! The support is tested too, with the official SDK as its client: what it gets wrong, every other test gets wrong.

use std::io::Cursor;

use aws_credential_types::Credentials;
use aws_sdk_bedrockruntime::error::ProvideErrorMetadata as _;
use aws_sdk_s3::{
    operation::{get_object::builders::GetObjectFluentBuilder, list_objects_v2::builders::ListObjectsV2FluentBuilder},
    types::EncodingType,
};
use image::{DynamicImage, ImageDecoder as _, ImageReader};

use super::{
    images::{Format, Scene, find_rectangle, stored_size},
    loopback::check_signature,
    s3::{Failure, Fault, Object, S3},
};

fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "a-secret-for-loopback", None, None, "test")
}

pub(super) fn s3_client(s3: &S3) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .credentials_provider(credentials())
        .endpoint_url(s3.endpoint())
        .force_path_style(true)
        .region(aws_sdk_s3::config::Region::from_static("us-east-1"))
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled());
    aws_sdk_s3::Client::from_conf(config.build())
}

#[test]
fn a_signature_for_another_service_is_refused() {
    let mut headers = http::HeaderMap::new();
    let value = "AWS4-HMAC-SHA256 Credential=A/20261122/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    headers.insert("authorization", value.parse().unwrap());
    headers.insert("x-amz-date", "20261122T120000Z".parse().unwrap());

    assert_eq!(check_signature(&headers, "s3"), Ok(()));
    assert!(check_signature(&headers, "bedrock").is_err());
}

fn get(s3: &S3, key: &str) -> GetObjectFluentBuilder {
    s3_client(s3).get_object().bucket("photos").key(key)
}

#[tokio::test]
async fn s3_serves_objects_versions_and_conditions() {
    let s3 = S3::start().await;
    s3.set_owner("photos", "111122223333");
    let old = s3.put_object("photos", "a b/ü.png", Object::new("old").version("v1").content_type("text/plain"));
    s3.put_object("photos", "a b/ü.png", Object::new("newer").version("v2"));

    let output = get(&s3, "a b/ü.png").version_id("v1").if_match(&old).send().await.expect("the old version");
    assert_eq!((output.e_tag(), output.version_id()), (Some(old.as_str()), Some("v1")));
    assert_eq!((output.content_length(), output.content_type()), (Some(3), Some("text/plain")));
    assert_eq!(output.body.collect().await.expect("the body").into_bytes(), "old");

    let failures = [
        (get(&s3, "a b/ü.png").if_match(&old), 412, "PreconditionFailed"),
        (get(&s3, "a b/ü.png").version_id("v9"), 404, "NoSuchVersion"),
        (get(&s3, "a b/ü.png").expected_bucket_owner("444455556666"), 403, "AccessDenied"),
        (get(&s3, "missing"), 404, "NoSuchKey"),
        (get(&s3, "missing").bucket("elsewhere"), 404, "NoSuchBucket"),
    ];
    for (request, status, code) in failures {
        assert_fails(request, status, code).await;
    }
    get(&s3, "a b/ü.png").expected_bucket_owner("111122223333").send().await.expect("the right owner");
    assert_eq!(s3.requests().len(), 7);
    assert_eq!(s3.requests()[0].version_id.as_deref(), Some("v1"));
}

async fn assert_fails(request: GetObjectFluentBuilder, status: u16, code: &str) {
    let error = request.send().await.expect_err(code);
    assert_eq!(error.raw_response().map(|raw| raw.status().as_u16()), Some(status), "{code}");
    assert_eq!(error.into_service_error().code(), Some(code));
}

#[tokio::test]
async fn s3_fails_as_told() {
    let s3 = S3::start().await;
    s3.put("photos", "x", vec![7; 100_000]);
    let failures = [
        (Failure::ACCESS_DENIED, 403, "AccessDenied"),
        (Failure::INVALID_OBJECT_STATE, 403, "InvalidObjectState"),
        (Failure::SLOW_DOWN, 503, "SlowDown"),
        (Failure::INTERNAL_ERROR, 500, "InternalError"),
        (Failure::PERMANENT_REDIRECT, 301, "PermanentRedirect"),
    ];
    for (failure, status, code) in failures {
        s3.fault_times(1, "photos", "x", failure);
        assert_fails(get(&s3, "x"), status, code).await;
    }
    get(&s3, "x").send().await.expect("a fault that is used up");

    for fault in [Fault::Cut, Fault::WrongChecksum] {
        s3.fault("photos", "x", fault.clone());
        let output = get(&s3, "x").send().await.expect("headers");
        assert!(output.body.collect().await.is_err(), "{fault:?}");
    }
    s3.fault("photos", "x", Fault::WithoutLength);
    let output = get(&s3, "x").send().await.expect("headers");
    assert_eq!(output.content_length(), None);
    assert_eq!(output.body.collect().await.expect("the body").into_bytes().len(), 100_000);

    s3.fault("photos", "x", Fault::Endless);
    let mut body = get(&s3, "x").send().await.expect("headers").body;
    let mut length = 0;
    while length < 1_000_000 {
        length += body.next().await.expect("more").expect("bytes").len();
    }
}

#[tokio::test]
async fn s3_knows_when_a_hanging_client_has_gone() {
    let s3 = S3::start().await;
    s3.put("photos", "x", vec![7; 100_000]);

    s3.fault("photos", "x", Fault::Hang);
    tokio::select! {
        answer = get(&s3, "x").send() => panic!("answered: {answer:?}"),
        () = s3.received(1) => {}
    }
    s3.abandoned(1).await;

    s3.fault("photos", "x", Fault::HangInBody);
    let mut body = get(&s3, "x").send().await.expect("headers").body;
    assert!(!body.next().await.expect("a beginning").expect("bytes").is_empty());
    drop(body);
    s3.abandoned(2).await;
}

fn list(s3: &S3) -> ListObjectsV2FluentBuilder {
    s3_client(s3).list_objects_v2().bucket("photos").encoding_type(EncodingType::Url)
}

/// The keys of a page as they are: what `encoding-type=url` made of them is undone.
fn keys(page: &aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output) -> Vec<String> {
    let spelled = page.contents().iter().map(|object| object.key().expect("a key").replace('+', " "));
    spelled.map(|key| percent_encoding::percent_decode_str(&key).decode_utf8().expect("UTF-8").into_owned()).collect()
}

#[tokio::test]
async fn s3_lists_in_pages_in_the_order_of_bytes() {
    let s3 = S3::start().await;
    let all = ["a b", "a%2Bb", "a+b", "a/1", "a\u{1}\n<&>", "a~", "aZ", "a\u{fffd}", "a\u{1f4f7}", "é"];
    for key in all.iter().rev() {
        s3.put("photos", key, *key);
    }
    s3.put_object("photos", "aZ", Object::new("newer").version("v2"));
    s3.set_page_size(3);
    let mut sorted = all.map(str::to_owned);
    sorted.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));

    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let page = list(&s3).prefix("a").set_continuation_token(token.take()).send().await.expect("a page");
        assert_eq!(page.key_count(), i32::try_from(page.contents().len()).ok());
        assert_eq!((page.max_keys(), page.name(), page.prefix()), (Some(3), Some("photos"), Some("a")));
        found.extend(keys(&page));
        token = page.next_continuation_token().map(str::to_owned);
        assert_eq!(page.is_truncated(), Some(token.is_some()));
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, sorted[..9]);
    assert_eq!((s3.lists().len(), s3.gets().len()), (3, 0));
    assert!(s3.lists()[1].continuation_token.is_some() && s3.lists()[1].url_encoded);

    let page = list(&s3).start_after("a\u{fffd}").max_keys(1).send().await.expect("a page");
    assert_eq!(keys(&page), ["a\u{1f4f7}"]);
    assert_eq!(page.contents()[0].size(), Some(5));
    let etag = s3.put("photos", "a\u{1f4f7}", "again");
    let page = list(&s3).prefix("a\u{1f4f7}").send().await.expect("a page");
    assert_eq!((page.contents()[0].e_tag(), page.contents()[0].size()), (Some(etag.as_str()), Some(5)));
    let page = list(&s3).prefix("nothing").send().await.expect("an empty page");
    assert_eq!((page.key_count(), page.is_truncated()), (Some(0), Some(false)));
}

#[tokio::test]
async fn s3_lists_fail_as_told_while_objects_are_read() {
    let s3 = S3::start().await;
    for key in ["a", "b", "c"] {
        s3.put("photos", key, key);
    }
    s3.set_page_size(1);
    let code = async |request: ListObjectsV2FluentBuilder| {
        request.send().await.expect_err("a failure").into_service_error().code().map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(code(list(&s3).bucket("elsewhere")).await, "NoSuchBucket");
    assert_eq!(code(list(&s3).continuation_token("invented")).await, "InvalidArgument");
    s3.fault_page_with_times(1, "photos", "b", Failure::SLOW_DOWN);
    list(&s3).send().await.expect("the page before it");
    assert_eq!(code(list(&s3).start_after("a")).await, "SlowDown");
    list(&s3).start_after("a").send().await.expect("a fault that is used up");
    s3.fault_page_with("photos", "b", Fault::Cut);
    assert!(list(&s3).start_after("a").send().await.is_err());
    for (count, fault) in [(1, Fault::Hang), (2, Fault::HangInBody)] {
        s3.fault_page_with("photos", "b", fault);
        let lists = s3.lists().len();
        tokio::select! {
            answer = list(&s3).start_after("a").send() => panic!("answered: {answer:?}"),
            () = s3.lists_received(lists + 1) => {}
        }
        s3.abandoned(count).await;
    }
    s3.fault_lists("photos", Failure::ACCESS_DENIED);
    assert_eq!(code(list(&s3)).await, "AccessDenied");
    get(&s3, "b").send().await.expect("objects are read without s3:ListBucket");
    s3.mend_lists();
    assert_eq!(keys(&list(&s3).start_after("a").send().await.expect("a page")), ["b"]);
    assert_eq!(s3.gets(), ["b"]);
}

#[test]
fn every_orientation_shows_the_same_scene_by_another_decoder() {
    let scene = Scene::new(90, 50);
    for format in Format::WITH_EXIF {
        for orientation in 1..=8 {
            let file = scene.encode_oriented(format, orientation);
            let mut decoder =
                ImageReader::new(Cursor::new(&file)).with_guessed_format().unwrap().into_decoder().unwrap();
            let named = decoder.orientation().expect("EXIF");
            assert_eq!(named.to_exif(), orientation, "{format:?}");
            let mut picture = DynamicImage::from_decoder(decoder).expect("pixels");
            picture.apply_orientation(named);

            assert_eq!((picture.width(), picture.height()), (90, 50), "{format:?} {orientation}");
            let mut upright = Cursor::new(Vec::new());
            picture.write_to(&mut upright, image::ImageFormat::Png).unwrap();
            let found = find_rectangle(upright.get_ref()).expect("the rectangle");
            assert!(found.distance(scene.rectangle) < 0.3, "{format:?} {orientation}: {found:?}");
        }
    }
}

#[test]
fn the_rectangle_is_found_in_every_format_and_size() {
    for format in Format::ALL {
        for (width, height) in [(16, 16), (200, 133), (1568, 700)] {
            let scene = Scene::new(width, height);
            let file = scene.encode(format);
            let found = find_rectangle(&file).expect("the rectangle");
            assert!(found.distance(scene.rectangle) < 0.5, "{format:?} {width}x{height}: {found:?}");
            assert_eq!(stored_size(&file), (width, height));
            assert_eq!(image::guess_format(&file).unwrap().to_mime_type(), format.media_type());
        }
    }
}

#[test]
fn the_rectangle_is_found_after_resizing_to_a_fraction_of_a_pixel() {
    let scene = Scene::new(1600, 1000);
    let small = DynamicImage::from(scene.upright()).resize_exact(517, 323, image::imageops::FilterType::Lanczos3);
    let mut file = Cursor::new(Vec::new());
    small.write_to(&mut file, image::ImageFormat::Jpeg).unwrap();

    let found = find_rectangle(file.get_ref()).expect("the rectangle").scaled((517, 323), (1600, 1000));

    assert!(found.distance(scene.rectangle) < 1.0, "{found:?}");
}
