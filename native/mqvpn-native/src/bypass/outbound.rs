//! From the device to sockets.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use mqvpn_kernel::chain::split_frames;
use mqvpn_kernel::flows::{FiveTuple, Flow};
use mqvpn_kernel::frame_room::FrameRoom;
use mqvpn_kernel::frames::Content;
use mqvpn_kernel::keeping::Keeping;
use mqvpn_kernel::runs::{self, Run};
use nix::errno::Errno;

use crate::batch::{Batch, Envelope, Front, OWN_FRONT_LEN, Sent as Outcome, Source};
use crate::border::number_of;
use crate::bypass::flow_set::Flows;
use crate::bypass::report::{Report, Sent, Unsent};
use crate::bypass::state::Sockets;
use crate::destination::Destination;
use crate::device::{read_frames, read_one};

/// Of one run.
const MAX_FRAMES: usize = 256;
const MAX_RUN_BYTES: usize = 786_432;
/// Approvals of all lanes; one more, and all are forgotten.
const MAX_APPROVALS: usize = 4096;

/// Packets of one path to a peer, as long as there is room for them.
pub struct OutboundLane {
    pub socket: i64,
    pub destination: Destination,
    pub envelope: Arc<Envelope>,
    pub next_number: u64,
    pub front: [u8; OWN_FRONT_LEN],
    pub flows: Flows,
    /// Longest IP packet.
    pub mtu: usize,
    /// Bytes and packets that may leave.
    pub credit: usize,
    pub max_packets: usize,
    /// What leaves may have to be sent again.
    pub keeps: bool,
    pub kept_bytes: usize,
    pub is_open: bool,
    /// What leaves at the end of the run.
    pub load: Load,
}

/// IP packets, and what they were approved as: packets and bytes of each.
#[derive(Default)]
pub struct Load {
    sources: Vec<Source>,
    flows: Vec<(i64, usize, usize)>,
}

/// The lanes, and which packets go by them.
#[derive(Default)]
pub struct Outbound {
    lanes: BTreeMap<i64, OutboundLane>,
    /// Lane, and what Python calls the flow.
    approvals: HashMap<FiveTuple, (i64, i64)>,
    frames: FrameRoom,
    room: Vec<u8>,
    keeping: Keeping,
}

impl Outbound {
    /// Opens a lane, in place of one with the same number; its approvals stay.
    pub fn open(&mut self, key: i64, lane: OutboundLane) {
        self.lanes.insert(key, lane);
    }

    /// Closes a lane and forgets what went by it.
    pub fn close(&mut self, key: i64) {
        self.lanes.remove(&key);
        self.forget(key);
    }

    /// Closes all lanes of a socket.
    pub fn close_all_of(&mut self, socket: i64) {
        self.lanes.retain(|_, lane| lane.socket != socket);
        self.approvals.retain(|_, (lane, _)| self.lanes.contains_key(lane));
    }

    /// Forgets what went by a lane.
    pub fn forget(&mut self, key: i64) {
        self.approvals.retain(|_, (lane, _)| *lane != key);
    }

    /// Lets packets like this one go by a lane, unless it would take none of them.
    pub fn approve(&mut self, lane: i64, flow: i64, packet: &[u8]) -> bool {
        let Some(key) = FiveTuple::of(packet) else { return false };
        let flows = self.lanes.get(&lane).map(|lane| &lane.flows);
        if !flows.is_some_and(|flows| flows.has(key.flow().as_bytes())) {
            return false;
        }
        if self.approvals.len() >= MAX_APPROVALS && !self.approvals.contains_key(&key) {
            self.approvals.clear();
        }
        self.approvals.insert(key, (lane, flow));
        true
    }

    /// Reads the device until nothing is left or it is enough, and sends what goes by lanes.
    ///
    /// Returns how many frames and bytes were read, and an error or 0.
    pub fn read(
        &mut self,
        device: BorrowedFd<'_>,
        sockets: &mut Sockets,
        report: &mut Report,
    ) -> (usize, usize, i32) {
        let read = read_frames(&mut self.frames, MAX_FRAMES, MAX_RUN_BYTES, |slot| {
            match read_one(device, slot) {
                // A device has no end; what stands for one in its place may have.
                Ok(0) => Err(Errno::EPIPE),
                outcome => outcome,
            }
        });
        let now = Instant::now();
        for content in split_frames(self.frames.finish()) {
            self.place(content, report, now);
        }
        for (key, lane) in &mut self.lanes {
            if !lane.load.sources.is_empty() {
                lane.send(*key, sockets, &mut self.room, &mut self.keeping, report);
            }
        }
        read
    }

    /// Gives packets to the lane they go by, if there is one that takes them.
    fn place(&mut self, content: Content, report: &mut Report, now: Instant) {
        let key = match &content {
            Content::Packet(packet) => FiveTuple::of(packet),
            Content::Train(train) => FiveTuple::of_train(train),
        };
        let approval = key.and_then(|key| self.approvals.get(&key).copied());
        let rest = match approval.and_then(|(key, flow)| Some((self.lanes.get_mut(&key)?, flow))) {
            Some((lane, flow)) if lane.is_open => lane.take(content, flow),
            _ => Some(content),
        };
        if let Some(rest) = rest {
            report.add_parcel(rest, now);
        }
    }
}

