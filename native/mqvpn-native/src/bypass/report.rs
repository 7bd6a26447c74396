//! What a bypass did and found, until Python asks.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqvpn_kernel::buffer::Buffer;
use mqvpn_kernel::frames::Content;

use crate::datagrams::{Batch, Message, Peer};

/// What leaves within this time counts as sent together, at the beginning of it: round-trip times
/// may come out longer by so much, never shorter. It takes a load to collect so long, and each entry
/// costs Python as much as any other.
const SENT_TOGETHER: Duration = Duration::from_millis(5);

/// When nothing has happened for so long Python need not linger: perhaps the peer waits for an
/// acknowledgement before it goes on.
const PAUSE: Duration = Duration::from_millis(4);

/// With more in it than this nothing more is read for Python.
const MAX_PARCELS: usize = 512;
const MAX_MESSAGES: usize = 1024;
const MAX_BYTES: usize = 1_500_000;
/// Ranges and errors that are kept, for the sake of memory.
const MAX_ENTRIES: usize = 4096;
const MAX_ERRORS: usize = 256;

/// Packets of a lane that left, or were to leave, in one run.
pub struct Sent {
    pub lane: i64,
    pub first_number: u64,
    /// Length of a packet, count and bytes, as those of a flight.
    pub shapes: Vec<(usize, usize, usize)>,
    /// What each approval is called, packets and bytes of IP.
    pub flows: Vec<(i64, usize, usize)>,
    /// The IP packets, all or none of them.
    pub payloads: Vec<Content>,
    pub at: Instant,
}

/// Sealed packets that a socket did not take.
pub struct Unsent {
    pub lane: i64,
    pub data: Vec<u8>,
    pub segment_len: usize,
}

/// Packets of a lane with consecutive numbers that were written to the device.
pub struct Taken {
    pub cid: Arc<[u8]>,
    pub first_number: u64,
    pub count: usize,
    pub udp_bytes: usize,
    pub ip_bytes: usize,
    pub at: Instant,
}

/// What came.
pub enum Arrival {
    Taken(Taken),
    /// Datagrams of a socket, for Python, and when the last of them came.
    Handed(i64, Batch, Instant),
}

/// What went through a socket.
#[derive(Default)]
pub struct Counts {
    pub received_count: usize,
    pub received_bytes: usize,
    pub sent_count: usize,
    pub sent_bytes: usize,
    pub unusable_count: usize,
    pub errors: Vec<i32>,
}

impl Counts {
    /// There is nothing to tell.
    pub fn is_zero(&self) -> bool {
        self.received_count == 0
            && self.sent_count == 0
            && self.unusable_count == 0
            && self.errors.is_empty()
    }

    /// Counts what was received.
    pub fn note_received(&mut self, message: &Message) {
        self.received_count = self.received_count.saturating_add(message.count());
        self.received_bytes = self.received_bytes.saturating_add(message.len);
    }

    /// Counts what was sent.
    pub fn note_sent(&mut self, count: usize, bytes: usize) {
        self.sent_count = self.sent_count.saturating_add(count);
        self.sent_bytes = self.sent_bytes.saturating_add(bytes);
    }

    /// Keeps the number of an error.
    pub fn note_error(&mut self, number: i32) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(number);
        }
    }
}

/// All that Python does not know yet, besides the counts of the sockets.
#[derive(Default)]
pub struct Report {
    pub sent: Vec<Sent>,
    pub arrivals: Vec<Arrival>,
    pub unsent: Vec<Unsent>,
    pub parcels: Vec<Content>,
    /// Bytes of IP packets in what was sent.
    pub kept_bytes: usize,
    pub refused_count: usize,
    pub device_error: i32,
    /// Datagrams that Python had to know of at once.
    pub urgent_count: usize,
    /// What each lane sent last.
    last_sent: HashMap<i64, usize>,
    /// The last arrival of each peer.
    last: HashMap<(i64, Peer), usize>,
    handed_count: usize,
    handed_bytes: usize,
    parcel_bytes: usize,
    since: Option<Instant>,
    until: Option<Instant>,
    is_urgent: bool,
    is_told: bool,
}

impl Report {
    /// Takes everything out.
    pub fn take(&mut self) -> Self {
        mem::take(self)
    }

    /// Sockets may be read: there is room for what they bring.
    pub fn has_room_for_datagrams(&self) -> bool {
        self.handed_count <= MAX_MESSAGES
            && self.handed_bytes <= MAX_BYTES
            && self.arrivals.len() <= MAX_ENTRIES
    }

    /// The device may be read: there is room for what it brings.
    pub fn has_room_for_parcels(&self) -> bool {
        self.parcels.len() <= MAX_PARCELS
            && self.parcel_bytes <= MAX_BYTES
            && self.sent.len() <= MAX_ENTRIES
    }

