//! The job queue between the walker and the workers: bounded, first in, first out.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Most waiting jobs, of about 300 bytes each.
const MAX_WAITING: usize = 16 << 10;

/// A bounded queue of jobs.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    taken: Condvar,
}

struct State<T> {
    jobs: VecDeque<T>,
    /// Jobs being worked on: the rest of one may be returned to the queue.
    active: usize,
    closed: bool,
}

/// Marks a job as being worked on until it is dropped, also by a panic.
pub(super) struct Active<'q, T>(&'q Queue<T>);

impl<T> Drop for Active<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.active -= 1;
        if state.closed && state.active == 0 {
            self.0.filled.notify_all();
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let state = State { jobs: VecDeque::new(), active: 0, closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), taken: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; waits for room. A closed queue drops the job.
    pub(super) fn push(&self, job: T) {
        let mut state = self.state();
        while state.jobs.len() >= MAX_WAITING && !state.closed {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.closed {
            state.jobs.push_back(job);
            self.filled.notify_one();
        }
    }

    /// Returns the rest of a job that was taken, to be taken next. It does not wait, as the number of jobs does not grow,
    /// and a closed queue accepts it as well.
    pub(super) fn give_back(&self, job: T) {
        self.state().jobs.push_front(job);
        self.filled.notify_one();
    }

    /// Waits for a job; `None` when the queue is closed and empty, and no job is being worked on.
    pub(super) fn pop(&self) -> Option<(T, Active<'_, T>)> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                if state.jobs.len() == MAX_WAITING / 2 {
                    self.taken.notify_all();
                }
                state.active += 1;
                return Some((job, Active(self)));
            }
            if state.closed && state.active == 0 {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Closes the queue: no more jobs are added.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
        self.taken.notify_all();
    }
}

/// Closes the queue when it is dropped, also by a panic, so that no worker waits forever.
pub(super) struct Closing<'q, T>(pub(super) &'q Queue<T>);

impl<T> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_out_in_order() {
        let queue = Queue::new();
        let sum = std::thread::scope(|scope| {
            scope.spawn(|| {
                let _closing = Closing(&queue);
                (0..100_000_u64).for_each(|job| queue.push(job));
            });
            let mut last = None;
            let mut sum = 0;
            while let Some((job, _active)) = queue.pop() {
                assert!(last.is_none_or(|last| last < job));
                last = Some(job);
                sum += job;
            }
            sum
        });
        assert_eq!(sum, 99_999 * 50_000);
        queue.push(1);
        assert!(queue.pop().is_none());
    }

    #[test]
    fn what_is_given_back_is_shared_by_all_even_after_the_end() {
        let (queue, done) = (Queue::new(), Mutex::new(Vec::new()));
        queue.push(0..1000_u32);
        queue.close();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some((range, _active)) = queue.pop() {
                        if range.len() > 1 {
                            queue.give_back(range.start + 1..range.end);
                        }
                        assert!(queue.state().jobs.len() <= 1);
                        done.lock().unwrap().push(range.start);
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..1000));
    }
}
