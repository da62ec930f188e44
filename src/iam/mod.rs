//! The least IAM policy that a configuration needs. No I/O: what is asked for goes in, a document and remarks on it come out.

mod batch;
mod document;
mod models;
mod names;
mod regions;

pub use batch::{BatchRole, batch_role, batch_trust};
pub use document::{MAX_INLINE, MAX_MANAGED, Policy};
use document::{Statement, Values};
pub use models::Model;
use models::Resources;
pub use names::{Account, Bucket, KmsKey, Partition, Place, Prefix, Region};

/// Why there is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each field is the text that was given, and why it is not taken")]
pub enum IamError {
    /// No partition's name.
    #[error("{given:?} is no partition: write aws, aws-cn or aws-us-gov")]
    Partition { given: String },
    /// No account's number.
    #[error("{given:?} is no account: its number has 12 digits")]
    Account { given: String },
    /// No Region's code.
    #[error("{given:?} is no Region: write its code, such as eu-west-1")]
    Region { given: String },
    /// No bucket that a policy can name.
    #[error("{given:?} is no bucket for a policy: {why}")]
    Bucket { given: String, why: &'static str },
    /// Nothing that keys begin with.
    #[error("{given:?} is no prefix of keys: {why}")]
    Prefix { given: String, why: &'static str },
    /// No place in S3.
    #[error("{given:?} is no place in S3: write s3://BUCKET/PREFIX")]
    Place { given: String },
    /// No KMS key that a policy can name.
    #[error("{given:?} is no KMS key for a policy: {why}")]
    Key { given: String, why: &'static str },
    /// No function of Lambda.
    #[error("{given:?} is no function: write its ARN, arn:aws:lambda:REGION:ACCOUNT:function:NAME")]
    Function { given: String },
    /// No id of Bedrock's.
    #[error(
        "the model {given:?} cannot stand in a policy: ids and ARNs have letters, digits, and - _ . : / between them; \
         `sightline models` lists what is configured"
    )]
    Model { given: String },
    /// Something of another partition than the rest.
    #[error("{given} lies in the partition {found}, and the policy is for {wanted}: say --partition {found}")]
    OtherPartition { given: String, found: String, wanted: String },
}

/// Where the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Its partition.
    pub partition: Partition,
    /// Its account; `None` where it is not known.
    pub account: Option<Account>,
    /// The Region that it calls Bedrock in; `None` where it is not known.
    pub region: Option<Region>,
}

impl Home {
    fn account(&self) -> String {
        self.account.as_ref().map_or_else(|| "*".to_owned(), Account::to_string)
    }

    fn region(&self) -> String {
        self.region.as_ref().map_or_else(|| "*".to_owned(), Region::to_string)
    }

    /// Whether an ARN's partition, if there is one, is ours.
    fn must_be(&self, partition: Option<&str>, given: &str) -> Result<(), IamError> {
        let wanted = self.partition.to_string();
        match partition.filter(|found| *found != wanted) {
            Some(found) => Err(IamError::OtherPartition { given: given.to_owned(), found: found.to_owned(), wanted }),
            None => Ok(()),
        }
    }
}

/// What the server, or the function, is to be able to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it runs.
    pub home: Home,
    /// The buckets that pictures are read from.
    pub buckets: Vec<Bucket>,
    /// What the keys of pictures begin with, in all of the buckets; none: every key.
    pub prefixes: Vec<Prefix>,
    /// Whether these are listed too.
    pub list: bool,
    /// Whether versions of objects are read.
    pub versions: bool,
    /// The keys that pictures are encrypted with.
    pub keys: Vec<KmsKey>,
    /// Where the function writes its results.
    pub results: Option<Place>,
    /// The key that results are encrypted with.
    pub results_key: Option<KmsKey>,
    /// Every model that may be asked, fallbacks included.
    pub models: Vec<Model>,
}

