//! What of Bedrock a model is: a profile with foundation models behind it, or a thing that is called itself.

use super::{
    Home, IamError,
    document::Values,
    names::Arn,
    regions::{self, Behind},
};

/// A model that the server may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Whole Bedrock model id, inference-profile id or ARN.
    pub id: String,
    /// The Region that it is asked in; `None` for the server's own.
    pub region: Option<String>,
}

/// What must be allowed for all models together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resources {
    /// Inference profiles that AWS defines.
    pub(super) profiles: Values,
    /// The foundation models behind them.
    pub(super) behind: Values,
    /// Application inference profiles. What is behind one does not show in its ARN.
    pub(super) applications: Values,
    /// What is called by itself.
    pub(super) alone: Values,
}

impl Resources {
    /// What the models are, in their order.
    ///
    /// # Errors
    /// When an id cannot be one of Bedrock's, or lies in another partition.
    pub(super) fn of(models: &[Model], home: &Home, notes: &mut Vec<String>) -> Result<Self, IamError> {
        let mut all = Self::default();
        for model in models {
            match model.id.starts_with("arn:") {
                true => all.add_arn(&model.id, home, notes)?,
                false => all.add_id(model, home, notes)?,
            }
        }
        Ok(all)
    }

    fn add_id(&mut self, model: &Model, home: &Home, notes: &mut Vec<String>) -> Result<(), IamError> {
        let id = model.id.as_str();
        // Anything else would be a pattern, and grant more than one model.
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/".contains(c)) {
            return Err(IamError::Model { given: id.to_owned() });
        }
        let region = match &model.region {
            Some(region) => region.parse::<super::Region>()?.to_string(),
            None => home.region(),
        };
        match regions::behind(id) {
            Some(_) => {
                let profile =
                    format!("arn:{}:bedrock:{region}:{}:inference-profile/{id}", home.partition, home.account());
                self.add_profile(profile, id, &region, home, notes);
            }
            None => self.alone.add(foundation(home, &region, id)),
        }
        Ok(())
    }

    fn add_profile(&mut self, arn: String, id: &str, region: &str, home: &Home, notes: &mut Vec<String>) {
        let Some((behind, model)) = regions::behind(id) else {
            notes.push(format!(
                "{id} has no prefix that is known here: its foundation model is allowed in every Region"
            ));
            self.profiles.add(arn);
            self.behind.add(foundation(home, "*", id.split_once('.').map_or(id, |(_, model)| model)));
            return;
        };
        self.profiles.add(arn);
        match behind {
            // A pattern holds the model without a Region as well.
            Behind::Anywhere if region == "*" => self.behind.add(foundation(home, "*", model)),
            Behind::Anywhere => ["", region].iter().for_each(|at| self.behind.add(foundation(home, at, model))),
            Behind::Regions(known) => {
                let called = Some(region).filter(|region| *region != "*" && !known.contains(region));
                let mut all: Vec<&str> = known.iter().copied().chain(called).collect();
                all.sort_unstable();
                all.iter().for_each(|at| self.behind.add(foundation(home, at, model)));
            }
            Behind::Unknown => {
                notes.push(format!(
                    "the Regions behind {id} are not known here, so that `*` stands for them; \
                     `aws bedrock get-inference-profile --inference-profile-identifier {id}` lists them"
                ));
                self.behind.add(foundation(home, "*", model));
            }
        }
    }

    fn add_arn(&mut self, text: &str, home: &Home, notes: &mut Vec<String>) -> Result<(), IamError> {
        let arn = Arn::read(text).ok_or_else(|| IamError::Model { given: text.to_owned() })?;
        home.must_be(Some(arn.partition), text)?;
        let (kind, id) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
        match (arn.service, kind) {
            ("bedrock", "inference-profile") => self.add_profile(text.to_owned(), id, arn.region, home, notes),
            ("bedrock", "application-inference-profile") => {
                notes.push(format!(
                    "what is behind {text} does not show in its ARN: every foundation model may be called, but through that \
                     profile only"
                ));
                self.applications.add(text.to_owned());
            }
            (
                "bedrock",
                "foundation-model"
                | "provisioned-model"
                | "custom-model"
                | "custom-model-deployment"
                | "imported-model",
            ) => {
                self.alone.add(text.to_owned());
            }
            _ => {
                notes.push(format!(
                    "{text} is of a kind that is not known here: it is allowed by itself, nothing behind it"
                ));
                self.alone.add(text.to_owned());
            }
        }
        Ok(())
    }
}

/// A foundation model in a Region. It belongs to no account.
fn foundation(home: &Home, region: &str, id: &str) -> String {
    format!("arn:{}:bedrock:{region}::foundation-model/{id}", home.partition)
}
