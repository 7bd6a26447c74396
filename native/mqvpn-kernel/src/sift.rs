//! Takes plain packets out of what arrives, and leaves the rest as it came.

use std::ops::Range;

use crate::acknowledgement::is_acknowledgement;
use crate::flows::Flow;
use crate::keys::PacketKeys;
use crate::open::{COMMON_PREFIX, Opened, Opener, Part, ReceiveContext};
use crate::packet_number;
use crate::train::{Equal, whole_flow_of};

/// What packets must be like to be plain, on one path.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// As for opening; what is expected rises with each packet that authenticates.
    pub context: ReceiveContext,
    /// What stands between the type of the DATAGRAM frame and the IP packet.
    pub prefix: [u8; COMMON_PREFIX],
}

/// A part of what arrived; together they are all of it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Section {
    /// New packets with consecutive numbers, each an IP packet of a known flow.
    Taken {
        /// Number of the first.
        packet_number: u64,
        /// Where the IP packets are now.
        packets: Equal,
        /// Bytes that the packets had when they were sealed.
        sealed_len: usize,
    },
    /// Packets for somebody else, sealed as they came.
    Left(Range<usize>),
}

/// What became of packets back to back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sifting {
    /// All of them, in order.
    pub sections: Vec<Section>,
    /// Some that are left are more than acknowledgements.
    pub is_urgent: bool,
}

impl Gate {
    /// Opens packets that lie back to back, all of one length but the last, in place.
    ///
    /// What is not plain is sealed again, with the exception of forged packets, of which only the
    /// end is left.
    pub fn sift(
        &mut self,
        keys: &PacketKeys,
        data: &mut [u8],
        segment_len: usize,
        is_known: impl Fn(&Flow) -> bool,
    ) -> Sifting {
        let segment_len = segment_len.max(1);
        let opener = Opener::new(keys, self.context);
        let parts = opener.open_segments(data, segment_len);
        let sections = Vec::with_capacity(parts.len());
        let mut sifted =
            Sifted { data, segment_len, result: Sifting { sections, is_urgent: false } };
        for part in parts {
            match part {
                Part::Single { start, opened } => {
                    if let Opened::Packet { packet_number, .. } = opened {
                        self.note(packet_number, 1);
                    }
                    let place = sifted.place(start, 1);
                    let mut is_urgent = true;
                    if let Some(packet) = sifted.data.get_mut(place.clone()) {
                        if let Opened::Packet { plaintext, .. } = &opened {
                            let frames = packet.get(plaintext.clone());
                            is_urgent = !frames.is_some_and(is_acknowledgement);
                        }
                        opener.reseal(packet, &opened);
                    }
                    sifted.leave(place, is_urgent);
                }
                Part::Train { packet_number, payloads } => {
                    let is_new = packet_number >= self.context.expected;
                    self.note(packet_number, payloads.count);
                    let is_ours = is_new && sifted.prefix(&payloads) == Some(self.prefix);
                    let verdicts = sifted.judge(&payloads, is_ours, &is_known);
                    sifted.divide(&opener, packet_number, &payloads, &verdicts);
                }
            }
        }
        sifted.result
    }

    /// Notes numbers of packets that authenticate.
    fn note(&mut self, first: u64, count: usize) {
        let next = u64::try_from(count).map_or(first, |count| first.saturating_add(count));
        self.context.expected = self.context.expected.max(next).min(packet_number::LIMIT);
    }
}

/// Packets that were opened, and what was decided about those in front.
struct Sifted<'a> {
    data: &'a mut [u8],
    segment_len: usize,
    result: Sifting,
}

impl Sifted<'_> {
    /// Returns where packets are, given the start of the first.
    fn place(&self, start: usize, count: usize) -> Range<usize> {
        let end = start.saturating_add(count.saturating_mul(self.segment_len));
        start..end.min(self.data.len())
    }

    fn leave(&mut self, place: Range<usize>, is_urgent: bool) {
        self.result.is_urgent |= is_urgent;
        match self.result.sections.last_mut() {
            Some(Section::Left(before)) if before.end == place.start => before.end = place.end,
            _ => self.result.sections.push(Section::Left(place)),
        }
    }

    fn prefix(&self, payloads: &Equal) -> Option<[u8; COMMON_PREFIX]> {
        self.data.get(payloads.start..)?.first_chunk().copied()
    }

    /// Says of each packet whether it passes.
    fn judge(
        &self,
        payloads: &Equal,
        is_ours: bool,
        is_known: &impl Fn(&Flow) -> bool,
    ) -> Vec<bool> {
        if !is_ours {
            return vec![false; payloads.count];
        }
        let mut last: Option<([&[u8]; 2], bool)> = None;
        let mut verdicts = Vec::with_capacity(payloads.count);
        for index in 0..payloads.count {
            let payload = payloads.packet(self.data, index);
            let packet = payload.and_then(|payload| payload.get(COMMON_PREFIX..));
            let flow = packet.and_then(whole_flow_of);
            verdicts.push(match (flow, last) {
                (None, _) => false,
                (Some(flow), Some((known, verdict))) if flow == known => verdict,
                (Some(flow), _) => {
                    let verdict = Flow::join(flow).is_some_and(|flow| is_known(&flow));
                    last = Some((flow, verdict));
                    verdict
                }
            });
        }
        verdicts
    }

    /// Makes sections of a train, whose packets pass or not.
    fn divide(
        &mut self,
        opener: &Opener<'_>,
        packet_number: u64,
        payloads: &Equal,
        verdicts: &[bool],
    ) {
        let mut index: usize = 0;
        for same in verdicts.chunk_by(|one, other| one == other) {
            let offset = index.saturating_mul(payloads.stride);
            let number =
                u64::try_from(index).map_or(u64::MAX, |at| packet_number.saturating_add(at));
            let in_packet = payloads.start.checked_rem(self.segment_len).unwrap_or_default();
            let start = payloads.start.saturating_sub(in_packet).saturating_add(offset);
            let place = self.place(start, same.len());
            index = index.saturating_add(same.len());
            if same.first() != Some(&true) {
                self.seal_again(opener, place.clone(), number);
                self.leave(place, true);
                continue;
            }
            let len = payloads.len.saturating_sub(COMMON_PREFIX);
            let is_end = index == payloads.count;
            let last_len = payloads.last_len.saturating_sub(COMMON_PREFIX);
            self.result.sections.push(Section::Taken {
                packet_number: number,
                packets: Equal {
                    start: payloads.start.saturating_add(COMMON_PREFIX).saturating_add(offset),
                    stride: payloads.stride,
                    len: if same.len() == 1 && is_end { last_len } else { len },
                    last_len: if is_end { last_len } else { len },
                    count: same.len(),
                },
                sealed_len: place.len(),
            });
        }
    }

    fn seal_again(&mut self, opener: &Opener<'_>, place: Range<usize>, first_number: u64) {
        let packets = self.data.get_mut(place).unwrap_or_default().chunks_mut(self.segment_len);
        for (packet, number) in packets.zip(first_number..) {
            opener.seal_again(packet, number);
        }
    }
}
