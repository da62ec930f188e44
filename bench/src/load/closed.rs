//! Callers that call again when they have their answer.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::calls::{Call, Target, analyze};

/// `callers` of them, until `duration` has passed and the last has its answer.
pub async fn run(target: &Target, callers: usize, duration: Duration) -> anyhow::Result<Vec<Call>> {
    let end = Instant::now() + duration;
    let callers = (0..callers.max(1)).map(|number| {
        let target = target.clone();
        tokio::spawn(async move {
            let client = target.client(number)?;
            let mut calls = Vec::new();
            while Instant::now() < end {
                let call = analyze(client.clone(), target.picture(), Instant::now()).await;
                let is_served = call.outcome.is_served();
                calls.push(call);
                if !is_served {
                    // Whoever is refused does not come again at once.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            anyhow::Ok(calls)
        })
    });
    let calls = try_join_all(callers).await?.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(calls.into_iter().flatten().collect())
}
