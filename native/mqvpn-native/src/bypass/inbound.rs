//! From sockets to the device.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use mqvpn_kernel::buffer::{Buffer, Pool};
use mqvpn_kernel::join::join_packets;
use mqvpn_kernel::keys::PacketKeys;
use mqvpn_kernel::open::share_destination;
use mqvpn_kernel::sift::{Gate, Section, Sifting};
use mqvpn_kernel::train::Equal;
use nix::errno::Errno;

use crate::border::number_of;
use crate::bypass::flow_set::Flows;
use crate::bypass::report::{Report, Taken};
use crate::bypass::state::Socket;
use crate::datagrams::{MAX_MESSAGES, Message, Origin, Peer, read_once};
use crate::device::write_frame;

/// Of one run and socket.
const MAX_RUN_MESSAGES: usize = 1024;
const MAX_RUN_BYTES: usize = 786_432;
/// Messages that are joined for the device, at most.
const MAX_SLOTS: usize = 128;

/// Packets with one of our connection IDs, from one peer.
pub struct InboundLane {
    pub cid: Arc<[u8]>,
    pub socket: i64,
    pub peer: Peer,
    pub keys: Arc<PacketKeys>,
    pub gate: Gate,
    pub flows: Flows,
    /// Python waits for acknowledgements, and they come here.
    pub is_awaited: bool,
}

/// The lanes, and room for what is read.
#[derive(Default)]
pub struct Inbound {
    lanes: HashMap<Arc<[u8]>, InboundLane>,
    cid_lens: Vec<usize>,
    slots: Vec<Buffer>,
    pool: Pool,
    /// IP packets that are to be written: which slot, and where in it.
    passed: Vec<(usize, Equal)>,
}

/// Where what passes goes.
#[derive(Clone, Copy)]
pub struct Sink<'a> {
    pub device: BorrowedFd<'a>,
    pub joins_udp: bool,
}

impl Inbound {
    /// Opens a lane, in place of one with the same connection ID.
    pub fn open(&mut self, lane: InboundLane) {
        self.lanes.insert(Arc::clone(&lane.cid), lane);
        self.note_lengths();
    }

    /// Python wants to know at once of whatever comes by this lane and does not pass.
    pub fn hasten(&mut self, cid: &[u8]) {
        if let Some(lane) = self.lanes.get_mut(cid) {
            lane.is_awaited = true;
        }
    }

    /// Closes a lane.
    pub fn close(&mut self, cid: &[u8]) {
        self.lanes.remove(cid);
        self.note_lengths();
    }

    /// Closes all lanes of a socket.
    pub fn close_all_of(&mut self, socket: i64) {
        self.lanes.retain(|_, lane| lane.socket != socket);
        self.note_lengths();
    }

    fn note_lengths(&mut self) {
        self.cid_lens = self.lanes.keys().map(|cid| cid.len()).collect();
        self.cid_lens.sort_unstable();
        self.cid_lens.dedup();
    }

