//! A file laid over a catalogue: entries of the same name field by field, new ones from careful defaults or from the one
//! that they extend.

use toml::Spanned;

use super::{
    CatalogError, Entry,
    check::Checker,
    file::{Fields, File},
    ids,
};
use crate::domain::ModelProfile;

/// Most entries that one may stand on.
const MAX_DEPTH: usize = 8;

/// What the files said so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Layers {
    /// In the order of listing.
    models: Vec<Layer>,
    aliases: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Layer {
    name: String,
    fields: Fields,
    /// A later file took it out; what extends it keeps what it says.
    is_hidden: bool,
}

impl Layers {
    /// Lays a file over these.
    pub(super) fn add(&mut self, text: &str, file: File) -> Result<(), CatalogError> {
        let check = Checker { text };
        if file.replace {
            self.aliases.clear();
            // The embedded stack works whatever the operator has on AWS.
            self.models.iter_mut().for_each(|layer| layer.is_hidden = layer.name != ModelProfile::DETECTOR_ID);
        }
        for (name, fields) in &file.models {
            self.put(name.get_ref(), fields.clone());
        }
        for (alias, target) in &file.aliases {
            self.aliases.retain(|(known, _)| known != alias.get_ref());
            self.aliases.push((alias.get_ref().clone(), target.get_ref().clone()));
        }
        for (alias, target) in &file.aliases {
            if self.listed(target.get_ref()).is_none() && !ids::looks_like_id(target.get_ref()) {
                let problem = format!("`{}` is no model of the catalogue and no Bedrock id", target.get_ref());
                return Err(check.error(target, &problem));
            }
            if self.listed(alias.get_ref()).is_some() {
                let problem = format!("`{}` is a model's name already; choose another alias", alias.get_ref());
                return Err(check.error(alias, &problem));
            }
        }
        for (name, fields) in &file.models {
            self.check(&check, name, fields)?;
        }
        Ok(())
    }

    fn put(&mut self, name: &str, fields: Fields) {
        match self.models.iter_mut().find(|layer| layer.name == name) {
            // A new base means a new start.
            Some(layer) if fields.extends.is_none() => {
                layer.fields = fields.over(std::mem::take(&mut layer.fields));
                layer.is_hidden = false;
            }
            Some(layer) => (layer.fields, layer.is_hidden) = (fields, false),
            None => self.models.push(Layer { name: name.to_owned(), fields, is_hidden: false }),
        }
    }

    /// Where the names of an entry of the file lead.
    fn check(&self, check: &Checker<'_>, name: &Spanned<String>, fields: &Fields) -> Result<(), CatalogError> {
        if self.aliases.iter().any(|(alias, _)| alias == name.get_ref()) {
            let problem = format!("`{}` is an alias already; choose another name", name.get_ref());
            return Err(check.error(name, &problem));
        }
        if let Some(base) = &fields.extends {
            if self.find(base.get_ref()).is_none() {
                let problem = format!("`extends` names no model: there is no `{}`", base.get_ref());
                return Err(check.error(base, &problem));
            }
            if self.stack(name.get_ref()).is_none() {
                let problem = format!("`extends` goes round in a circle, or over more than {MAX_DEPTH} models");
                return Err(check.error(base, &problem));
            }
        }
        if self.find(name.get_ref()).is_some_and(|layer| layer.fields.id.is_none()) {
            let problem = format!("the model `{}` has no `id`; give its Bedrock id or ARN", name.get_ref());
            return Err(check.error(name, &problem));
        }
        for fallback in fields.fallbacks.iter().flatten() {
            if fallback.get_ref() == name.get_ref() || !self.leads_somewhere(fallback.get_ref()) {
                let problem = format!(
                    "`fallbacks` must name other models by alias, name or Bedrock id; `{}` is none",
                    fallback.get_ref()
                );
                return Err(check.error(fallback, &problem));
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Layer> {
        self.models.iter().find(|layer| layer.name == name)
    }

    fn listed(&self, name: &str) -> Option<&Layer> {
        self.find(name).filter(|layer| !layer.is_hidden)
    }

    fn leads_somewhere(&self, name: &str) -> bool {
        self.listed(name).is_some() || self.aliases.iter().any(|(alias, _)| alias == name) || ids::looks_like_id(name)
    }

    /// The entry and those it stands on, itself first; `None` when that never ends.
    fn stack(&self, name: &str) -> Option<Vec<&Layer>> {
        let mut stack = vec![self.find(name)?];
        while let Some(base) = stack.last().and_then(|layer| layer.fields.extends.as_ref()) {
            if stack.len() > MAX_DEPTH {
                return None;
            }
            stack.push(self.find(base.get_ref())?);
        }
        Some(stack)
    }

    /// The catalogue's entries and aliases.
    pub(super) fn build(&self) -> (Vec<Entry>, Vec<(String, String)>) {
        let listed = self.models.iter().filter(|layer| !layer.is_hidden);
        (listed.filter_map(|layer| self.entry(layer)).collect(), self.aliases.clone())
    }

    fn entry(&self, layer: &Layer) -> Option<Entry> {
        let mut fields = Fields::default();
        for below in self.stack(&layer.name)? {
            fields = fields.over(below.fields.clone());
        }
        let careful = ids::careful(layer.fields.id.as_deref()?);
        let fallbacks = fields.fallbacks.unwrap_or_default().into_iter().map(Spanned::into_inner);
        Some(Entry {
            // Further names mean the model that gives them, not those that extend it.
            names: layer.fields.names.clone().unwrap_or_default(),
            end_of_life: fields.end_of_life,
            profile: ModelProfile {
                name: layer.name.clone(),
                api: fields.api.unwrap_or(careful.api),
                tier: fields.tier.unwrap_or(careful.tier),
                coordinates: fields.coordinates.unwrap_or(careful.coordinates),
                strategies: fields.strategies.unwrap_or(careful.strategies),
                sampling: fields.sampling.unwrap_or(careful.sampling),
                thinking: fields.thinking.unwrap_or(careful.thinking),
                max_output_tokens: fields.max_output_tokens.unwrap_or(careful.max_output_tokens),
                region: fields.region.filter(|region| !region.is_empty()),
                prices: fields.prices,
                // One that was taken over may have gone since.
                fallbacks: fallbacks.filter(|name| *name != layer.name && self.leads_somewhere(name)).collect(),
                has_ended: fields.has_ended.unwrap_or(false),
                is_familiar: true,
                is_detector: fields.is_detector.unwrap_or(false),
                id: careful.id,
            },
        })
    }
}
