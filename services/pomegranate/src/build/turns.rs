//! Who builds and who waits: first come, first served.

use std::collections::BTreeSet;

use tokio::sync::watch;

/// Hands out turns, so many at a time.
pub(crate) struct Turns {
    at_a_time: usize,
    /// Who builds, then who waits, by ticket.
    line: watch::Sender<BTreeSet<u64>>,
}

/// Lasts until it is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    ticket: u64,
}

impl Turns {
    /// At least one at a time.
    pub(crate) fn new(at_a_time: usize) -> Self {
        Self { at_a_time: at_a_time.max(1), line: watch::Sender::default() }
    }

    /// Waits for a turn; `told` gets the place in the queue, 1 for the next, whenever it is another.
    pub(crate) async fn take(&self, told: impl Fn(usize)) -> Turn<'_> {
        let mut changes = self.line.subscribe();
        let mut ticket = 0;
        self.line.send_modify(|line| {
            ticket = line.last().map_or(0, |last| last + 1);
            line.insert(ticket);
        });
        let turn = Turn { turns: self, ticket };
        let mut place = 0;
        loop {
            let before = changes.borrow_and_update().range(..ticket).count();
            if before < self.at_a_time {
                return turn;
            }
            let now = before - self.at_a_time + 1;
            if std::mem::replace(&mut place, now) != now {
                told(now);
            }
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.line.send_modify(|line| {
            line.remove(&self.ticket);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, pin::pin};

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_came_first_builds_first_and_who_waits_knows_the_place() {
        let turns = Turns::new(2);
        let [first, second] = [turns.take(|_| panic!("free")).await, turns.take(|_| panic!("free")).await];
        let told = RefCell::new(Vec::new());
        let mut third = pin!(turns.take(|place| told.borrow_mut().push((3, place))));
        let mut fourth = pin!(turns.take(|place| told.borrow_mut().push((4, place))));
        assert!(third.as_mut().now_or_never().is_none() && fourth.as_mut().now_or_never().is_none());
        drop(second);
        assert!(fourth.as_mut().now_or_never().is_none(), "it came later");
        let third = third.await;
        assert_eq!(*told.borrow(), [(3, 1), (4, 2), (4, 1)]);
        drop((first, third));
        fourth.await;
        assert!(turns.line.borrow().is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_holds_nobody_back() {
        let turns = Turns::new(1);
        let first = turns.take(|_| {}).await;
        {
            let mut gone = Box::pin(turns.take(|_| {}));
            assert!(gone.as_mut().now_or_never().is_none());
        }
        let mut waits = pin!(turns.take(|place| assert_eq!(place, 1)));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waits.now_or_never().is_some());
    }
}