    /// Reads a socket until nothing is left or it is enough; returns how many messages and bytes,
    /// and whether the socket is of use.
    pub fn read(
        &mut self,
        key: i64,
        socket: &mut Socket,
        sink: Sink<'_>,
        report: &mut Report,
    ) -> (usize, usize, bool) {
        let (mut messages, mut bytes, mut used): (usize, usize, usize) = (0, 0, 0);
        let mut calls: usize = 0;
        let mut is_usable = true;
        while calls < MAX_RUN_MESSAGES
            && messages < MAX_RUN_MESSAGES
            && bytes < MAX_RUN_BYTES
            && report.has_room_for_datagrams()
        {
            calls = calls.saturating_add(1);
            if used.saturating_add(MAX_MESSAGES) > MAX_SLOTS {
                self.write(sink, report);
                used = 0;
            }
            match self.read_some(socket.descriptor.as_raw_fd(), used) {
                Ok(read) => {
                    let now = Instant::now();
                    report.note(now);
                    for (index, message) in (used..).zip(&read) {
                        bytes = bytes.saturating_add(message.len);
                        if message.is_useful {
                            socket.counts.note_received(message);
                            self.take(key, message, index, report, now);
                        } else {
                            let counts = &mut socket.counts;
                            counts.unusable_count = counts.unusable_count.saturating_add(1);
                        }
                    }
                    messages = messages.saturating_add(read.len());
                    used = used.saturating_add(read.len());
                    if read.len() < MAX_MESSAGES {
                        break;
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(error) => {
                    report.note(Instant::now());
                    socket.counts.note_error(number_of(error));
                    if matches!(error, Errno::EBADF | Errno::ENOTSOCK | Errno::EFAULT) {
                        is_usable = false;
                        report.note_urgent(Instant::now());
                        break;
                    }
                }
            }
        }
        self.write(sink, report);
        (messages, bytes, is_usable)
    }

    /// Reads messages into slots behind those in use.
    fn read_some(&mut self, descriptor: i32, used: usize) -> nix::Result<Vec<Message>> {
        let end = used.saturating_add(MAX_MESSAGES);
        if self.slots.len() < end {
            self.slots.resize_with(end, Buffer::default);
        }
        let slots = self.slots.get_mut(used..end).unwrap_or_default();
        for slot in slots.iter_mut().filter(|slot| slot.has_no_room()) {
            *slot = self.pool.take();
        }
        read_once(descriptor, slots)
    }

    /// Lets pass what may, and hands up the rest.
    fn take(
        &mut self,
        socket: i64,
        message: &Message,
        index: usize,
        report: &mut Report,
        now: Instant,
    ) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.set_len(message.len);
        let lens = &self.cid_lens;
        let Some(lane) = find(&mut self.lanes, lens, (*slot).as_ref(), message.segment_len) else {
            // Packets of several lanes, perhaps: their numbers count.
            for packet in slot.as_mut_slice().chunks_mut(message.segment_len.max(1)) {
                let len = packet.len();
                if let Some(lane) = find(&mut self.lanes, lens, packet, len) {
                    lane.gate.sift(&lane.keys, packet, len, |_| false);
                }
            }
            report.hand_up(socket, message, slot, true, now);
            return;
        };
        // Opened in any case: a packet that Python gets must not pass when it comes again.
        let is_plain =
            message.origin == Origin { peer: lane.peer, ecn: 0 } && lane.socket == socket;
        let flows = &lane.flows;
        let Sifting { sections, is_urgent } =
            lane.gate.sift(&lane.keys, slot.as_mut_slice(), message.segment_len, |flow| {
                is_plain && flows.has(flow.as_bytes())
            });
        let is_urgent = is_urgent || lane.is_awaited;
        if let [Section::Left(_)] = sections.as_slice() {
            report.hand_up(socket, message, slot, is_urgent, now);
            return;
        }
        for section in sections {
            match section {
                Section::Taken { packet_number, packets, sealed_len } => {
                    self.passed.push((index, packets));
                    report.add_taken(
                        socket,
                        message.origin.peer,
                        Taken {
                            cid: Arc::clone(&lane.cid),
                            first_number: packet_number,
                            count: packets.count,
                            udp_bytes: sealed_len,
                            ip_bytes: packets.total_len(),
                            at: now,
                        },
                    );
                }
                Section::Left(place) => {
                    let bytes = (*slot).as_ref().get(place).unwrap_or_default();
                    let segment_len = message.segment_len.min(bytes.len());
                    let part = Message { len: bytes.len(), segment_len, ..*message };
                    let mut copy = Buffer::copy_of(bytes, 0);
                    report.hand_up(socket, &part, &mut copy, is_urgent, now);
                }
            }
        }
    }

    /// Writes what passed to the device, from where it lies.
    fn write(&mut self, Sink { device, joins_udp }: Sink<'_>, report: &mut Report) {
        if self.passed.is_empty() {
            return;
        }
        let mut packets: Vec<&[u8]> = Vec::with_capacity(self.passed.len());
        for (index, equal) in &self.passed {
            if let Some(slot) = self.slots.get(*index) {
                packets.extend((0..equal.count).filter_map(|at| equal.packet(slot.as_ref(), at)));
            }
        }
        for frame in &join_packets(&packets, joins_udp) {
            if write_frame(device, frame).is_err() {
                // An IP packet may always be lost; reading reports a device that is gone.
                report.refused_count = report.refused_count.saturating_add(frame.packet_count());
            }
        }
        self.passed.clear();
    }
}

/// Finds the lane that all packets of a message belong to.
fn find<'a>(
    lanes: &'a mut HashMap<Arc<[u8]>, InboundLane>,
    cid_lens: &[usize],
    data: &[u8],
    segment_len: usize,
) -> Option<&'a mut InboundLane> {
    let (_, behind) = data.split_first()?;
    let cid = cid_lens
        .iter()
        .filter_map(|len| behind.get(..*len))
        .find(|cid| lanes.contains_key(*cid))?;
    if share_destination(data, segment_len, cid.len()) { lanes.get_mut(cid) } else { None }
}