/// A policy, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The document.
    pub policy: Policy,
    /// Where it is wider than it need be, or does not do alone. In whole sentences, without a full stop.
    pub notes: Vec<String>,
}

/// The least policy that does what is wanted.
///
/// # Errors
/// When a model cannot stand in a policy, or something lies in another partition.
pub fn policy(wanted: &Wanted) -> Result<Made, IamError> {
    let home = &wanted.home;
    let places = wanted.buckets.iter().chain(wanted.results.as_ref().map(|place| &place.bucket));
    for bucket in places {
        home.must_be(bucket.partition(), &bucket.to_string())?;
    }
    for key in wanted.keys.iter().chain(&wanted.results_key) {
        home.must_be(key.partition(), key.arn())?;
    }
    let mut notes = notes_on(wanted);
    let resources = Resources::of(&wanted.models, home, &mut notes)?;
    if wanted.models.is_empty() {
        notes.push("no model of Bedrock's is configured: nothing may be asked".to_owned());
    }
    let whole = |form| {
        let parts = [pictures(wanted), invocations(&resources, home, form), results(wanted)];
        Policy::of(parts.into_iter().flatten().collect())
    };
    let mut policy = whole(Form::Exact);
    if policy.size() > MAX_MANAGED {
        policy = whole(Form::Short);
    }
    notes.extend(note_on_size(&policy));
    Ok(Made { policy, notes })
}

/// Reading, listing and decrypting pictures.
fn pictures(wanted: &Wanted) -> Vec<Statement> {
    let partition = &wanted.home.partition;
    let every_key = [Prefix::default()];
    let prefixes: &[Prefix] = if wanted.prefixes.is_empty() { &every_key } else { &wanted.prefixes };
    let objects =
        wanted.buckets.iter().flat_map(|bucket| prefixes.iter().map(|prefix| bucket.objects(partition, prefix)));
    let actions: &[&str] = if wanted.versions { &["s3:GetObject", "s3:GetObjectVersion"] } else { &["s3:GetObject"] };
    let mut statements = vec![Statement::allow("ReadPictures", actions, objects.collect())];
    if wanted.list {
        let buckets = wanted.buckets.iter().map(|bucket| bucket.arn(partition)).collect();
        let list = Statement::allow("ListPictures", &["s3:ListBucket"], buckets);
        let is_whole = prefixes.iter().any(Prefix::is_empty);
        let within = || prefixes.iter().map(Prefix::pattern).collect::<Values>();
        statements.push(if is_whole { list } else { list.only_if("StringLike", "s3:prefix", within()) });
    }
    if !wanted.keys.is_empty() {
        let keys = wanted.keys.iter().map(KmsKey::arn).collect();
        let via: Values = wanted.keys.iter().map(|key| key.via(partition)).collect();
        let decrypt = Statement::allow("DecryptPictures", &["kms:Decrypt"], keys);
        statements.push(decrypt.only_if("StringEquals", "kms:ViaService", via));
    }
    statements
}

/// How the condition on foundation models is written. Both come to the same: a call through a profile needs leave for the
/// profile itself as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// By the name of every profile.
    Exact,
    /// By a pattern that holds all profiles of the account and the Region.
    Short,
}

/// Asking models. Converse needs the same action as InvokeModel.
fn invocations(resources: &Resources, home: &Home, form: Form) -> Vec<Statement> {
    const INVOKE: &[&str] = &["bedrock:InvokeModel"];
    const PROFILE: &str = "bedrock:InferenceProfileArn";
    let Resources { profiles, behind, applications, alone } = resources;
    let like = |values: &Values| if values.has_patterns() { "StringLike" } else { "StringEquals" };
    let mut statements = Vec::new();
    if !profiles.is_empty() {
        let through = match form {
            Form::Exact => profiles.clone(),
            Form::Short => profiles.iter().map(any_profile).collect(),
        };
        statements.push(Statement::allow("InvokeProfiles", INVOKE, profiles.clone()));
        let models = Statement::allow("InvokeModelsBehindProfiles", INVOKE, behind.clone());
        statements.push(models.only_if(like(&through), PROFILE, through));
    }
    if !applications.is_empty() {
        let every_model = format!("arn:{}:bedrock:*::foundation-model/*", home.partition);
        statements.push(Statement::allow("InvokeApplicationProfiles", INVOKE, applications.clone()));
        let models = Statement::allow("InvokeModelsBehindApplicationProfiles", INVOKE, every_model.into());
        statements.push(models.only_if(like(applications), PROFILE, applications.clone()));
    }
    if !alone.is_empty() {
        statements.push(Statement::allow("InvokeModels", INVOKE, alone.clone()));
    }
    statements
}

