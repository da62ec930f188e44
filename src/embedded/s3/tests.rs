use std::{fs, path::Path};

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    primitives::ByteStream,
};
use tempfile::TempDir;

use super::ACCOUNT_ID;
use crate::embedded::{DEMO_PHOTOS, EmbeddedStack, test_support};

/// A stack over a folder with the bucket `box`.
async fn stack() -> (TempDir, EmbeddedStack, Client) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("box")).unwrap();
    let stack = EmbeddedStack::start(Some(folder.path().to_owned())).await.unwrap();
    let client = test_support::s3(&stack);
    (folder, stack, client)
}

fn refusal<E: ProvideErrorMetadata + std::fmt::Debug>(error: &SdkError<E>) -> (u16, String) {
    let status = error.raw_response().unwrap_or_else(|| panic!("no answer: {error:?}")).status().as_u16();
    (status, error.code().unwrap_or_default().to_owned())
}

async fn get(client: &Client, bucket: &str, key: &str) -> Result<Vec<u8>, (u16, String)> {
    let output = client.get_object().bucket(bucket).key(key).send().await.map_err(|error| refusal(&error))?;
    Ok(output.body.collect().await.unwrap().to_vec())
}

async fn put(client: &Client, key: &str, bytes: &'static [u8]) -> Result<Option<String>, (u16, String)> {
    let request = client.put_object().bucket("box").key(key).body(ByteStream::from_static(bytes));
    request.send().await.map(|output| output.e_tag).map_err(|error| refusal(&error))
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_demo_photo_arrives_whole_with_its_facts() {
    let stack = EmbeddedStack::start(None).await.unwrap();
    let client = test_support::s3(&stack);
    let output = client.get_object().bucket("photos").key("summit.jpeg").send().await.unwrap();
    let photo = DEMO_PHOTOS.iter().find(|photo| photo.name == "summit.jpeg").unwrap();
    assert_eq!(output.content_length(), Some(photo.bytes.len() as i64));
    assert_eq!(output.content_type(), Some("image/jpeg"));
    assert!(output.last_modified().is_some() && output.request_id().is_some_and(|id| !id.is_empty()));
    let etag = output.e_tag().unwrap().to_owned();
    assert!(etag.len() == 34 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    assert_eq!(output.body.collect().await.unwrap().to_vec(), photo.bytes);
    let head = client.head_object().bucket("photos").key("summit.jpeg").send().await.unwrap();
    assert_eq!((head.e_tag(), head.content_length()), (Some(etag.as_str()), Some(photo.bytes.len() as i64)));
}

#[tokio::test]
async fn what_is_put_is_a_plain_file_and_nothing_else() {
    let (folder, _stack, client) = stack().await;
    // MD5 of "hello".
    assert_eq!(put(&client, "a/b/c.txt", b"hello").await.unwrap().unwrap(), "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_eq!(fs::read(folder.path().join("box/a/b/c.txt")).unwrap(), b"hello");
    put(&client, "a/b/c.txt", b"again").await.unwrap();
    assert_eq!(get(&client, "box", "a/b/c.txt").await.unwrap(), b"again");
    put(&client, "empty", b"").await.unwrap();
    assert_eq!(get(&client, "box", "empty").await.unwrap(), b"");
    assert_eq!(
        (names_in(folder.path()), names_in(&folder.path().join("box"))),
        (vec!["box".into()], vec!["a".into(), "empty".into()])
    );
    for _twice in 0..2 {
        client.delete_object().bucket("box").key("a/b/c.txt").send().await.unwrap();
    }
    assert_eq!(get(&client, "box", "a/b/c.txt").await.unwrap_err(), (404, "NoSuchKey".into()));
}

#[tokio::test]
async fn a_changed_file_has_another_etag() {
    let (folder, _stack, client) = stack().await;
    let first = put(&client, "x", b"one").await.unwrap();
    let second = put(&client, "x", b"two").await.unwrap();
    assert_ne!(first, second);
    let head = client.head_object().bucket("box").key("x").send().await.unwrap();
    assert_eq!(head.e_tag, second);
    fs::write(folder.path().join("box/x"), "longer").unwrap();
    let head = client.head_object().bucket("box").key("x").send().await.unwrap();
    assert_ne!(head.e_tag, second);
}

#[tokio::test]
async fn a_huge_file_answers_without_being_read_whole() {
    let (folder, _stack, client) = stack().await;
    // A file with a hole: as long as it says, on disk it is nothing.
    fs::File::create(folder.path().join("box/huge")).unwrap().set_len(1 << 40).unwrap();
    let head = client.head_object().bucket("box").key("huge").send().await.unwrap();
    assert_eq!(head.content_length(), Some(1 << 40));
    let etag = head.e_tag().unwrap();
    assert!(etag.ends_with("-131072\""), "{etag}");
    let start = client.get_object().bucket("box").key("huge").if_match(etag).range("bytes=0-9").send().await.unwrap();
    assert_eq!(start.body.collect().await.unwrap().to_vec(), [0; 10]);
}

#[tokio::test]
async fn large_objects_and_ranges_come_through() {
    let (folder, _stack, client) = stack().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    client.put_object().bucket("box").key("big").body(ByteStream::from(bytes.clone())).send().await.unwrap();
    assert_eq!(fs::read(folder.path().join("box/big")).unwrap(), bytes);
    assert_eq!(get(&client, "box", "big").await.unwrap(), bytes);
    for (range, expected, named) in [
        ("bytes=10-19", &bytes[10..20], "bytes 10-19/3000000"),
        ("bytes=-5", &bytes[2_999_995..], "bytes 2999995-2999999/3000000"),
        ("bytes=2999990-", &bytes[2_999_990..], "bytes 2999990-2999999/3000000"),
    ] {
        let part = client.get_object().bucket("box").key("big").range(range).send().await.unwrap();
        assert_eq!(part.content_range(), Some(named));
        assert_eq!(part.body.collect().await.unwrap().to_vec(), expected);
    }
    let error = client.get_object().bucket("box").key("big").range("bytes=3000000-").send().await.unwrap_err();
    assert_eq!(refusal(&error), (416, "InvalidRange".into()));
}

#[tokio::test]
async fn conditions_versions_and_owners_are_checked() {
    let (_folder, _stack, client) = stack().await;
    let etag = put(&client, "x", b"x").await.unwrap().unwrap();
    let ask = || client.get_object().bucket("box").key("x");
    ask().if_match(&etag).send().await.unwrap();
    ask().if_match(etag.trim_matches('"')).send().await.unwrap();
    ask().version_id("null").expected_bucket_owner(ACCOUNT_ID).send().await.unwrap();
    let error = ask().if_match("\"0123\"").send().await.unwrap_err();
    assert_eq!(refusal(&error), (412, "PreconditionFailed".into()));
    let error = ask().if_none_match(&etag).send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 304);
    let error = ask().expected_bucket_owner("111122223333").send().await.unwrap_err();
    assert_eq!(refusal(&error), (403, "AccessDenied".into()));
    let error = ask().version_id("3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrH").send().await.unwrap_err();
    assert_eq!(refusal(&error), (404, "NoSuchVersion".into()));
    let error = ask().version_id("v1").send().await.unwrap_err();
    assert_eq!(refusal(&error), (400, "InvalidArgument".into()));
    let again = client.put_object().bucket("box").key("x").if_none_match("*").send().await.unwrap_err();
    assert_eq!(refusal(&again), (412, "PreconditionFailed".into()));
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let (folder, _stack, client) = stack().await;
    fs::write(folder.path().join("top.txt"), "").unwrap();
    fs::create_dir(folder.path().join("box/folder")).unwrap();
    let no_key = (404, "NoSuchKey".to_owned());
    let too_long = "x".repeat(300);
    for key in ["nothing", "folder", "folder/", "folder//x", "nothing/below", too_long.as_str()] {
        assert_eq!(get(&client, "box", key).await.unwrap_err(), no_key, "{key}");
    }
    for bucket in ["nowhere", "top.txt"] {
        assert_eq!(get(&client, bucket, "x").await.unwrap_err(), (404, "NoSuchBucket".into()), "{bucket}");
        let error = client.head_bucket().bucket(bucket).send().await.unwrap_err();
        assert_eq!(error.raw_response().unwrap().status().as_u16(), 404);
        let error = client.list_objects_v2().bucket(bucket).send().await.unwrap_err();
        assert_eq!(refusal(&error), (404, "NoSuchBucket".into()));
    }
    let error = client.head_object().bucket("box").key("nothing").send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 404);
    put(&client, "x", b"").await.unwrap();
    assert_eq!(put(&client, "x/y", b"").await.unwrap_err(), (400, "InvalidArgument".into()));
    assert_eq!(put(&client, "folder", b"").await.unwrap_err(), (400, "InvalidArgument".into()));
    assert_eq!(put(&client, "new/", b"").await.unwrap_err(), (400, "InvalidArgument".into()));
    assert_eq!(names_in(folder.path()), ["box", "top.txt"], "a refused upload leaves nothing behind");
}

#[tokio::test]
async fn nothing_outside_the_folder_is_reached() {
    let (folder, _stack, client) = stack().await;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    for key in ["../secret", "a/../../secret", "./secret", "/etc/passwd", ".."] {
        assert_eq!(get(&client, "box", key).await.unwrap_err(), (400, "InvalidArgument".into()), "{key}");
        assert_eq!(put(&client, key, b"x").await.unwrap_err(), (400, "InvalidArgument".into()), "{key}");
        let error = client.delete_object().bucket("box").key(key).send().await.unwrap_err();
        assert_eq!(refusal(&error), (400, "InvalidArgument".into()), "{key}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("secret")).unwrap(), "secret");
}

#[cfg(unix)]
#[tokio::test]
async fn symbolic_links_are_not_followed() {
    use std::os::unix::fs::symlink;

    let (folder, _stack, client) = stack().await;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), folder.path().join("linked-bucket")).unwrap();
    symlink(outside.path(), folder.path().join("box/linked")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("box/file")).unwrap();
    let denied = (403, "AccessDenied".to_owned());
    for (bucket, key) in [("linked-bucket", "secret"), ("box", "linked/secret"), ("box", "file")] {
        assert_eq!(get(&client, bucket, key).await.unwrap_err(), denied, "{bucket}/{key}");
    }
    for key in ["linked/new", "file"] {
        assert_eq!(put(&client, key, b"x").await.unwrap_err(), denied, "{key}");
    }
    assert_eq!(names_in(outside.path()), ["secret"]);
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    let listed = client.list_objects_v2().bucket("box").send().await.unwrap();
    assert_eq!(listed.key_count(), Some(0));
    let buckets = client.list_buckets().send().await.unwrap();
    assert_eq!(buckets.buckets().iter().filter_map(|bucket| bucket.name()).collect::<Vec<_>>(), ["box"]);
    assert_eq!(names_in(folder.path()), ["box", "linked-bucket"]);
}

#[tokio::test]
async fn keys_are_taken_literally() {
    let (folder, _stack, client) = stack().await;
    for key in
        ["a b.png", "사진/정상 회담.jpg", "a+b=c&d?e#f.png", "100%.png", "%2e%2e%2fx", "...", "quote'\"<x>", "~.é"]
    {
        put(&client, key, b"x").await.unwrap();
        assert!(folder.path().join("box").join(key).is_file(), "{key}");
        assert_eq!(get(&client, "box", key).await.unwrap(), b"x", "{key}");
    }
    let listed = client.list_objects_v2().bucket("box").prefix("사진/").send().await.unwrap();
    assert_eq!(listed.contents()[0].key(), Some("사진/정상 회담.jpg"));
}

#[tokio::test]
async fn listings_come_in_byte_order_page_by_page() {
    let (_folder, _stack, client) = stack().await;
    let mut keys = ["a", "a-b", "a/b", "b/c/d", "b/c.x", "b0", "é", "Z", "a.b"];
    // "a" cannot be both a file and a folder: it is the one S3 layout a folder cannot hold.
    keys[0] = "a!";
    for key in keys {
        put(&client, key, b"x").await.unwrap();
    }
    keys.sort_unstable();
    let names = |output: &aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output| {
        output.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect::<Vec<_>>()
    };
    let list = || client.list_objects_v2().bucket("box");
    let whole = list().send().await.unwrap();
    assert_eq!(names(&whole), keys);
    assert_eq!(whole.contents()[0].size(), Some(1));
    assert_eq!(whole.contents()[0].e_tag(), Some("\"9dd4e461268c8034f5c8564e155c67a6\""));
    assert_eq!((whole.is_truncated(), whole.key_count()), (Some(false), Some(keys.len() as i32)));

    let mut paged = Vec::new();
    let mut pages = list().into_paginator().page_size(2).send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.key_count().unwrap() <= 2);
        paged.extend(names(&page));
    }
    assert_eq!(paged, keys);
    assert_eq!(names(&list().prefix("b/").send().await.unwrap()), ["b/c.x", "b/c/d"]);
    assert_eq!(names(&list().prefix("b").start_after("b/c.x").send().await.unwrap()), ["b/c/d", "b0"]);
    let none = list().max_keys(0).send().await.unwrap();
    assert_eq!((none.key_count(), none.is_truncated()), (Some(0), Some(false)));
    let error = list().continuation_token("no token").send().await.unwrap_err();
    assert_eq!(refusal(&error), (400, "InvalidArgument".into()));
}