    /// Says when Python is to be told; nothing if there is nothing to tell, or it knows.
    /// What can wait a little is told after `linger`, or in a pause.
    pub fn deadline(&self, linger: Duration) -> Option<Instant> {
        if self.is_told {
            return None;
        }
        let (since, until) = (self.since?, self.until?);
        if self.is_urgent {
            return Some(since);
        }
        Some(since.checked_add(linger)?.min(until.checked_add(PAUSE)?))
    }

    /// Python is told.
    pub fn note_told(&mut self) {
        self.is_told = true;
    }

    /// Something happened that can wait a little.
    pub fn note(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.until = Some(now);
    }

    /// Something happened that Python has to know at once.
    pub fn note_urgent(&mut self, now: Instant) {
        self.note(now);
        self.is_urgent = true;
    }

    /// Packets left, or stayed behind; joins them with what the lane sent just before.
    pub fn add_sent(&mut self, sent: Sent) {
        self.note(sent.at);
        // Others may have sent in between.
        let position = self.last_sent.get(&sent.lane).copied();
        match position.and_then(|at| self.sent.get_mut(at)) {
            Some(before) if before.goes_on_with(&sent) => before.append(sent),
            _ => {
                self.last_sent.insert(sent.lane, self.sent.len());
                self.sent.push(sent);
            }
        }
    }

    /// A socket did not take packets.
    pub fn add_unsent(&mut self, unsent: Unsent, now: Instant) {
        self.note_urgent(now);
        self.unsent.push(unsent);
    }

    /// Packets from the device that go by no lane.
    pub fn add_parcel(&mut self, parcel: Content, now: Instant) {
        self.note_urgent(now);
        let len = match &parcel {
            Content::Packet(packet) => packet.len(),
            Content::Train(train) => train.total_len(),
        };
        self.parcel_bytes = self.parcel_bytes.saturating_add(len);
        self.parcels.push(parcel);
    }

    /// Packets went to the device; joins them with what the peer sent last if that is possible.
    pub fn add_taken(&mut self, socket: i64, peer: Peer, taken: Taken) {
        self.note(taken.at);
        let position = self.last.get(&(socket, peer)).copied();
        if let Some(Arrival::Taken(before)) = position.and_then(|at| self.arrivals.get_mut(at))
            && before.goes_on_with(&taken)
        {
            before.count = before.count.saturating_add(taken.count);
            before.udp_bytes = before.udp_bytes.saturating_add(taken.udp_bytes);
            before.ip_bytes = before.ip_bytes.saturating_add(taken.ip_bytes);
            before.at = taken.at;
            return;
        }
        self.last.insert((socket, peer), self.arrivals.len());
        self.arrivals.push(Arrival::Taken(taken));
    }

    /// Datagrams for Python, in a buffer that may be kept.
    pub fn hand_up(
        &mut self,
        socket: i64,
        message: &Message,
        slot: &mut Buffer,
        is_urgent: bool,
        now: Instant,
    ) {
        self.note(now);
        if is_urgent {
            self.is_urgent = true;
            self.urgent_count = self.urgent_count.saturating_add(message.count());
        }
        self.handed_count = self.handed_count.saturating_add(1);
        self.handed_bytes = self.handed_bytes.saturating_add(message.len);
        let key = (socket, message.origin.peer);
        let position = self.last.get(&key).copied();
        if let Some(Arrival::Handed(_, batch, at)) =
            position.and_then(|at| self.arrivals.get_mut(at))
            && batch.takes(message)
        {
            batch.add(message, slot);
            *at = now;
            return;
        }
        self.last.insert(key, self.arrivals.len());
        self.arrivals.push(Arrival::Handed(socket, Batch::new(message, slot), now));
    }
}

impl Sent {
    fn goes_on_with(&self, next: &Self) -> bool {
        let count = self.shapes.iter().fold(0_usize, |sum, shape| sum.saturating_add(shape.1));
        let behind = u64::try_from(count).ok().and_then(|it| self.first_number.checked_add(it));
        self.lane == next.lane
            && self.payloads.is_empty() == next.payloads.is_empty()
            && behind == Some(next.first_number)
            && next.at.saturating_duration_since(self.at) < SENT_TOGETHER
    }

    fn append(&mut self, next: Self) {
        for (size, count, total) in next.shapes {
            match self.shapes.last_mut() {
                // Of the packets before none was shorter.
                Some(last) if last.0 == size && last.0.saturating_mul(last.1) == last.2 => {
                    last.1 = last.1.saturating_add(count);
                    last.2 = last.2.saturating_add(total);
                }
                _ => self.shapes.push((size, count, total)),
            }
        }
        for (flow, count, total) in next.flows {
            match self.flows.iter_mut().find(|known| known.0 == flow) {
                Some(known) => {
                    known.1 = known.1.saturating_add(count);
                    known.2 = known.2.saturating_add(total);
                }
                None => self.flows.push((flow, count, total)),
            }
        }
        self.payloads.extend(next.payloads);
    }
}

impl Taken {
    fn goes_on_with(&self, next: &Self) -> bool {
        let behind =
            u64::try_from(self.count).ok().and_then(|it| self.first_number.checked_add(it));
        self.cid == next.cid && behind == Some(next.first_number)
    }
}
