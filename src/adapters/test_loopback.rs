//! A Bedrock of one answer on loopback, so that requests and answers pass through the SDK itself.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{BedrockModel, Endpoints, StaticCredentials, connect};
use crate::{
    catalog::Catalog,
    domain::{Api, ModelProfile, Strategy},
    pipeline::{ModelError, Question, Reply, ThinkingParameter, VisionModel as _},
    prompt::{AnswerSchema, Prompt},
};

/// A question whose answer has a small schema, asked of a current Claude.
pub fn question(api: Api, strategy: Strategy) -> Question {
    let schema = AnswerSchema {
        name: "report_analysis",
        description: "Reports the analysis.",
        schema: json!({
            "type": "object",
            "properties": {"answer": {"type": "string"}},
            "required": ["answer"],
            "additionalProperties": false
        })
        .into(),
    };
    let prompt =
        Prompt { system: Some("The rules.".to_owned()), text: "What is this?".to_owned(), schema: Some(schema) };
    let model = Catalog::built_in().unwrap().resolve("claude-sonnet-5");
    Question {
        image: Bytes::from_static(b"\xff\xd8\xff picture"),
        media_type: "image/jpeg",
        prompt,
        strategy,
        max_output_tokens: 1024,
        thinking: ThinkingParameter::Unset,
        correction: None,
        temperature: None,
        top_p: None,
        top_k: None,
        keeps_body: false,
        tags: BTreeMap::new(),
        model: ModelProfile { id: "global.anthropic.claude-sonnet-5".to_owned(), region: None, api, ..model },
    }
}

/// What the service saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Request line and headers, in lower case.
    pub head: String,
    /// The body as JSON.
    pub body: Value,
}

/// What the service answers.
pub enum Answer<'a> {
    /// A model's answer.
    Ok(&'a str),
    /// An error: status, code and body.
    Error(u16, &'a str, &'a str),
    /// It closes the connection.
    Close,
    /// Nothing, for longer than any call may take.
    Nothing,
    /// The beginning of an answer.
    Cut,
}

/// Longest time for a call.
const MAX_CALL_TIME: Duration = Duration::from_secs(60);

/// Asks `question` of a service that answers `answer`.
pub async fn ask(question: &Question, answer: Answer<'_>) -> (Seen, Result<Reply, ModelError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let model = model_at(&listener.local_addr().unwrap().to_string(), question).await;
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let seen = read(&mut stream).await;
        write(&mut stream, answer).await;
        seen
    };
    tokio::join!(serve, model.ask(question))
}

/// The adapter before a service at `address`.
pub async fn model_at(address: &str, question: &Question) -> BedrockModel {
    let endpoint = format!("http://{address}");
    let endpoints = Endpoints {
        s3: endpoint.clone(),
        bedrock: endpoint,
        region: "eu-central-1".to_owned(),
        credentials: StaticCredentials {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
        },
    };
    let clients = connect(Some(&endpoints), MAX_CALL_TIME).await;
    BedrockModel::new(clients.bedrock, clients.region, [&question.model])
}

async fn read(stream: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    let (head, mut body) = loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request ends early");
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            break (String::from_utf8(bytes).unwrap().to_ascii_lowercase(), body);
        }
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    while body.len() < length {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "the body ends early");
    }
    Seen { head, body: serde_json::from_slice(&body).unwrap() }
}

async fn write(stream: &mut TcpStream, answer: Answer<'_>) {
    let (status, code, body, missing) = match answer {
        Answer::Ok(body) => (200, "", body, 0),
        Answer::Error(status, code, body) => (status, code, body, 0),
        Answer::Cut => (200, "", "{\"content\": [", 100),
        Answer::Close => return,
        Answer::Nothing => return tokio::time::sleep(MAX_CALL_TIME * 2).await,
    };
    let head = format!(
        "HTTP/1.1 {status} It\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         x-amzn-requestid: request-1\r\nx-amzn-errortype: {code}\r\n\r\n",
        body.len() + missing
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
}
