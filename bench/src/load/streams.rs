//! Pictures over one stream.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::stream;

use super::calls::{Target, authorized, check, features};
use crate::proto::{
    AnalyzeManyConfig, AnalyzeManyItem, AnalyzeManyRequest, analyze_many_request::Payload,
    analyze_many_response::Event, analyze_many_result::Outcome,
};

/// Ample for one message on one machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Analyzes `items` pictures, `in_flight` at once, and checks that each is answered once and rightly.
pub async fn run(target: &Target, items: usize, in_flight: usize) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let config = AnalyzeManyConfig {
        features: Some(features()),
        max_in_flight: i32::try_from(in_flight)?,
        ..AnalyzeManyConfig::default()
    };
    let pictures = target.clone();
    let item = move |index: usize| {
        let (item_id, image) = (index.to_string(), Some(pictures.picture()));
        Payload::Item(AnalyzeManyItem { item_id, image, ..AnalyzeManyItem::default() })
    };
    let payloads = std::iter::once(Payload::Config(config)).chain((0..items).map(item));
    let requests = payloads.map(|payload| AnalyzeManyRequest { payload: Some(payload) });
    let mut answers = target.client(0)?.analyze_many(authorized(stream::iter(requests))).await?.into_inner();
    let mut answered = vec![false; items];
    loop {
        let message = tokio::time::timeout(PATIENCE, answers.message()).await.context("the stream is silent")??;
        match message.context("the stream ended early")?.event.context("no event")? {
            Event::Result(result) => {
                let place = answered.get_mut(result.item_id.parse::<usize>()?).context("nobody asked for it")?;
                ensure!(!std::mem::replace(place, true), "{} is answered twice", result.item_id);
                match result.outcome.context("no outcome")? {
                    Outcome::Analysis(analysis) => check(&analysis)?,
                    Outcome::Error(error) => bail!("an item failed: {error:?}"),
                }
            }
            Event::Summary(_) => break,
        }
    }
    ensure!(answered.iter().all(|answered| *answered), "a picture was never answered");
    Ok(began.elapsed())
}
