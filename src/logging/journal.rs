//! Events for the journal: recorded by the logging thread, passed to tracing-journald by the writer.
//!
//! tracing-journald sends on the calling thread, and waits there while journald does not read. So the logging
//! thread only records the event, and the writer calls tracing-journald.

use std::fmt;
use std::io;
use std::sync::Arc;

use tracing::field::{Field, Value, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, Layered, SubscriberExt};
use tracing_subscriber::{Registry, registry};

use super::MESSAGE_IDS;
use super::queue::{Entry, Queue};

/// The prefix of the names of an event's own fields in the journal.
const PREFIX: &str = "SHIBUDB";

/// Puts events into the queue.
pub(super) struct Record {
    queue: Arc<Queue>,
}

/// An event that outlives its call.
#[derive(Debug)]
pub(super) struct Recorded {
    metadata: &'static Metadata<'static>,
    /// In the order of the metadata's fields.
    values: Vec<Option<String>>,
}

/// tracing-journald, once for each message id and once for events without one: its custom fields go with every event.
///
/// The layers are not installed as a dispatcher, which would count as interested in every event, and make
/// events below the log's level costly.
pub(super) struct Journald {
    with_id: Vec<(&'static str, Journal)>,
    other: Journal,
}

type Journal = Layered<tracing_journald::Layer, Registry>;

impl Record {
    pub(super) fn into(queue: &Arc<Queue>) -> Self {
        Self { queue: Arc::clone(queue) }
    }
}

impl<S: Subscriber> Layer<S> for Record {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut recorded = Recorded::new(event.metadata());
        event.record(&mut recorded);
        self.queue.push(event.metadata(), Entry::Event(recorded));
    }
}

impl Recorded {
    fn new(metadata: &'static Metadata<'static>) -> Self {
        Self { metadata, values: vec![None; metadata.fields().len()] }
    }

    /// How many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let texts: usize = self.values.iter().flatten().map(String::len).sum();
        size_of::<Self>() + self.values.len() * size_of::<Option<String>>() + texts
    }

    fn put(&mut self, field: &Field, value: String) {
        if let Some(slot) = self.values.get_mut(field.index()) {
            *slot = Some(value);
        }
    }

    /// Emits it again.
    fn replay(&self, subscriber: &impl Subscriber) {
        let values: Vec<_> =
            self.values.iter().map(|value| value.as_ref().map(|value| value as &dyn Value)).collect();
        // The same call as that of tracing's macros: a value for each field, in order.
        let values = self.metadata.fields().value_set_all(&values);
        subscriber.event(&Event::new(self.metadata, &values));
    }
}

impl Visit for Recorded {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

impl Journald {
    /// Connects to the journal. Sending waits while the journal does not read.
    ///
    /// # Errors
    /// No process listens there.
    pub(super) fn connect() -> io::Result<Self> {
        let layer =
            || Ok::<_, io::Error>(tracing_journald::layer()?.with_field_prefix(Some(PREFIX.to_owned())));
        let with_id = |(target, id)| {
            let layer = layer()?.with_custom_fields([("MESSAGE_ID", id)]);
            Ok::<_, io::Error>((target, registry().with(layer)))
        };
        let with_id = MESSAGE_IDS.into_iter().map(with_id).collect::<Result<_, _>>()?;
        Ok(Self { with_id, other: registry().with(layer()?) })
    }

    /// Sends an event, and waits until the journal has taken it. tracing-journald reports no failure.
    pub(super) fn send(&self, event: &Recorded) {
        let target = event.metadata.target();
        let journal = self.with_id.iter().find(|(with_id, _)| *with_id == target).map(|(_, journal)| journal);
        event.replay(journal.unwrap_or(&self.other));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::span;

    use super::*;

    /// Records the fields of events.
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Subscriber for Notes {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            unreachable!("there are no spans")
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut fields = Recorded::new(event.metadata());
            event.record(&mut fields);
            let names = event.metadata().fields().iter();
            let noted = names.zip(fields.values).map(|(name, value)| format!("{name}={value:?}"));
            self.0.lock().unwrap().push(noted.collect::<Vec<_>>().join(" "));
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn an_event_that_happens_again_has_the_same_fields() {
        let queue = Arc::new(Queue::default());
        tracing::subscriber::with_default(registry().with(Record::into(&queue)), || {
            let reason = "too low";
            tracing::warn!(old = 5, new = tracing::field::Empty, reason, "limit {} refused", 3);
        });
        let Some(Entry::Event(event)) = queue.take_one() else { panic!("an event is in the queue") };
        let notes = Notes::default();
        event.replay(&notes);
        let noted = notes.0.into_inner().unwrap();
        assert_eq!(
            noted,
            [r#"message=Some("limit 3 refused") old=Some("5") new=None reason=Some("too low")"#]
        );
    }
}
