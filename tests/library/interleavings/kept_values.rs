//! The stripes of the store's cache: a cached value is the engine's, and no read returns an older value than before.

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

use super::stripes::Stripes;

/// A key as in the store: in the engine and sometimes in the cache. `Cache` uses the stripes in this way.
struct Key {
    stripes: Stripes,
    engine: AtomicU32,
    kept: Mutex<Option<u32>>,
}

impl Key {
    fn with(value: u32, kept: Option<u32>) -> Arc<Self> {
        Arc::new(Self { stripes: Stripes::new(1), engine: AtomicU32::new(value), kept: Mutex::new(kept) })
    }

    fn get(&self) -> u32 {
        let kept = *self.kept.lock().unwrap();
        kept.unwrap_or_else(|| self.read())
    }

    fn read(&self) -> u32 {
        let closed = self.stripes.closed(0);
        let found = self.engine.load(Ordering::Acquire);
        if let Some(closed) = closed {
            self.stripes.if_still_closed(0, closed, || *self.kept.lock().unwrap() = Some(found));
        }
        found
    }

    /// Changes the key. The new value is cached if one was cached before.
    fn put(&self, value: u32) {
        let was_kept = self.stripes.open(0, || self.kept.lock().unwrap().take().is_some());
        self.engine.store(value, Ordering::Release);
        if was_kept {
            *self.kept.lock().unwrap() = Some(value);
        }
        self.stripes.close(0);
    }

    fn is_true(&self, value: u32) {
        let kept = *self.kept.lock().unwrap();
        assert!(kept.is_none_or(|kept| kept == value), "{kept:?} is kept, and the engine has {value}");
        assert_eq!(self.get(), value);
    }
}

fn a_reader_beside_a_writer(kept: Option<u32>) {
    loom::model(move || {
        let key = Key::with(1, kept);
        let reader = {
            let key = Arc::clone(&key);
            thread::spawn(move || {
                let (first, second) = (key.get(), key.get());
                assert!(first <= second, "{first}, and then {second}");
            })
        };
        key.put(2);
        assert_eq!(key.get(), 2, "acknowledged");
        reader.join().unwrap();
        key.is_true(2);
    });
}

#[test]
fn a_value_that_is_kept_is_never_one_from_before_a_change() {
    a_reader_beside_a_writer(None);
}

#[test]
fn a_value_that_was_kept_does_not_come_back() {
    a_reader_beside_a_writer(Some(1));
}

#[test]
fn a_change_that_began_and_ended_while_the_engine_was_asked_is_noticed() {
    loom::model(|| {
        let key = Key::with(1, None);
        let reader = {
            let key = Arc::clone(&key);
            thread::spawn(move || key.read())
        };
        key.put(2);
        key.put(3);
        reader.join().unwrap();
        key.is_true(3);
    });
}

/// One commit may change several keys of a stripe. It is closed with the last of them.
#[test]
fn a_stripe_is_open_until_the_last_of_its_changes_is_done() {
    loom::model(|| {
        let key = Key::with(1, None);
        let reader = {
            let key = Arc::clone(&key);
            thread::spawn(move || key.read())
        };
        // Another key's change, which comes first both times.
        key.stripes.open(0, || ());
        key.stripes.open(0, || *key.kept.lock().unwrap() = None);
        key.stripes.close(0);
        key.engine.store(2, Ordering::Release);
        key.stripes.close(0);
        reader.join().unwrap();
        key.is_true(2);
    });
}
