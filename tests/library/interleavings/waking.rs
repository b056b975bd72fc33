//! The mailbox of a worker: no message waits for a worker that sleeps.

use loom::sync::Arc;
use loom::thread;

use super::mailbox::Mailbox;

#[test]
fn who_has_messages_does_not_fall_asleep() {
    loom::model(|| {
        let mailbox = Mailbox::new().unwrap();
        assert!(mailbox.fall_asleep());
        mailbox.send("one");
        mailbox.send("two");
        let mut messages = Vec::new();
        assert!(!mailbox.fall_asleep(), "there is something to read");
        mailbox.take(&mut messages);
        assert_eq!(messages, ["one", "two"]);
        assert!(mailbox.fall_asleep());
    });
}

#[test]
fn nobody_waits_for_the_answer_of_a_worker_that_has_ended() {
    loom::model(|| {
        use tokio::sync::oneshot::{self, error::TryRecvError};
        let mailbox = Mailbox::new().unwrap();
        let (early, mut unread) = oneshot::channel::<()>();
        mailbox.send(early);
        assert_eq!(unread.try_recv(), Err(TryRecvError::Empty));
        mailbox.close();
        assert_eq!(unread.try_recv(), Err(TryRecvError::Closed));
        let (late, mut unread) = oneshot::channel::<()>();
        mailbox.send(late);
        assert_eq!(unread.try_recv(), Err(TryRecvError::Closed));
    });
}

/// Reads `expected` messages, and sleeps when there are none. Returns the number of sleeps.
fn read(mailbox: &Mailbox<u32>, expected: usize) -> usize {
    let (mut messages, mut had, mut slept) = (Vec::new(), 0, 0);
    loop {
        mailbox.take(&mut messages);
        had += messages.drain(..).count();
        if had == expected {
            return slept;
        }
        if mailbox.fall_asleep() {
            slept += 1;
            mailbox.waker().wait();
        }
    }
}

#[test]
fn whoever_falls_asleep_is_woken_by_the_next_message() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let senders = [1, 2].map(|message| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.send(message))
        });
        // A lost wake-up would block it for ever.
        let slept = read(&mailbox, 2);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        assert!(mailbox.waker().wakings() <= slept, "who is at work is not woken");
    });
}

#[test]
fn a_message_to_a_mailbox_that_is_being_closed_is_dropped_and_not_kept() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let message = Arc::new(());
        let sender = {
            let (mailbox, message) = (Arc::clone(&mailbox), Arc::clone(&message));
            thread::spawn(move || mailbox.send(message))
        };
        mailbox.close();
        sender.join().unwrap();
        assert_eq!(Arc::strong_count(&message), 1);
    });
}
