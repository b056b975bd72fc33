//! The format of log lines on standard error: the sentence alone, without fields.
//!
//! A sentence of this program contains all fields of its event that a reader needs. To print the fields as well
//! would say everything twice. The journal keeps them for programs.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// The name that tracing gives to an event's sentence among its fields.
const MESSAGE: &str = "message";

/// Formats the sentence of an event alone.
pub(super) struct Sentence;

/// Passes the sentence on to a visitor that escapes what would control a terminal.
struct OnlyMessage<'a>(DefaultVisitor<'a>);

impl<'writer> FormatFields<'writer> for Sentence {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = OnlyMessage(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

impl Visit for OnlyMessage<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.0.record_str(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            self.0.record_debug(field, value);
        }
    }
}
