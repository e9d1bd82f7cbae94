//! From `tracing` events and spans to lines.

use std::{
    error::Error,
    fmt::{self, Write as _},
};

use serde_json::Value;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, Scope},
};

use super::{AUDIT, Format, Sink, line::Line, recent};
use crate::clock::SharedClock;

/// Writes one line an event.
pub(super) struct Lines {
    pub(super) format: Format,
    pub(super) clock: SharedClock,
    pub(super) sink: Sink,
}

/// A span's fields, kept with it.
#[derive(Default)]
struct Kept(Vec<(&'static str, Value)>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut kept = Kept::default();
        attributes.record(&mut Reading(|field: &Field, value| kept.0.push((field.name(), value))));
        span.extensions_mut().insert(kept);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(kept) = span.extensions_mut().get_mut::<Kept>() {
            values.record(&mut Reading(|field: &Field, value| kept.0.push((field.name(), value))));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Line::new(self.clock.now(), *metadata.level(), metadata.target());
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(kept) = span.extensions().get::<Kept>() {
                for (name, value) in &kept.0 {
                    line.field(name, value.clone());
                }
            }
        }
        event.record(&mut Reading(|field: &Field, value: Value| match (field.name(), value) {
            ("message", Value::String(text)) => line.message(&text),
            // How events of the `log` crate arrive.
            ("log.target", Value::String(text)) => line.target(&text),
            ("log.module_path" | "log.file" | "log.line", _) => {}
            (name, value) => line.field(name, value),
        }));
        if *metadata.level() <= tracing::Level::INFO && metadata.target() == AUDIT {
            recent::keep(line.fields());
        }
        (self.sink)(&line.write(self.format));
    }
}

/// Turns what `tracing` hands out into JSON values.
struct Reading<F>(F);

impl<F: FnMut(&Field, Value)> Visit for Reading<F> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        (self.0)(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        (self.0)(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        (self.0)(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        (self.0)(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        (self.0)(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        (self.0)(field, text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        (self.0)(field, format!("{value:?}").into());
    }
}
