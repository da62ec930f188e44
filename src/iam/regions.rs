//! Where the profiles of a geography send calls on to.

/// A prefix of inference profiles, and the Regions behind it.
struct Geography {
    prefix: &'static str,
    /// Every Region that a profile of this prefix is known to send calls on to, whatever its model and the Region that is
    /// called, which is always one of them too. Empty: AWS's page names none.
    regions: &'static [&'static str],
}

/// What lies behind the prefix of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Any commercial Region: AWS checks the model in the Region that is called, and once without a Region.
    Anywhere,
    /// These Regions, and the one that is called.
    Regions(&'static [&'static str]),
    /// Regions that are not known here.
    Unknown,
}

/// Sources: "Geographic cross-Region inference" and the models' cards in Amazon Bedrock's user guide, and for `au` AWS's post
/// on Auckland as a source Region, read in 2026-11. Profiles differ by model and grow: a Region too many grants nothing, for
/// the policy lets a model be called through its profile only; one too few is an AccessDenied. `aws bedrock
/// get-inference-profile` has the list of one profile.
const GEOGRAPHIES: &[Geography] = &[
    Geography { prefix: "us", regions: &["us-east-1", "us-east-2", "us-west-2"] },
    Geography {
        prefix: "eu",
        regions: &[
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
        ],
    },
    Geography {
        prefix: "apac",
        regions: &[
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-4",
        ],
    },
    Geography { prefix: "jp", regions: &["ap-northeast-1", "ap-northeast-3"] },
    Geography { prefix: "au", regions: &["ap-southeast-2", "ap-southeast-4", "ap-southeast-6"] },
    Geography { prefix: "in", regions: &["ap-south-1", "ap-south-2"] },
    Geography { prefix: "ca", regions: &[] },
    Geography { prefix: "us-gov", regions: &[] },
];

/// The prefix of profiles that lead anywhere.
const GLOBAL: &str = "global";

/// Vendors of models on Bedrock. An id that has something else before one of them is a profile's.
const VENDORS: &[&str] = &[
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "google",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "moonshotai",
    "nvidia",
    "openai",
    "qwen",
    "stability",
    "twelvelabs",
    "writer",
    "zai",
];

/// What lies behind an inference profile, and the foundation model it leads to; `None` for the id of a foundation model.
pub(super) fn behind(id: &str) -> Option<(Behind, &str)> {
    let (prefix, model) = id.split_once('.')?;
    if prefix == GLOBAL {
        return Some((Behind::Anywhere, model));
    }
    if let Some(known) = GEOGRAPHIES.iter().find(|geography| geography.prefix == prefix) {
        let behind = if known.regions.is_empty() { Behind::Unknown } else { Behind::Regions(known.regions) };
        return Some((behind, model));
    }
    let (vendor, _) = model.split_once('.')?;
    (!VENDORS.contains(&prefix) && VENDORS.contains(&vendor)).then_some((Behind::Unknown, model))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::Region;

    #[test]
    fn a_profile_is_told_from_a_foundation_model() {
        let us: &[&str] = &["us-east-1", "us-east-2", "us-west-2"];
        for (id, found) in [
            ("global.anthropic.claude-sonnet-5", Some((Behind::Anywhere, "anthropic.claude-sonnet-5"))),
            ("us.amazon.nova-lite-v1:0", Some((Behind::Regions(us), "amazon.nova-lite-v1:0"))),
            ("ca.amazon.nova-lite-v1:0", Some((Behind::Unknown, "amazon.nova-lite-v1:0"))),
            ("mx.anthropic.claude-sonnet-9", Some((Behind::Unknown, "anthropic.claude-sonnet-9"))),
            ("anthropic.claude-3-sonnet-20240229-v1:0", None),
            ("openai.gpt-5.6-terra", None),
            ("moonshotai.kimi-k2.5", None),
            ("claude", None),
        ] {
            assert_eq!(behind(id), found, "{id}");
        }
    }

    #[test]
    fn the_regions_are_regions_in_order() {
        for geography in GEOGRAPHIES {
            assert!(geography.regions.is_sorted(), "{}", geography.prefix);
            for region in geography.regions {
                assert!(region.parse::<Region>().is_ok(), "{region}");
            }
        }
    }
}