impl OutboundLane {
    /// Takes packets; what it cannot take it gives back, and closes itself so that nothing
    /// overtakes that.
    fn take(&mut self, content: Content, flow: i64) -> Option<Content> {
        let taken = self.fitting(&content);
        let (content, rest) = match content {
            Content::Packet(_) if taken == 0 => (None, Some(content)),
            Content::Packet(_) => (Some(content), None),
            Content::Train(train) => {
                let part = |start, stop| {
                    let part = train.part(start, stop);
                    (!part.is_empty()).then_some(Content::Train(part))
                };
                (part(0, taken), part(taken, train.len()))
            }
        };
        if rest.is_some() {
            self.is_open = false;
        }
        if let Some(content) = content {
            self.load(content, flow);
        }
        rest
    }

    /// Returns how many of the packets may go, from the first on.
    fn fitting(&self, content: &Content) -> usize {
        let (flow, len, count) = match content {
            Content::Packet(packet) => {
                (Flow::of(packet).map(|flow| self.flows.has(flow.as_bytes())), packet.len(), 1)
            }
            Content::Train(train) => {
                (train.flow().map(|flow| self.flows.has(&flow)), train.packet_len(0), train.len())
            }
        };
        if flow != Some(true) || len > self.mtu {
            return 0;
        }
        let by_credit = self.credit.checked_div(self.sealed_len(len)).unwrap_or_default();
        count.min(by_credit).min(self.max_packets)
    }

    fn sealed_len(&self, packet_len: usize) -> usize {
        self.envelope.sealed_len(packet_len.saturating_add(self.front.len()))
    }

    /// Takes packets that fit.
    fn load(&mut self, content: Content, flow: i64) {
        let (count, bytes, sealed) = match &content {
            Content::Packet(packet) => (1, packet.len(), self.sealed_len(packet.len())),
            Content::Train(train) => {
                let last = train.len().saturating_sub(1);
                let full = self.sealed_len(train.packet_len(0)).saturating_mul(last);
                let sealed = full.saturating_add(self.sealed_len(train.packet_len(last)));
                (train.len(), train.total_len(), sealed)
            }
        };
        self.credit = self.credit.saturating_sub(sealed);
        self.max_packets = self.max_packets.saturating_sub(count);
        let front = Front::Own(self.front);
        self.load.sources.push(match content {
            Content::Packet(packet) => Source::Packet(front, packet),
            Content::Train(train) => Source::Train(front, train),
        });
        match self.load.flows.iter_mut().rev().find(|known| known.0 == flow) {
            Some((_, packets, total)) => {
                *packets = packets.saturating_add(count);
                *total = total.saturating_add(bytes);
            }
            None => self.load.flows.push((flow, count, bytes)),
        }
    }

    /// Seals and sends what was taken; what the socket does not take is sealed for Python.
    fn send(
        &mut self,
        key: i64,
        sockets: &mut Sockets,
        room: &mut Vec<u8>,
        keeping: &mut Keeping,
        report: &mut Report,
    ) {
        let Load { sources, flows } = mem::take(&mut self.load);
        let first_number = self.next_number;
        let batch = Batch::new(Arc::clone(&self.envelope), first_number, sources);
        let count = u64::try_from(batch.sizes().len()).unwrap_or(u64::MAX);
        self.next_number = first_number.saturating_add(count);
        let runs = runs::plan(batch.sizes());
        let socket = sockets.get_mut(&self.socket);
        let descriptor = socket.as_ref().map_or(-1, |socket| socket.descriptor.as_raw_fd());
        let at = Instant::now();
        let outcome = batch
            .send_runs(&runs, descriptor, &self.destination, room)
            // Nobody can send what cannot be sealed: it is lost.
            .unwrap_or(Outcome {
                runs: runs.len(),
                packets: 0,
                bytes: 0,
                error: number_of(Errno::EMSGSIZE),
            });
        if let Some(socket) = socket {
            socket.counts.note_sent(outcome.packets, outcome.bytes);
        }
        if outcome.error != 0 {
            self.is_open = false;
            report.note_urgent(at);
            let rest = runs.get(outcome.runs..).unwrap_or_default();
            seal_rest(key, &batch, rest, outcome.packets, report, at);
        }
        let shapes = runs::join_like(&runs);
        let payloads = if self.may_keep(&flows, keeping, report, at) {
            batch.into_contents()
        } else {
            Vec::new()
        };
        report.add_sent(Sent {
            lane: key,
            first_number,
            shapes: shapes.iter().map(|run| (run.segment_len, run.count, run.total_len)).collect(),
            flows,
            payloads,
            at,
        });
    }

    /// Tells whether these packets are to be kept, and counts them if so.
    fn may_keep(
        &mut self,
        flows: &[(i64, usize, usize)],
        keeping: &mut Keeping,
        report: &mut Report,
        now: Instant,
    ) -> bool {
        let bytes = flows.iter().fold(0_usize, |sum, flow| sum.saturating_add(flow.2));
        let keeps = self.keeps && keeping.admits(bytes, report.kept_bytes, self.kept_bytes, now);
        if keeps {
            self.kept_bytes = self.kept_bytes.saturating_add(bytes);
            report.kept_bytes = report.kept_bytes.saturating_add(bytes);
        }
        keeps
    }
}

fn seal_rest(
    lane: i64,
    batch: &Batch,
    runs: &[Run],
    start: usize,
    report: &mut Report,
    now: Instant,
) {
    let mut start = start;
    for run in runs {
        let mut data = vec![0; run.total_len];
        if batch.seal_into(start, run.count, &mut data).is_ok() {
            report.add_unsent(Unsent { lane, data, segment_len: run.segment_len }, now);
        }
        start = start.saturating_add(run.count);
    }
}
