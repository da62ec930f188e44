//! Models on Amazon Bedrock: Claude through InvokeModel, all others through Converse.

use std::{collections::HashMap, sync::Arc, time::Instant};

use async_trait::async_trait;
use aws_sdk_bedrockruntime::{Client, operation::RequestId, primitives::Blob};

use super::{body::BodyKeeper, clients::in_region, converse, errors::meaning, messages};
use crate::{
    domain::{Api, ModelProfile},
    pipeline::{ModelError, Question, Reply, VisionModel},
};

/// A [`VisionModel`] over Amazon Bedrock Runtime or a server that speaks its protocol.
#[derive(Debug, Clone)]
pub struct BedrockModel {
    client: Client,
    region: String,
    /// Clients of the other Regions that models are asked in.
    elsewhere: HashMap<String, Client>,
}

impl BedrockModel {
    /// A model endpoint over `client`, whose requests go to `region`; those to `models` that name another Region go there,
    /// with the same settings.
    pub fn new<'a>(client: Client, region: String, models: impl IntoIterator<Item = &'a ModelProfile>) -> Self {
        let mut elsewhere = HashMap::new();
        for named in models.into_iter().filter_map(region_of).filter(|named| *named != region) {
            elsewhere.entry(named.to_owned()).or_insert_with(|| in_region(&client, named));
        }
        Self { client, region, elsewhere }
    }

    fn client(&self, model: &ModelProfile) -> &Client {
        region_of(model).and_then(|region| self.elsewhere.get(region)).unwrap_or(&self.client)
    }
}

/// The Region that a model's entry names, or its ARN: a resource can only be asked where it lies.
fn region_of(model: &ModelProfile) -> Option<&str> {
    let of_arn = || {
        let mut parts = model.id.split(':');
        (parts.next() == Some("arn")).then(|| parts.nth(2)).flatten().filter(|region| !region.is_empty())
    };
    model.region.as_deref().or_else(of_arn)
}

#[async_trait]
impl VisionModel for BedrockModel {
    async fn ask(&self, question: &Question) -> Result<Reply, ModelError> {
        let client = self.client(&question.model);
        match question.model.api {
            Api::Messages => invoke(client, question).await,
            Api::Converse => converse(client, question).await,
        }
    }

    fn region<'a>(&'a self, model: &'a ModelProfile) -> &'a str {
        region_of(model).filter(|region| self.elsewhere.contains_key(*region)).unwrap_or(&self.region)
    }
}

async fn invoke(client: &Client, question: &Question) -> Result<Reply, ModelError> {
    // A map of strings always has a JSON form.
    let tags = (!question.tags.is_empty()).then(|| serde_json::to_string(&question.tags).unwrap_or_default());
    let request = client
        .invoke_model()
        .model_id(&question.model.id)
        .content_type("application/json")
        .accept("application/json")
        .set_request_metadata(tags)
        .body(Blob::new(messages::request(question)));
    let asked = Instant::now();
    let output = request.send().await.map_err(|error| meaning(&error, question, asked.elapsed()))?;
    let body = output.body().as_ref();
    let reply = messages::reply(body, tool(question), output.request_id().map(str::to_owned))?;
    Ok(Reply { body: question.keeps_body.then(|| kept(body)).transpose()?, ..reply })
}

async fn converse(client: &Client, question: &Question) -> Result<Reply, ModelError> {
    let unbuilt = |error| ModelError::Rejected { detail: format!("no request: {error}") };
    let request = converse::request(client, question).map_err(unbuilt)?;
    let keeper = BodyKeeper::default();
    let asked = Instant::now();
    let sent = if question.keeps_body {
        request.customize().interceptor(keeper.clone()).send().await
    } else {
        request.send().await
    };
    let output = sent.map_err(|error| meaning(&error, question, asked.elapsed()))?;
    let body = keeper.body().map(|body| kept(&body)).transpose()?;
    Ok(Reply { body, ..converse::reply(output, tool(question))? })
}

/// A response's body as text: JSON always is.
fn kept(body: &[u8]) -> Result<Arc<str>, ModelError> {
    let text = std::str::from_utf8(body);
    text.map(Arc::from).map_err(|_| ModelError::Malformed { detail: "the body is no text".to_owned() })
}

/// The name of the tool that the question may offer.
fn tool(question: &Question) -> Option<&str> {
    question.prompt.schema.as_ref().map(|schema| schema.name)
}

#[cfg(test)]
mod tests;
