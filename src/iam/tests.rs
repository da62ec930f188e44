use serde_json::{Value, json};

use super::*;

/// A server in one Region that may ask these models about the pictures of one bucket.
fn wanted(models: &[&str]) -> Wanted {
    Wanted {
        home: Home {
            partition: "aws".parse().unwrap(),
            account: Some("111122223333".parse().unwrap()),
            region: Some("eu-west-1".parse().unwrap()),
        },
        buckets: vec!["photos".parse().unwrap()],
        prefixes: Vec::new(),
        list: false,
        versions: false,
        keys: Vec::new(),
        results: None,
        results_key: None,
        models: models.iter().map(|id| Model { id: (*id).to_owned(), region: None }).collect(),
    }
}

fn made(wanted: &Wanted) -> (Value, Vec<String>) {
    let Made { policy, notes } = policy(wanted).unwrap();
    (serde_json::from_str(&policy.json()).unwrap(), notes)
}

/// The statement of that name.
fn statement<'a>(policy: &'a Value, sid: &str) -> &'a Value {
    let mut all = policy["Statement"].as_array().unwrap().iter();
    all.find(|statement| statement["Sid"] == sid).unwrap_or_else(|| panic!("no {sid}:\n{policy:#}"))
}

#[test]
fn a_global_profile() {
    let Made { policy, notes } = policy(&wanted(&["global.anthropic.claude-sonnet-5"])).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    insta::assert_snapshot!(policy.json());
}

#[test]
fn everything_at_once() {
    let mut wanted = wanted(&[
        "eu.anthropic.claude-sonnet-4-6",
        "jp.anthropic.claude-sonnet-4-6",
        "anthropic.claude-3-sonnet-20240229-v1:0",
        "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1b2c3d4e5f6",
        "arn:aws:bedrock:eu-west-1:111122223333:provisioned-model/abcdef",
        "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.amazon.nova-lite-v1:0",
    ]);
    wanted.models[1].region = Some("ap-northeast-1".to_owned());
    wanted.buckets.push("arn:aws:s3:eu-west-1:111122223333:accesspoint/mine".parse().unwrap());
    wanted.prefixes = vec!["2026/".parse().unwrap(), "사진/$*?".parse().unwrap()];
    (wanted.list, wanted.versions) = (true, true);
    wanted.keys = vec!["arn:aws:kms:eu-west-1:111122223333:key/mrk-1".parse().unwrap()];
    wanted.results = Some("s3://answers/sightline/".parse().unwrap());
    wanted.results_key = Some("arn:aws:kms:eu-west-1:111122223333:key/k2".parse().unwrap());
    let Made { policy, notes } = policy(&wanted).unwrap();
    insta::assert_snapshot!(format!("{}\n{}", policy.json(), notes.join("\n")));
}

#[test]
fn what_is_not_known_is_a_pattern_and_is_said() {
    let mut wanted = wanted(&["global.anthropic.claude-sonnet-5", "ca.amazon.nova-lite-v1:0", "anthropic.claude-9"]);
    (wanted.home.account, wanted.home.region) = (None, None);
    let Made { policy, notes } = policy(&wanted).unwrap();
    insta::assert_snapshot!(format!("{}\n{}", policy.json(), notes.join("\n")));
}

#[test]
fn the_region_that_is_called_is_always_behind_a_profile() {
    let mut wanted = wanted(&["us.amazon.nova-lite-v1:0"]);
    wanted.home.region = Some("ca-central-1".parse().unwrap());
    let (policy, _) = made(&wanted);
    let models = &statement(&policy, "InvokeModelsBehindProfiles")["Resource"];
    let regions: Vec<&str> =
        models.as_array().unwrap().iter().map(|arn| arn.as_str().unwrap().split(':').nth(3).unwrap()).collect();
    assert_eq!(regions, ["ca-central-1", "us-east-1", "us-east-2", "us-west-2"]);
}

#[test]
fn a_foundation_model_may_be_called_through_its_profile_only() {
    for id in ["global.amazon.nova-2-lite-v1:0", "eu.anthropic.claude-sonnet-5", "xx.anthropic.claude-sonnet-5"] {
        let (policy, _) = made(&wanted(&[id]));
        let through = &statement(&policy, "InvokeModelsBehindProfiles")["Condition"]["StringEquals"];
        let profile = &statement(&policy, "InvokeProfiles")["Resource"];
        assert_eq!(&through["bedrock:InferenceProfileArn"], profile, "{id}");
        assert_eq!(profile, &json!(format!("arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{id}")));
    }
}

