use std::{fs, io::Cursor};

use super::{super::manifest::MAX_LINE, *};

fn listing(text: &str) -> Listing {
    match text.parse() {
        Ok(Spec::Listing(listing)) => listing,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn an_address_is_an_object_or_a_listing() {
    for (text, bucket, prefix) in [
        ("s3://photos", "photos", ""),
        ("s3://photos/", "photos", ""),
        ("s3://photos/2026/", "photos", "2026/"),
        ("s3://photos/a b//", "photos", "a b//"),
        ("s3://arn:aws:s3:r:1:accesspoint/mine", "arn:aws:s3:r:1:accesspoint/mine", ""),
        ("s3://arn:aws:s3:r:1:accesspoint/mine/2026/", "arn:aws:s3:r:1:accesspoint/mine", "2026/"),
    ] {
        let listing = listing(text);
        assert_eq!((listing.bucket.as_str(), listing.prefix.as_str()), (bucket, prefix));
        assert_eq!(listing.name().parse::<Spec>().unwrap(), Spec::Listing(listing), "its name names it");
    }
    let object = |key: &str| Spec::Object(Source::Object { bucket: "photos".into(), key: key.into() });
    for key in ["a.png", "a/b.png", "*.png", " "] {
        assert_eq!(format!("s3://photos/{key}").parse::<Spec>().unwrap(), object(key));
    }
    assert_eq!("-".parse::<Spec>().unwrap(), Spec::Manifest);
    for wrong in ["s3://", "s3:///key", "https://host/a.png"] {
        assert!(wrong.parse::<Spec>().is_err(), "{wrong}");
    }
}

/// A folder with these files, each of one byte.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    folder
}

fn sources(spec: &str) -> Sources {
    Sources { specs: vec![spec.parse().unwrap()], suffixes: vec![], except: None }
}

/// The entries as words, without the folder's own path.
fn named(sources: &Sources, folder: &Path) -> Vec<String> {
    let mut names = vec![];
    sources.each(&mut |entry| {
        names.push(shown(entry, folder));
        true
    });
    assert!(sources.count().is_none_or(|count| count == names.len() as u64));
    names
}

fn shown(entry: Entry, folder: &Path) -> String {
    let root = format!("{}/", folder.display());
    match entry {
        Entry::Picture(name, _) => name.replace(&root, ""),
        Entry::Listing(listing) => format!("listing {}", listing.name()),
        Entry::Failed(name, error) => format!("{} {}", failure::reason(&error), name.replace(&root, "")),
    }
}

#[test]
fn a_folder_is_walked_in_the_order_of_names_without_what_is_hidden() {
    let files = ["b.PNG", "a/2.jpeg", "a/1.webp", "c.txt", ".hidden.png", ".git/x.png", "a/.y/z.gif", "d.gif", "no"];
    let folder = folder(&files);
    let path = folder.path().to_str().unwrap();
    assert_eq!(named(&sources(path), folder.path()), ["a/1.webp", "a/2.jpeg", "b.PNG", "d.gif"]);
    let other = Sources { suffixes: vec![".TXT".into(), ".gif".into()], ..sources(path) };
    assert_eq!(named(&other, folder.path()), ["c.txt", "d.gif"]);
    assert_eq!(named(&sources(&format!("{path}/c.txt")), folder.path()), ["c.txt"], "a file is taken by any name");
    assert_eq!(named(&sources(&format!("{path}/.hidden.png")), folder.path()), [".hidden.png"]);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_picture_is_taken_and_one_to_a_folder_is_not() {
    let folder = folder(&["a/1.png"]);
    std::os::unix::fs::symlink(folder.path().join("a/1.png"), folder.path().join("b.png")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop.png")).unwrap();
    assert_eq!(named(&sources(folder.path().to_str().unwrap()), folder.path()), ["a/1.png", "b.png"]);
}

#[test]
fn what_this_run_writes_is_no_source() {
    let folder = folder(&["a.png", "out/a-1.png"]);
    let except = folder.path().join("out").canonicalize().unwrap();
    let sources = Sources { except: Some(except), ..sources(folder.path().to_str().unwrap()) };
    assert_eq!(named(&sources, folder.path()), ["a.png"]);
}

#[test]
fn a_glob_matches_as_in_a_shell_and_what_exists_wins() {
    let folder = folder(&["a/1.png", "a/b/2.png", "a/.3.png", "a/x.txt", "[q].png", "q.png"]);
    let named = |pattern: &str| named(&sources(&format!("{}/{pattern}", folder.path().display())), folder.path());
    assert_eq!(named("a/*"), ["a/1.png", "a/x.txt"], "a folder that matches is not walked");
    assert_eq!(named("a/**"), ["a/1.png", "a/b/2.png", "a/x.txt"]);
    assert_eq!(named("*/.*"), ["a/.3.png"]);
    assert_eq!(named("?/b/*.png"), ["a/b/2.png"]);
    assert_eq!(named("*/b"), ["SOURCE_EMPTY */b"]);
    assert_eq!(named("none/*"), ["SOURCE_EMPTY none/*"]);
    assert_eq!(named("a/"), ["a/1.png", "a/b/2.png"], "no glob");
    assert_eq!(named("*/"), ["SOURCE_EMPTY */"]);
    assert_eq!(named("**/*.png"), ["[q].png", "a/1.png", "a/b/2.png", "q.png"]);
    assert_eq!(named("[q].png"), ["[q].png"]);
    assert_eq!(named("[qr].png"), ["q.png"]);
    assert_eq!(named("*.gif"), ["SOURCE_EMPTY *.gif"]);
    assert_eq!(named("a[.png"), ["SOURCE_INVALID a[.png"]);
    assert_eq!(named("none.png"), ["none.png"], "a file that is missing says so when it is its turn");
}

#[test]
fn a_folder_without_a_picture_is_a_failure() {
    let folder = folder(&["a.txt"]);
    let names = named(&sources(folder.path().to_str().unwrap()), Path::new("/nowhere"));
    assert_eq!(names, [format!("SOURCE_EMPTY {}", folder.path().display())]);
}

#[test]
fn a_manifest_names_a_source_a_line() {
    let folder = folder(&["a b.png", "c/d.png"]);
    let root = folder.path().display().to_string();
    let text = format!("{root}/a b.png\r\n\n  \n{root}/c\ns3://p/x/\ns3://p/k\nhttps://x/y\n-\n{root}/\u{fffd}.png");
    let mut names = vec![];
    let end = sources("-").manifest(Cursor::new(text), &mut |entry| {
        names.push(shown(entry, folder.path()));
        true
    });
    assert!(end);
    let wanted = ["a b.png", "c/d.png", "listing s3://p/x/", "s3://p/k", "SOURCE_INVALID https://x/y"];
    assert_eq!(names[..5], wanted);
    assert_eq!(names[5..], ["SOURCE_INVALID -", "\u{fffd}.png"]);
}

#[test]
fn a_manifest_is_read_no_further_than_it_is_taken_and_no_longer_than_a_line() {
    let mut lines = Cursor::new("a\nb\nc\n");
    let mut taken = 0;
    sources("-").manifest(&mut lines, &mut |_| {
        taken += 1;
        taken < 2
    });
    assert_eq!(lines.position(), 4);
    let endless = format!("{}\ns3://p/k", "x".repeat(3 * MAX_LINE as usize));
    let mut failed = vec![];
    sources("-").manifest(Cursor::new(endless), &mut |entry| {
        failed.push(shown(entry, Path::new("/nowhere")));
        true
    });
    assert_eq!(failed, [format!("SOURCE_INVALID {}...", "x".repeat(100)), "s3://p/k".to_owned()]);
}

#[tokio::test]
async fn entries_come_as_they_are_taken() {
    let folder = folder(&["1.png", "2.png", "3.png"]);
    let mut entries = sources(folder.path().to_str().unwrap()).read();
    let mut names = vec![];
    while let Some(entry) = entries.recv().await {
        names.push(shown(entry, folder.path()));
    }
    assert_eq!(names, ["1.png", "2.png", "3.png"]);
}

#[cfg(unix)]
#[test]
fn a_glob_goes_through_no_link_to_a_folder_and_not_into_what_this_run_writes() {
    let folder = folder(&["a/1.png", "a/b/2.png", ".git/x/3.png", "out/4.png"]);
    for link in ["a/loop", "a/b/loop", "c"] {
        std::os::unix::fs::symlink(folder.path(), folder.path().join(link)).unwrap();
    }
    std::os::unix::fs::symlink("a/1.png", folder.path().join("5.png")).unwrap();
    let except = Some(folder.path().join("out").canonicalize().unwrap());
    let named = |pattern: &str| {
        let spec = format!("{}/{pattern}", folder.path().display());
        named(&Sources { except: except.clone(), ..sources(&spec) }, folder.path())
    };
    for pattern in ["**/*.png", "**", "**/**/*"] {
        assert_eq!(named(pattern), ["5.png", "a/1.png", "a/b/2.png"], "{pattern}");
    }
    assert_eq!(named("*/1.png"), ["a/1.png"]);
    assert_eq!(named("c/*/1.p?g"), ["c/a/1.png"], "a link that is named is a folder");
    assert_eq!(named("**/.git/**/*.png"), [".git/x/3.png"]);
}

#[test]
fn a_manifest_has_no_globs() {
    let folder = folder(&["IMG1.jpg"]);
    let name = folder.path().join("IMG[1].jpg").display().to_string();
    let mut names = vec![];
    sources("-").manifest(Cursor::new(&name), &mut |entry| {
        names.push(shown(entry, Path::new("/nowhere")));
        true
    });
    assert_eq!(names, [name]);
    let Entry::Failed(_, error) = first(&sources("none[a.jpg")) else { panic!("it is broken") };
    assert!(error.message.starts_with("there is no file none[a.jpg, and as a glob it is broken: "), "{error:?}");
}

fn first(sources: &Sources) -> Entry {
    let mut first = None;
    sources.each(&mut |entry| {
        first.get_or_insert(entry);
        true
    });
    first.unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8_stay_apart() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = folder(&[]);
    let lines = [&b"\xff\xfe.jpg"[..], b"\xff\xfd.jpg"];
    for line in lines {
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(line)), "x").unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let wanted = [r"SOURCE_INVALID \xff\xfd.jpg", r"SOURCE_INVALID \xff\xfe.jpg"];
    assert_eq!(named(&sources(path), folder.path()), wanted);
    assert_eq!(named(&sources(&format!("{path}/*.jpg")), folder.path()), wanted);
    let mut names = vec![];
    sources("-").manifest(Cursor::new(lines.join(&b'\n')), &mut |entry| {
        names.push(shown(entry, folder.path()));
        true
    });
    names.sort();
    assert_eq!(names, wanted);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_no_picture_and_is_refused_when_it_is_named() {
    let folder = folder(&["a.png"]);
    let pipe = folder.path().join("pipe.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&pipe, folder.path().join("link.png")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("z.png")).unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(named(&sources(path), folder.path()), ["a.png", "z.png"], "a link that leads nowhere says so itself");
    assert_eq!(named(&sources(&format!("{path}/*")), folder.path()), ["a.png", "z.png"]);
    let Entry::Picture(_, source) = first(&sources(pipe.to_str().unwrap())) else { panic!("it is named") };
    let error = check_regular(&source).await.unwrap_err().to_string();
    assert!(error.contains("pipe.png: it is a pipe or a device: write"), "{error}");
    check_regular(&Source::File(folder.path().join("a.png"))).await.unwrap();
}