#[tokio::test]
async fn a_delimiter_rolls_keys_up_once_over_all_pages() {
    let (_folder, _stack, client) = stack().await;
    for key in ["a/1", "a/2", "b", "c/1", "c/d/2"] {
        put(&client, key, b"x").await.unwrap();
    }
    let mut seen = Vec::new();
    let mut pages = client.list_objects_v2().bucket("box").delimiter("/").into_paginator().page_size(1).send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        seen.extend(page.common_prefixes().iter().filter_map(|common| common.prefix().map(str::to_owned)));
        seen.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
    }
    assert_eq!(seen, ["a/", "b", "c/"]);
    let rest = client.list_objects_v2().bucket("box").delimiter("/").start_after("a/1").send().await.unwrap();
    assert_eq!(rest.common_prefixes()[0].prefix(), Some("a/"), "a/2 is still to come");
}

#[tokio::test]
async fn buckets_are_made_listed_and_refused() {
    let (folder, _stack, client) = stack().await;
    fs::create_dir(folder.path().join("Not A Bucket")).unwrap();
    client.create_bucket().bucket("another").send().await.unwrap();
    assert!(folder.path().join("another").is_dir());
    let error = client.create_bucket().bucket("another").send().await.unwrap_err();
    assert_eq!(refusal(&error), (409, "BucketAlreadyOwnedByYou".into()));
    let listed = client.list_buckets().send().await.unwrap();
    assert_eq!(listed.buckets().iter().filter_map(|bucket| bucket.name()).collect::<Vec<_>>(), ["another", "box"]);
}

#[tokio::test]
async fn only_the_stacks_key_opens_it() {
    let (_folder, stack, _client) = stack().await;
    let (id, secret) = (stack.access_key_id(), stack.secret_access_key());
    let stranger = test_support::s3_with(&stack, "AKIAAAAAAAAAAAAAAAAA", secret);
    assert_eq!(get(&stranger, "box", "x").await.unwrap_err(), (403, "InvalidAccessKeyId".into()));
    let liar = test_support::s3_with(&stack, id, "wrong");
    assert_eq!(get(&liar, "box", "x").await.unwrap_err(), (403, "SignatureDoesNotMatch".into()));
    assert_eq!(put(&liar, "x", b"x").await.unwrap_err(), (403, "SignatureDoesNotMatch".into()));
}
