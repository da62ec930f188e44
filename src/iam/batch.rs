//! The role that S3 Batch Operations takes to call the function for each object.

use super::{
    Home, IamError, Place, Policy,
    document::{Statement, Values},
    names::{Account, Arn, Region},
};

/// The service that takes the role.
const SERVICE: &str = "batchoperations.s3.amazonaws.com";

/// What S3 Batch Operations is to be able to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRole {
    /// Where the job runs.
    pub home: Home,
    /// ARN of the function, of a version or an alias of it.
    pub function: String,
    /// Where manifests lie.
    pub manifests: Place,
    /// Where reports are written.
    pub reports: Place,
}

/// What the role may do: call the function, read manifests, write reports.
///
/// # Errors
/// When the function is none, or something lies in another partition.
pub fn batch_role(wanted: &BatchRole) -> Result<Policy, IamError> {
    let BatchRole { home, function, manifests, reports } = wanted;
    home.must_be(Some(checked(function)?.partition), function)?;
    for Place { bucket, .. } in [manifests, reports] {
        home.must_be(bucket.partition(), &bucket.to_string())?;
    }
    let read: Values = manifests.bucket.objects(&home.partition, &manifests.prefix).into();
    let write: Values = reports.bucket.objects(&home.partition, &reports.prefix).into();
    Ok(Policy::of(vec![
        Statement::allow("InvokeFunction", &["lambda:InvokeFunction"], function.as_str().into()),
        Statement::allow("ReadManifests", &["s3:GetObject", "s3:GetObjectVersion"], read),
        Statement::allow("WriteReports", &["s3:PutObject"], write),
    ]))
}

fn checked(function: &str) -> Result<Arn<'_>, IamError> {
    let wrong = || IamError::Function { given: function.to_owned() };
    let arn = Arn::read(function).filter(|arn| arn.service == "lambda").ok_or_else(wrong)?;
    let name = arn.resource.strip_prefix("function:").filter(|name| !name.is_empty() && !name.contains('/'));
    let is_placed = arn.region.parse::<Region>().is_ok() && arn.account.parse::<Account>().is_ok();
    name.filter(|_| is_placed).map(|_| arn).ok_or_else(wrong)
}

/// Who may take the role: S3 Batch Operations, for jobs of the account, where that is known.
pub fn batch_trust(home: &Home) -> Policy {
    let trust = Statement::trust("BatchOperations", SERVICE);
    Policy::of(vec![match &home.account {
        Some(account) => trust.only_if("StringEqualsIfExists", "aws:SourceAccount", account.to_string()),
        None => trust,
    }])
}
