//! The thread of a bypass: waits for packets, moves them, and tells Python.

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;

use crate::bypass::state::{Moved, Phase, Place, State, Watched};

/// From the start of a run that moved much to the start of the next: what comes in between makes
/// larger batches.
const BUSY_INTERVAL: Duration = Duration::from_micros(500);
const MUCH_BYTES: usize = 65_536;
const MUCH_COUNT: usize = 64;
/// How long anybody waits for the thread to leave `poll`, after it was woken.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the thread shares with Python.
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Somebody wants to hold: the thread keeps away from the lock.
    is_wanted: AtomicBool,
    /// Ends a `poll` of the thread.
    wake: EventFd,
    /// What Python waits for.
    pub told: EventFd,
}

/// What the thread waits for, and until when.
struct Plan {
    watched: Vec<(Watched, Arc<OwnedFd>)>,
    deadline: Option<Instant>,
}

impl Shared {
    /// Prepares, with nothing to do.
    pub fn new(state: State) -> nix::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            is_wanted: AtomicBool::new(false),
            wake: EventFd::from_flags(flags)?,
            told: EventFd::from_flags(flags)?,
        })
    }

    /// Waits for a run in progress.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does not wait.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        self.state.try_lock().ok()
    }

    /// Stops the thread; it may be in `poll`, but moves nothing.
    pub fn hold(&self) -> MutexGuard<'_, State> {
        self.is_wanted.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        if state.orders.phase == Phase::Released {
            state.orders.phase = Phase::Held;
        }
        state.orders.has_changed |= state.is_throttled;
        self.is_wanted.store(false, Ordering::Relaxed);
        // There is nothing to read if Python was not told.
        let _ = self.told.read();
        state
    }

    /// Lets the thread go on.
    pub fn release(&self, state: &mut State) {
        if state.orders.phase == Phase::Held {
            state.orders.phase = Phase::Released;
        }
        self.apply(state);
    }

    /// Makes the thread see what has changed, unless it is held.
    pub fn apply(&self, state: &mut State) {
        let orders = &state.orders;
        let is_closed = orders.phase == Phase::Closed;
        match orders.place {
            _ if orders.phase == Phase::Held => {}
            Place::Waiting => self.changed.notify_all(),
            Place::Polling if orders.has_changed || is_closed => self.wake(),
            Place::Polling | Place::Elsewhere => {}
        }
    }

    /// Waits until the thread has put away the descriptors it waits for.
    pub fn wait_for_thread<'a>(&'a self, mut state: MutexGuard<'a, State>) {
        if state.orders.place == Place::Polling {
            self.wake();
            state.orders.is_awaited = true;
            let outcome = self
                .changed
                .wait_timeout_while(state, PATIENCE, |state| state.orders.place == Place::Polling);
            state = outcome.unwrap_or_else(PoisonError::into_inner).0;
            state.orders.is_awaited = false;
        }
    }

    fn wake(&self) {
        // The only error is that there are 2^64 - 2 wakes already.
        let _ = self.wake.write(1);
    }

    /// Tells Python.
    fn tell(&self, state: &mut State) {
        state.report.note_told();
        let _ = self.told.write(1);
    }

    /// Does the work until it is closed.
    pub fn serve(&self) {
        // Signals are for the threads of the interpreter.
        let _ = SigSet::all().thread_block();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            while let Some(plan) = self.next_plan() {
                let ready = self.wait(plan);
                self.round(&ready);
            }
        }));
        if outcome.is_err() {
            let mut state = self.lock();
            state.orders.phase = Phase::Broken;
            state.orders.place = Place::Elsewhere;
            self.tell(&mut state);
        }
    }

    /// Waits while held; nothing at the end.
    fn next_plan(&self) -> Option<Plan> {
        let mut state = self.lock();
        loop {
            let is_wanted = self.is_wanted.load(Ordering::Relaxed);
            match state.orders.phase {
                Phase::Closed | Phase::Broken => return None,
                Phase::Released if !is_wanted => break,
                Phase::Released | Phase::Held => {}
            }
            state.orders.place = Place::Waiting;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.orders.place = Place::Elsewhere;
        }
        state.orders.has_changed = false;
        state.orders.place = Place::Polling;
        Some(Plan { watched: state.watched(), deadline: state.deadline() })
    }

    /// Waits until something can be read, it is time to tell Python, or somebody wakes the thread.
    fn wait(&self, plan: Plan) -> Vec<Watched> {
        let timeout = plan.deadline.map(|deadline| {
            TimeSpec::from_duration(deadline.saturating_duration_since(Instant::now()))
        });
        let descriptors = plan.watched.iter().map(|(_, descriptor)| descriptor.as_fd());
        let mut waiting: Vec<PollFd<'_>> = descriptors
            .chain([self.wake.as_fd()])
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        if ppoll(&mut waiting, timeout, None).is_err() {
            // A signal, or no memory: as if nothing were there.
            return Vec::new();
        }
        let is_ready = |descriptor: &PollFd<'_>| descriptor.any().unwrap_or(true);
        if waiting.last().is_some_and(is_ready) {
            let _ = self.wake.read();
        }
        let watched = plan.watched.iter().zip(&waiting);
        watched.filter(|(_, it)| is_ready(it)).map(|((watched, _), _)| *watched).collect()
    }

    /// Moves what is there, unless somebody holds; tells Python if it is time.
    fn round(&self, ready: &[Watched]) {
        let start = Instant::now();
        let mut state = self.lock();
        state.orders.place = Place::Elsewhere;
        if state.orders.is_awaited {
            self.changed.notify_all();
        }
        let is_released = state.orders.phase == Phase::Released;
        if !is_released || self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let moved = state.run(ready, &self.is_wanted);
        if state.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            self.tell(&mut state);
        }
        drop(state);
        if moved.is_much() {
            thread::sleep(BUSY_INTERVAL.saturating_sub(start.elapsed()));
        }
    }
}

impl Moved {
    fn is_much(&self) -> bool {
        self.bytes >= MUCH_BYTES || self.count >= MUCH_COUNT
    }
}
