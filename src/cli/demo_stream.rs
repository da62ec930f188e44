//! The demo's stream: every photo of the bucket over one connection.

use anyhow::{Context as _, anyhow, bail};
use tonic::{Code, Status};

use super::{client::Client, plain, request::RequestArgs, status};
use crate::{
    embedded::DEMO_BUCKET,
    proto::{
        AnalyzeManyConfig, AnalyzeManyRequest, AnalyzeManyResult, AnalyzeManySummary, S3Listing,
        analyze_many_request::Payload, analyze_many_response::Event, analyze_many_result::Outcome,
    },
};

/// Asks for all photos with one listing and prints a line for each as it is answered, and the closing summary.
///
/// # Errors
/// A stream that is refused or ends without its summary.
pub async fn stream_photos(client: &mut Client) -> anyhow::Result<()> {
    let args = RequestArgs::default();
    let (features, options) = (Some(args.features()), Some(args.options()));
    let config = AnalyzeManyConfig { features, options, ..AnalyzeManyConfig::default() };
    let listing = S3Listing { bucket: DEMO_BUCKET.to_owned(), ..S3Listing::default() };
    let requests = [Payload::Config(config), Payload::Listing(listing)];
    let requests = requests.map(|payload| AnalyzeManyRequest { payload: Some(payload) });
    let failed = |error: Status| anyhow!(status::render(&error));
    let mut answers = client.analyze_many(tokio_stream::iter(requests)).await.map_err(failed)?;
    while let Some(answer) = answers.message().await.map_err(failed)? {
        match answer.event {
            Some(Event::Result(result)) => println!("{}", line(&result)),
            Some(Event::Summary(summary)) => return closing(&summary),
            None => {}
        }
    }
    bail!("the stream ended without its summary")
}

/// A result in one line, as wide as the terminal at most.
fn line(result: &AnalyzeManyResult) -> String {
    let found = match &result.outcome {
        Some(Outcome::Analysis(analysis)) => analysis.description.as_ref().map_or("", |d| &d.text).to_owned(),
        Some(Outcome::Error(error)) => format!("{}: {}", status::code_name(Code::from_i32(error.code)), error.message),
        None => String::new(),
    };
    let key = plain::line(&result.item_id);
    let mark = match result.resume_after.as_str() {
        "" => "nothing yet".to_owned(),
        mark => plain::line(mark),
    };
    let room = usize::from(plain::width()).saturating_sub(17 + mark.chars().count() + 18);
    let found = plain::line(&found);
    let shown = match found.char_indices().nth(room) {
        Some((cut, _)) => format!("{}...", found.get(..cut).unwrap_or_default().trim_end()),
        None => found,
    };
    format!("{key:14} {shown} (resume after {mark})")
}

fn closing(summary: &AnalyzeManySummary) -> anyhow::Result<()> {
    let usage = summary.total_usage.unwrap_or_default();
    let elapsed = summary.elapsed.and_then(|elapsed| elapsed.try_into().ok()).context("the summary names no time")?;
    println!(
        "Summary      {} succeeded, {} failed in {}: {} input and {} output tokens in {} model calls",
        summary.succeeded_count,
        summary.failed_count,
        plain::duration(elapsed),
        usage.input_token_count,
        usage.output_token_count,
        usage.model_call_count
    );
    Ok(())
}
