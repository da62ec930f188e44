//! `sightline iam-policy`: the least IAM policy for a configuration, as JSON.

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::plain;
use crate::{
    catalog::Models,
    config::ServerArgs,
    domain::ModelProfile,
    iam::{
        self, Account, BatchRole, Bucket, Home, KmsKey, Made, Model, Partition, Place, Prefix, Region, Wanted,
        batch_role, batch_trust,
    },
};

/// For whom, for which pictures, and the settings of the server.
#[derive(Debug, Args)]
pub struct IamPolicyArgs {
    /// Buckets that pictures are read from: names, or ARNs of access points.
    #[arg(long = "bucket", value_name = "BUCKET,BUCKET", value_delimiter = ',')]
    buckets: Vec<Bucket>,

    /// What the keys of pictures begin with, in each of the buckets; may be given more than once. [default: every key]
    #[arg(long = "prefix", value_name = "PREFIX")]
    prefixes: Vec<Prefix>,

    /// Allow listings: streams list prefixes, and a missing key is then NOT_FOUND.
    #[arg(long)]
    list: bool,

    /// Allow versions: requests name a version_id.
    #[arg(long)]
    versions: bool,

    /// ARNs of the KMS keys that the pictures are encrypted with, if they are keys of yours.
    #[arg(long = "kms-key", value_name = "ARN,ARN", value_delimiter = ',')]
    keys: Vec<KmsKey>,

    /// Where the Lambda function writes its results, as SIGHTLINE_RESULTS says it.
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    results: Option<Place>,

    /// ARN of the KMS key that the results are encrypted with, if it is a key of yours.
    #[arg(long = "results-kms-key", value_name = "ARN", requires = "results")]
    results_key: Option<KmsKey>,

    /// Account that the server runs in, of 12 digits. [default: any]
    #[arg(long, value_name = "ID")]
    account: Option<Account>,

    /// Region that Bedrock is called in. [default: AWS_DEFAULT_REGION, else any]
    #[arg(long, env = "AWS_REGION", value_name = "REGION")]
    region: Option<Region>,

    /// Partition of AWS.
    #[arg(long, default_value = "aws", value_name = "PARTITION")]
    partition: Partition,

    /// Whose policy to print.
    #[arg(long = "for", value_name = "ROLE", default_value = "sightline")]
    role: Role,

    /// For batch-operations: ARN of the function.
    #[arg(long, value_name = "ARN")]
    function: Option<String>,

    /// For batch-operations: where the manifests lie.
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    manifests: Option<Place>,

    /// For batch-operations: where the reports are written.
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    reports: Option<Place>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Whose policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// What the server or the Lambda function may do.
    Sightline,
    /// What S3 Batch Operations may do.
    BatchOperations,
    /// That S3 Batch Operations may take its role.
    BatchOperationsTrust,
}

/// The policy and what is to be said of it.
///
/// # Errors
/// When there is no such configuration, or something cannot stand in a policy.
pub fn run(args: &IamPolicyArgs) -> anyhow::Result<Made> {
    let home = Home { partition: args.partition.clone(), account: args.account.clone(), region: region(args)? };
    let mut made = match args.role {
        Role::Sightline => iam::policy(&wanted(args, home)?)?,
        Role::BatchOperations => Made { policy: batch_role(&role(args, home)?)?, notes: Vec::new() },
        Role::BatchOperationsTrust => {
            let unnamed = "jobs of any account may use the role: name yours with --account";
            let notes = if home.account.is_none() { vec![unnamed.to_owned()] } else { Vec::new() };
            Made { policy: batch_trust(&home), notes }
        }
    };
    made.notes.iter_mut().for_each(|note| *note = plain::line(note));
    Ok(made)
}

/// As AWS's tools look for it, but for profiles and machines: the policy is seldom made where the server runs.
fn region(args: &IamPolicyArgs) -> anyhow::Result<Option<Region>> {
    let other = std::env::var("AWS_DEFAULT_REGION").ok().filter(|value| !value.is_empty());
    match (&args.region, other) {
        (Some(region), _) => Ok(Some(region.clone())),
        (None, Some(other)) => Ok(Some(other.parse().context("AWS_DEFAULT_REGION")?)),
        (None, None) => Ok(None),
    }
}

fn wanted(args: &IamPolicyArgs, home: Home) -> anyhow::Result<Wanted> {
    if args.buckets.is_empty() {
        bail!("name the buckets that pictures are read from with --bucket");
    }
    Ok(Wanted {
        home,
        buckets: args.buckets.clone(),
        prefixes: args.prefixes.clone(),
        list: args.list,
        versions: args.versions,
        keys: args.keys.clone(),
        results: args.results.clone(),
        results_key: args.results_key.clone(),
        models: asked(&args.server.config()?.models),
    })
}

/// Every model that may be asked: those that callers may name, each with those that are asked in its place.
fn asked(models: &Models) -> Vec<Model> {
    let all = models.rows().flat_map(|(_, model)| [vec![model.clone()], models.fallbacks_of(model)].concat());
    // The detector is no model of Bedrock's.
    all.filter(|model| !model.is_detector).map(|ModelProfile { id, region, .. }| Model { id, region }).collect()
}

fn role(args: &IamPolicyArgs, home: Home) -> anyhow::Result<BatchRole> {
    let (Some(function), Some(manifests), Some(reports)) = (&args.function, &args.manifests, &args.reports) else {
        bail!("S3 Batch Operations needs --function, --manifests and --reports");
    };
    Ok(BatchRole { home, function: function.clone(), manifests: manifests.clone(), reports: reports.clone() })
}