#[test]
fn a_long_policy_is_written_shorter_and_one_too_long_is_said() {
    let ids = |count| (0..count).map(|n| format!("global.anthropic.claude-of-some-length-{n}-20260101-v1:0"));
    let of = |count| ids(count).collect::<Vec<_>>();
    let made_of = |count: usize| {
        let ids = of(count);
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        policy(&wanted(&ids)).unwrap()
    };
    let through = |made: &Made| {
        let policy: Value = serde_json::from_str(&made.policy.json()).unwrap();
        statement(&policy, "InvokeModelsBehindProfiles")["Condition"].clone()
    };
    let short = made_of(18);
    assert!(short.notes.is_empty() && short.policy.size() <= MAX_MANAGED, "{} {:?}", short.policy.size(), short.notes);
    let pattern = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/*";
    assert_eq!(through(&short), json!({"StringLike": {"bedrock:InferenceProfileArn": pattern}}));
    assert!(through(&made_of(10))["StringEquals"].is_object());
    let (long, longest) = (made_of(30), made_of(60));
    let said = |made: &Made| made.notes.join("\n");
    assert!(said(&long).contains("as a role's inline policy it does") && said(&long).contains("--allowed-models"));
    assert!(said(&longest).contains("neither do the inline policies"), "{}", said(&longest));
}

#[test]
fn its_length_is_counted_without_whitespace() {
    let Made { policy, .. } = policy(&wanted(&["global.anthropic.claude-sonnet-5"])).unwrap();
    let compact: Value = serde_json::from_str(&policy.json()).unwrap();
    assert_eq!(policy.size(), compact.to_string().len());
}

#[test]
fn a_prefix_stands_for_itself() {
    for (given, pattern) in [("", "*"), ("2026/", "2026/*"), ("a*b?${x}", "a${*}b${?}${$}{x}*")] {
        assert_eq!(given.parse::<Prefix>().unwrap().pattern(), pattern);
    }
}

#[test]
fn listings_are_bounded_unless_every_key_is_read() {
    let mut wanted = wanted(&[]);
    wanted.list = true;
    assert!(statement(&made(&wanted).0, "ListPictures").get("Condition").is_none());
    wanted.prefixes = vec!["a/".parse().unwrap(), "b/".parse().unwrap()];
    let condition = statement(&made(&wanted).0, "ListPictures")["Condition"].clone();
    assert_eq!(condition, json!({"StringLike": {"s3:prefix": ["a/*", "b/*"]}}));
    wanted.prefixes.push("".parse().unwrap());
    assert!(statement(&made(&wanted).0, "ListPictures").get("Condition").is_none());
}

#[test]
fn in_china_s3_has_another_domain() {
    let mut wanted = wanted(&[]);
    wanted.home.partition = "aws-cn".parse().unwrap();
    wanted.keys = vec!["arn:aws-cn:kms:cn-north-1:111122223333:key/k".parse().unwrap()];
    let (policy, _) = made(&wanted);
    assert_eq!(statement(&policy, "ReadPictures")["Resource"], "arn:aws-cn:s3:::photos/*");
    let via = &statement(&policy, "DecryptPictures")["Condition"]["StringEquals"]["kms:ViaService"];
    assert_eq!(via, "s3.cn-north-1.amazonaws.com.cn");
}

#[test]
fn nothing_wider_than_one_model_gets_in() {
    for id in
        ["*", "global.*", "us.anthropic.claude-?", "a\"b", "${x}", "arn:aws:bedrock:*:*:*/*", "arn:aws:bedrock", ""]
    {
        let error = policy(&wanted(&[id])).unwrap_err();
        assert!(matches!(&error, IamError::Model { given } if given == id), "{id}: {error:?}");
    }
}

#[test]
fn another_partition_is_said() {
    let error =
        policy(&wanted(&["arn:aws-us-gov:bedrock:us-gov-west-1:111122223333:provisioned-model/x"])).unwrap_err();
    assert!(error.to_string().ends_with("say --partition aws-us-gov"), "{error}");
    let mut other = wanted(&[]);
    other.results = Some("s3://arn:aws-cn:s3:cn-north-1:111122223333:accesspoint/mine/results/".parse().unwrap());
    assert!(matches!(policy(&other), Err(IamError::OtherPartition { .. })));
}

