//! Lines of the log with the id of the trace in them.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};

use crate::{config::LogFormat, spans};

/// Writes events as `inner` does, and adds `trace_id` to those inside a sampled call.
pub(super) struct WithTraceId<F> {
    inner: F,
    format: LogFormat,
}

impl<F> WithTraceId<F> {
    pub(super) fn new(inner: F, format: LogFormat) -> Self {
        Self { inner, format }
    }
}

impl<S, N, F> FormatEvent<S, N> for WithTraceId<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(trace_id) = spans::trace_id() else { return self.inner.format_event(context, writer, event) };
        // On a terminal these lines have no colours: the writer is a plain one.
        let mut line = String::with_capacity(512);
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        match (self.format, line.strip_suffix('}')) {
            (LogFormat::Json, Some(object)) => writeln!(writer, "{object},\"trace_id\":\"{trace_id}\"}}"),
            _ => writeln!(writer, "{line} trace_id={trace_id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use http::HeaderMap;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What two events leave, the first of them within a sampled call.
    fn lines(format: LogFormat) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let events = || {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01").parse().unwrap());
            spans::Rpc::begin("s", "m", &headers).scope(|| tracing::info!(code = "}", "within"));
            tracing::info!("without");
        };
        let registry = tracing_subscriber::registry();
        match format {
            LogFormat::Text => {
                let layer = layer.map_event_format(|inner| WithTraceId::new(inner, format));
                tracing::subscriber::with_default(registry.with(layer), events);
            }
            LogFormat::Json => {
                let layer = layer.json().flatten_event(true).map_event_format(|inner| WithTraceId::new(inner, format));
                tracing::subscriber::with_default(registry.with(layer), events);
            }
        }
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_within_a_sampled_call_has_the_traces_id() {
        let text = lines(LogFormat::Text);
        assert!(text[0].ends_with(&format!("within code=\"}}\" trace_id={TRACE}")), "{text:?}");
        assert!(text[1].ends_with("without"), "{text:?}");
        let json: Vec<serde_json::Value> =
            lines(LogFormat::Json).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&json[0]["trace_id"], &json[0]["code"]), (&TRACE.into(), &"}".into()));
        assert!(json.len() == 2 && json[1]["trace_id"].is_null(), "{json:?}");
    }
}
