//! All that a bypass knows, and one run of it.

use std::collections::HashMap;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::bypass::flow_set::start_run;
use crate::bypass::inbound::{Inbound, Sink};
use crate::bypass::outbound::Outbound;
use crate::bypass::report::{Counts, Report};

/// A socket, and what went through it since Python was told.
pub struct Socket {
    pub descriptor: Arc<OwnedFd>,
    pub counts: Counts,
}

/// The sockets by the keys that Python gave them.
pub type Sockets = HashMap<i64, Socket>;

/// What can be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    Socket(i64),
    Device,
}

/// How much a run has moved.
#[derive(Clone, Copy, Default)]
pub struct Moved {
    pub count: usize,
    pub bytes: usize,
}

/// What the thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Released,
    Held,
    Closed,
    /// It has ended because of a bug.
    Broken,
}

/// Where the thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It waits to be released.
    Waiting,
    /// In `poll`, or on its way there or back.
    Polling,
    Elsewhere,
}

/// What concerns the thread itself.
pub struct Orders {
    pub phase: Phase,
    pub place: Place,
    /// Somebody waits for the thread to leave `poll`.
    pub is_awaited: bool,
    /// The thread waits for other descriptors than it should.
    pub has_changed: bool,
}

/// All that a bypass knows.
pub struct State {
    pub orders: Orders,
    pub device: Option<Arc<OwnedFd>>,
    pub device_is_armed: bool,
    pub joins_udp: bool,
    pub sockets: Sockets,
    /// Sockets that are read, in order.
    pub armed: Vec<i64>,
    pub inbound: Inbound,
    pub outbound: Outbound,
    pub report: Report,
    /// Something is not read because there is no room for it.
    pub is_throttled: bool,
    /// How long Python need not know of what it has nothing to do with.
    pub linger: Duration,
}

impl State {
    /// Starts with a device, held.
    pub fn new(device: OwnedFd, joins_udp: bool) -> Self {
        Self {
            orders: Orders {
                phase: Phase::Held,
                place: Place::Elsewhere,
                is_awaited: false,
                has_changed: false,
            },
            device: Some(Arc::new(device)),
            device_is_armed: false,
            joins_udp,
            sockets: HashMap::new(),
            armed: Vec::new(),
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            report: Report::default(),
            is_throttled: false,
            linger: Duration::ZERO,
        }
    }

    /// Says when Python is to be told.
    pub fn deadline(&self) -> Option<Instant> {
        self.report.deadline(self.linger)
    }

    /// Says what is to be waited for.
    pub fn watched(&mut self) -> Vec<(Watched, Arc<OwnedFd>)> {
        let mut watched = Vec::with_capacity(self.armed.len().saturating_add(1));
        let takes_datagrams = self.report.has_room_for_datagrams();
        let takes_parcels = self.report.has_room_for_parcels();
        self.is_throttled = !takes_datagrams || !takes_parcels;
        if takes_datagrams {
            for key in &self.armed {
                if let Some(socket) = self.sockets.get(key) {
                    watched.push((Watched::Socket(*key), Arc::clone(&socket.descriptor)));
                }
            }
        }
        if let Some(device) = self.device.as_ref().filter(|_| self.device_is_armed && takes_parcels)
        {
            watched.push((Watched::Device, Arc::clone(device)));
        }
        watched
    }

    /// Moves what is there; ends early when somebody wants to hold.
    pub fn run(&mut self, ready: &[Watched], is_wanted: &AtomicBool) -> Moved {
        let Some(device) = self.device.clone() else { return Moved::default() };
        let _run = start_run();
        let mut moved = Moved::default();
        for watched in ready {
            if is_wanted.load(Ordering::Relaxed) {
                break;
            }
            match watched {
                Watched::Socket(key) => {
                    if !self.armed.contains(key) {
                        continue;
                    }
                    let Some(socket) = self.sockets.get_mut(key) else { continue };
                    let sink = Sink { device: device.as_fd(), joins_udp: self.joins_udp };
                    let (count, bytes, is_usable) =
                        self.inbound.read(*key, socket, sink, &mut self.report);
                    moved.add(count, bytes);
                    if !is_usable {
                        self.armed.retain(|other| other != key);
                    }
                }
                Watched::Device if self.device_is_armed => {
                    let (count, bytes, error) =
                        self.outbound.read(device.as_fd(), &mut self.sockets, &mut self.report);
                    moved.add(count, bytes);
                    if error != 0 {
                        self.device_is_armed = false;
                        self.report.device_error = error;
                        self.report.note_urgent(Instant::now());
                    }
                }
                Watched::Device => {}
            }
        }
        moved
    }

    /// Takes out what Python is to be told of the sockets.
    pub fn take_counts(&mut self) -> Vec<(i64, Counts)> {
        let mut counts: Vec<(i64, Counts)> = self
            .sockets
            .iter_mut()
            .filter(|(_, socket)| !socket.counts.is_zero())
            .map(|(key, socket)| (*key, mem::take(&mut socket.counts)))
            .collect();
        counts.sort_unstable_by_key(|(key, _)| *key);
        counts
    }

    /// Gives back all descriptors.
    pub fn clear(&mut self) {
        self.device = None;
        self.device_is_armed = false;
        self.sockets.clear();
        self.armed.clear();
        self.inbound = Inbound::default();
        self.outbound = Outbound::default();
        self.report = Report::default();
    }
}

impl Moved {
    fn add(&mut self, count: usize, bytes: usize) {
        self.count = self.count.saturating_add(count);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}
