//! The format of log lines on standard error: the sentence alone, without fields.
//!
//! A sentence of this program contains all fields of its event that a reader needs. Printing the fields as well
//! would repeat everything. The journal keeps them for programs.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// tracing's field name for the sentence of an event.
const MESSAGE: &str = "message";

/// Formats the sentence of an event alone.
pub(super) struct Sentence;

/// Passes the sentence on to a visitor that escapes terminal control characters.
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