/// All profiles of the account and the Region of one.
fn any_profile(arn: &str) -> String {
    arn.rsplit_once('/').map_or_else(|| arn.to_owned(), |(all, _)| format!("{all}/*"))
}

/// Writing results once: a claim is put, read, replaced and deleted, a result is looked for and put.
fn results(wanted: &Wanted) -> Vec<Statement> {
    let Some(Place { bucket, prefix }) = &wanted.results else {
        return Vec::new();
    };
    let partition = &wanted.home.partition;
    let objects = bucket.objects(partition, prefix);
    let list = Statement::allow("FindResults", &["s3:ListBucket"], bucket.arn(partition).into());
    let mut statements = vec![
        Statement::allow("WriteResults", &["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], objects.into()),
        match prefix.is_empty() {
            true => list,
            // A read has no prefix, and whether S3 says of a missing key that it is missing hangs on this leave: it must hold
            // there too.
            false => list.only_if("StringLikeIfExists", "s3:prefix", prefix.pattern()),
        },
    ];
    if let Some(key) = &wanted.results_key {
        let encrypt = Statement::allow("EncryptResults", &["kms:Decrypt", "kms:GenerateDataKey"], key.arn().into());
        statements.push(encrypt.only_if("StringEquals", "kms:ViaService", key.via(partition)));
    }
    statements
}

/// What is to be said of the names that were given, and of those that were not.
fn notes_on(wanted: &Wanted) -> Vec<String> {
    let is_named = |model: &Model| !model.id.starts_with("arn:");
    let needs_account = wanted.models.iter().any(|model| is_named(model) && regions::behind(&model.id).is_some());
    let needs_region = wanted.models.iter().any(|model| is_named(model) && model.region.is_none());
    let points = wanted.buckets.iter().chain(wanted.results.as_ref().map(|place| &place.bucket));
    let said = [
        (
            needs_account && wanted.home.account.is_none(),
            "`*` stands for the account of inference profiles: name it with --account",
        ),
        (
            needs_region && wanted.home.region.is_none(),
            "`*` stands for the Region that Bedrock is called in: name it with --region or AWS_REGION",
        ),
        (
            points.into_iter().any(Bucket::is_access_point),
            "the bucket behind an access point must allow the same: its own policy can leave that to access points, by \
             s3:DataAccessPointAccount",
        ),
        (
            wanted.list && wanted.prefixes.iter().any(|prefix| !prefix.is_empty()),
            "listings are allowed below the prefix only, and a read says none: S3 may answer 403 instead of 404 for a key that \
             is not there",
        ),
    ];
    said.into_iter().filter(|(holds, _)| *holds).map(|(_, note)| note.to_owned()).collect()
}

fn note_on_size(policy: &Policy) -> Option<String> {
    let size = policy.size();
    (size > MAX_MANAGED).then(|| {
        let inline = match size > MAX_INLINE {
            true => "neither do the inline policies of a role, of 10,240 together",
            false => "as a role's inline policy it does, where all of them may have 10,240 together",
        };
        format!(
            "the policy has {size} characters without whitespace and does not fit a managed one, which has at most 6,144; \
             {inline}. Name fewer models with --allowed-models, or fewer buckets and prefixes"
        )
    })
}

#[cfg(test)]
mod tests;
