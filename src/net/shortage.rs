//! A shortage of descriptors or memory for another connection: how long accepting pauses.

use std::fmt;
use std::time::Duration;

/// The first pause when descriptors or memory are short. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A shortage of descriptors, from its first sign until no client is waiting to be accepted.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    pause: Option<Duration>,
}

impl Shortage {
    /// Records a sign of it, and returns how long to wait before the next attempt.
    pub(super) fn next_pause(&mut self, sign: &dyn fmt::Display) -> Duration {
        let pause = match self.pause {
            None => {
                tracing::error!(error = %sign,
                    "cannot accept connections for now: out of descriptors or memory ({sign})");
                FIRST_PAUSE
            }
            Some(pause) => (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
        };
        self.pause = Some(pause);
        pause
    }

    /// Records that a connection was accepted. The next may not be.
    pub(super) fn relax(&mut self) {
        self.pause = self.pause.map(|_| Duration::ZERO);
    }

    /// Records that no client is waiting. Without a spare descriptor, the kernel does not even report that.
    pub(super) fn end(&mut self) {
        if self.pause.take().is_some() {
            tracing::info!("accepting connections again");
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_start_afresh() {
        let mut shortage = Shortage::default();
        let pauses: Vec<_> = (0..9).map(|_| shortage.next_pause(&Errno::MFILE).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        shortage.relax();
        assert_eq!(shortage.next_pause(&Errno::MFILE), FIRST_PAUSE);
        shortage.end();
        assert_eq!(shortage.next_pause(&Errno::NFILE), FIRST_PAUSE);
    }
}
