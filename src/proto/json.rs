//! Messages of the contract in canonical proto3 JSON, both ways.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor};
use serde_json::Value;

use super::DESCRIPTORS;

/// The contract, decoded once: a stream has a message of it for every picture.
static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).map_err(|error| error.to_string()));

/// Why there is no JSON for a message, or no message for JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The contract in this binary does not fit the message.
    #[error("the message does not fit the contract: {0}")]
    Contract(String),
    /// An error detail of an unknown type, say; or a field that the message does not have.
    #[error("{0}")]
    Form(#[from] serde_json::Error),
}

/// The message of this name in `sightline.v1`, ready for a serializer.
///
/// # Errors
/// A message of another type.
pub fn dynamic(name: &str, message: &impl Message) -> Result<DynamicMessage, JsonError> {
    let dynamic = DynamicMessage::decode(descriptor(name)?, message.encode_to_vec().as_slice());
    dynamic.map_err(|error| JsonError::Contract(error.to_string()))
}

/// A message as JSON: lowerCamelCase names, 64-bit integers as strings, enums by name, fields without presence left out when
/// they are zero.
///
/// # Errors
/// A message of another type, or one that holds an error detail of a type this binary does not know.
pub fn to_value(name: &str, message: &impl Message) -> Result<Value, JsonError> {
    // By way of the text, in which 0.9 as an f32 is 0.9 and not 0.89999998.
    Ok(serde_json::from_str(&serde_json::to_string(&dynamic(name, message)?)?)?)
}

/// The message that JSON stands for. Names may be lowerCamelCase or as the contract writes them.
///
/// # Errors
/// A field that the message does not have, or a value that does not fit it: the text names it.
pub fn from_value<M: Message + Default>(name: &str, json: &Value) -> Result<M, JsonError> {
    read(name, json, &DeserializeOptions::new())
}

/// Reads a message of this name.
///
/// # Errors
/// What the deserializer or `options` refuse.
pub fn read<'de, M, D>(name: &str, json: D, options: &DeserializeOptions) -> Result<M, JsonError>
where
    M: Message + Default,
    D: serde::Deserializer<'de, Error = serde_json::Error>,
{
    let dynamic = DynamicMessage::deserialize_with_options(descriptor(name)?, json, options)?;
    dynamic.transcode_to().map_err(|error| JsonError::Contract(error.to_string()))
}

fn descriptor(name: &str) -> Result<MessageDescriptor, JsonError> {
    let pool = POOL.as_ref().map_err(|error| JsonError::Contract(error.clone()))?;
    let name = format!("sightline.v1.{name}");
    pool.get_message_by_name(&name).ok_or_else(|| JsonError::Contract(format!("{name} is missing")))
}