#[test]
fn what_is_no_name_is_refused_with_words() {
    fn said<T: std::str::FromStr<Err = IamError>>(text: &str) -> String {
        text.parse::<T>().err().unwrap_or_else(|| panic!("{text:?} was taken")).to_string()
    }
    for text in ["", "ab", "a b", "*", "photos*", "pho\"tos", &"a".repeat(256)] {
        assert!(said::<Bucket>(text).contains("3 to 63"), "{text}");
    }
    assert!(said::<Bucket>("photos/2026").contains("--prefix"));
    assert!(said::<Bucket>("mine-abcdefgh-s3alias").contains("aliases"));
    assert!(said::<Bucket>("mine--use1-az4--x-s3").contains("directory"));
    for text in [
        "arn:aws:s3:::photos",
        "arn:aws:s3:eu-west-1:111122223333:accesspoint/",
        "arn:aws:s3:eu-west-1:111122223333:accesspoint/*",
        "arn:aws:s3-object-lambda:eu-west-1:111122223333:accesspoint/mine",
        "arn:aws:s3-outposts:eu-west-1:111122223333:outpost/op/accesspoint/mine",
    ] {
        assert!(said::<Bucket>(text).contains("access points"), "{text}");
    }
    for text in ["", "11112222333", "1111222233334", "11112222333x", "*"] {
        assert!(said::<Account>(text).contains("12 digits"), "{text}");
    }
    for text in ["", "*", "euwest1", "eu-west", "EU-WEST-1", "eu--1", "eu-west-1/"] {
        assert!(said::<Region>(text).contains("eu-west-1"), "{text}");
    }
    for text in ["", "gov", "awsx", "aws-*", "AWS"] {
        assert!(said::<Partition>(text).contains("aws-cn"), "{text}");
    }
    assert!(said::<Prefix>("s3://photos/a").contains("within the bucket"));
    assert!(said::<Prefix>("a\nb").contains("control"));
    assert!(said::<Prefix>(&"a".repeat(1025)).contains("1,024"));
    for text in ["photos/2026", "", "s3://"] {
        let said = said::<Place>(text);
        assert!(said.contains("S3") || said.contains("bucket"), "{said}");
    }
    assert!(said::<KmsKey>("arn:aws:kms:eu-west-1:111122223333:alias/mine").contains("aliases"));
    for text in
        ["", "k1", "arn:aws:kms:eu-west-1:111122223333:key/*", "arn:aws:kms::111122223333:key/k", "arn:aws:s3:::k"]
    {
        assert!(said::<KmsKey>(text).contains("arn:aws:kms:"), "{text}");
    }
}

#[test]
fn names_are_taken_as_aws_writes_them() {
    for text in ["photos", "s3://photos", "my.bucket-1", "OLD_bucket"] {
        assert!(text.parse::<Bucket>().is_ok(), "{text}");
    }
    for text in ["us-gov-west-1", "ap-southeast-4", "il-central-1", "mx-central-1"] {
        assert!(text.parse::<Region>().is_ok(), "{text}");
    }
    let place: Place = "s3://arn:aws:s3:eu-west-1:111122223333:accesspoint/mine/results/".parse().unwrap();
    assert_eq!(place.bucket.to_string(), "arn:aws:s3:eu-west-1:111122223333:accesspoint/mine");
    assert_eq!(place.prefix.pattern(), "results/*");
}

#[test]
fn the_role_of_batch_operations() {
    let Wanted { home, .. } = wanted(&[]);
    let role = BatchRole {
        home: home.clone(),
        function: "arn:aws:lambda:eu-west-1:111122223333:function:sightline:live".to_owned(),
        manifests: "s3://jobs/manifests/".parse().unwrap(),
        reports: "s3://jobs/reports/".parse().unwrap(),
    };
    insta::assert_snapshot!(format!("{}\n{}", batch_role(&role).unwrap().json(), batch_trust(&home).json()));
    for function in
        ["sightline", "arn:aws:lambda:eu-west-1:111122223333:function:*", "arn:aws:lambda:eu-west-1:1:layer:x"]
    {
        let error = batch_role(&BatchRole { function: function.to_owned(), ..role.clone() }).unwrap_err();
        assert!(matches!(&error, IamError::Function { given } if given == function), "{function}: {error:?}");
    }
}
