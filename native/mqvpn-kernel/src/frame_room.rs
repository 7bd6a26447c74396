//! Where frames of a device are read: a large one stays where it is; of small ones the packets are
//! put behind one another, and those that are alike become one train that nobody has to take apart.

use std::mem;
use std::sync::Arc;

use crate::buffer::{Buffer, Pool};
use crate::flows::FiveTuple;
use crate::frames::{Content, FRAME_HEADER_LEN, complete};
use crate::train::{Equal, Shared, Train};

/// Bytes that are kept in a buffer of their own; fewer are copied, so that many small packets do
/// not need a large buffer each.
const MIN_KEPT_LEN: usize = 16_384;

/// What was read.
pub enum Piece {
    /// A frame that is to be taken apart.
    Frame(Shared),
    /// Packets that are ready, their checksums filled in.
    Ready(Content),
}

/// Packets of one length, flow and ports, back to back in a buffer.
struct Run {
    /// Nothing for a packet that stays alone.
    key: Option<FiveTuple>,
    packet_len: usize,
    count: usize,
}

/// Frames that were read, in order, and room for the next.
pub struct FrameRoom {
    min_kept_len: usize,
    pool: Pool,
    /// Where the next frame is read.
    slot: Buffer,
    /// The packets of the run.
    small: Buffer,
    run: Option<Run>,
    pieces: Vec<Piece>,
}

impl Default for FrameRoom {
    fn default() -> Self {
        Self::keeping_from(MIN_KEPT_LEN)
    }
}

impl FrameRoom {
    /// Makes room that copies frames, and trains of packets, that are shorter than this.
    #[must_use]
    pub fn keeping_from(min_kept_len: usize) -> Self {
        Self {
            min_kept_len,
            pool: Pool::default(),
            slot: Buffer::default(),
            small: Buffer::default(),
            run: None,
            pieces: Vec::new(),
        }
    }

    /// Returns room for any frame.
    pub fn slot(&mut self) -> &mut [u8] {
        if self.slot.has_no_room() {
            self.slot = self.pool.take();
        }
        self.slot.room()
    }

    /// Takes the frame of this length that was read into the slot.
    pub fn take(&mut self, len: usize) {
        self.slot.set_len(len);
        if len >= self.min_kept_len {
            self.close();
            self.pieces.push(Piece::Frame(Arc::new(mem::take(&mut self.slot))));
        } else if let Some(packet) = complete(self.slot.as_mut_slice()) {
            let run = Run { key: FiveTuple::of(packet), packet_len: packet.len(), count: 1 };
            if self.run.as_ref().is_some_and(|before| before.is_like(&run))
                && self.small.append(packet)
            {
                if let Some(before) = &mut self.run {
                    before.count = before.count.saturating_add(1);
                }
            } else {
                self.begin(run);
            }
        } else {
            self.close();
            self.pieces.push(Piece::Frame(Arc::new(self.slot.as_ref().to_vec())));
        }
    }

    /// Gives all that was taken.
    pub fn finish(&mut self) -> Vec<Piece> {
        self.close();
        mem::take(&mut self.pieces)
    }

    /// Begins a run with the packet in the slot.
    fn begin(&mut self, run: Run) {
        self.close();
        if self.small.has_no_room() {
            self.small = self.pool.take();
        }
        let packet = self.slot.as_ref().get(FRAME_HEADER_LEN..);
        // No frame is longer than a buffer.
        if packet.is_some_and(|packet| self.small.append(packet)) {
            self.run = Some(run);
        }
    }

    /// Ends the run.
    fn close(&mut self) {
        let Some(Run { packet_len, count, .. }) = self.run.take() else { return };
        let bytes: Shared = if self.small.as_ref().len() < self.min_kept_len {
            let copy = self.small.as_ref().to_vec();
            self.small.set_len(0);
            if count == 1 {
                self.pieces.push(Piece::Ready(Content::Packet(copy)));
                return;
            }
            Arc::new(copy)
        } else {
            Arc::new(mem::take(&mut self.small))
        };
        let equal =
            Equal { start: 0, stride: packet_len, len: packet_len, last_len: packet_len, count };
        self.pieces.push(Piece::Ready(Content::Train(Train::from_equal(bytes, equal))));
    }
}

impl Run {
    fn is_like(&self, other: &Self) -> bool {
        self.packet_len == other.packet_len && self.key.is_some() && self.key == other.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::split_frames;

    /// A UDP packet over IPv4 from a port.
    fn packet(number: u8, port: u8, len: u16) -> Vec<u8> {
        let [high, low] = len.to_be_bytes();
        let mut packet =
            vec![0x45, 0, high, low, 0, number, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let [high, low] = len.saturating_sub(20).to_be_bytes();
        packet.extend([0, port, 0, 80, high, low, 0, 0]);
        packet.resize(usize::from(len), number);
        packet
    }

    fn read(room: &mut FrameRoom, header: &[u8], packet: &[u8]) {
        let frame = [header, packet].concat();
        room.slot()[..frame.len()].copy_from_slice(&frame);
        room.take(frame.len());
    }

    fn contents(room: &mut FrameRoom) -> Vec<Vec<Vec<u8>>> {
        let packets = |content| match content {
            Content::Packet(packet) => vec![packet],
            Content::Train(train) => {
                (0..train.len()).map(|index| train.packet(index).unwrap().to_vec()).collect()
            }
        };
        split_frames(room.finish()).into_iter().map(packets).collect()
    }

    /// Returns how many packets are in each train.
    fn coupled(given: &[Vec<u8>]) -> Vec<usize> {
        let mut room = FrameRoom::default();
        for packet in given {
            read(&mut room, &[0; FRAME_HEADER_LEN], packet);
        }
        let contents = contents(&mut room);
        assert_eq!(contents.concat(), given);
        assert_eq!(room.finish().len(), 0);
        contents.iter().map(Vec::len).collect()
    }

    #[test]
    fn what_is_alike_and_follows_is_a_train() {
        let given: Vec<_> = (0..40).map(|number| packet(number, 9, 60)).collect();
        assert_eq!(coupled(&given), [40]);
        assert_eq!(coupled(&given[..1]), [1]);
        assert_eq!(coupled(&[]), [0; 0]);
    }

    #[test]
    fn another_length_or_port_begins_anew() {
        let given = [
            packet(0, 9, 60),
            packet(1, 9, 60),
            packet(2, 9, 61),
            packet(3, 8, 61),
            packet(4, 8, 61),
            packet(5, 9, 61),
        ];
        assert_eq!(coupled(&given), [2, 1, 2, 1]);
    }

    #[test]
    fn what_has_no_flow_stays_alone() {
        let mut exhausted = packet(0, 9, 60);
        exhausted[8] = 0;
        assert_eq!(coupled(&[exhausted.clone(), exhausted, vec![], vec![]]), [1; 4]);
    }

    #[test]
    fn a_train_is_no_longer_than_a_buffer() {
        let given: Vec<_> = (0..120).map(|number| packet(number, 9, 1200)).collect();
        assert_eq!(coupled(&given), [56, 56, 8]);
    }

    #[test]
    fn checksums_are_filled_in() {
        let mut room = FrameRoom::default();
        let mut header = [0; FRAME_HEADER_LEN];
        header[0] = 1;
        header[6..8].copy_from_slice(&20_u16.to_ne_bytes());
        header[8..].copy_from_slice(&6_u16.to_ne_bytes());
        for number in 0..2 {
            read(&mut room, &header, &packet(number, 9, 60));
        }
        let [train] = &contents(&mut room)[..] else { panic!("not one train") };
        let checksums: Vec<_> = train.iter().map(|packet| &packet[26..28]).collect();
        // 9 + 80 + 40, and 16 words of 0x0000 or 0x0101.
        assert_eq!(checksums, [[0xFF, 0x7E], [0xEF, 0x6E]]);
    }

    #[test]
    fn frames_that_make_no_sense_or_are_to_be_split_end_a_train() {
        let mut room = FrameRoom::default();
        let alike = packet(1, 9, 60);
        let plain = [0; FRAME_HEADER_LEN];
        let mut beyond = plain;
        beyond[0] = 1;
        beyond[6..8].copy_from_slice(&60_u16.to_ne_bytes());
        let mut split = plain;
        split[1] = 5;
        split[4..6].copy_from_slice(&16_u16.to_ne_bytes());
        split[6..8].copy_from_slice(&20_u16.to_ne_bytes());
        for header in [plain, plain, beyond, plain, plain, plain, split, plain] {
            read(&mut room, &header, &alike);
        }
        room.slot();
        room.take(3);
        let lens: Vec<usize> = contents(&mut room).iter().map(Vec::len).collect();
        assert_eq!(lens, [2, 3, 2, 1]);
    }

    #[test]
    fn what_is_between_two_frames_to_be_split_is_not_overtaken() {
        for between in 1..3 {
            let mut room = FrameRoom::default();
            let mut split = [0; FRAME_HEADER_LEN];
            split[1] = 5;
            split[4..6].copy_from_slice(&16_u16.to_ne_bytes());
            split[6..8].copy_from_slice(&20_u16.to_ne_bytes());
            read(&mut room, &split, &packet(1, 9, 60));
            for _ in 0..between {
                read(&mut room, &[0; FRAME_HEADER_LEN], &packet(2, 9, 44));
            }
            read(&mut room, &split, &packet(3, 9, 60));
            let lens: Vec<usize> = contents(&mut room).iter().map(Vec::len).collect();
            assert_eq!(lens, [2, between, 2]);
        }
    }

    #[test]
    fn what_is_large_stays_where_it_was_read() {
        let mut room = FrameRoom::keeping_from(FRAME_HEADER_LEN + 60);
        let at = room.slot().as_ptr();
        read(&mut room, &[0; FRAME_HEADER_LEN], &packet(0, 9, 60));
        let [Piece::Frame(frame)] = &room.finish()[..] else { panic!("not one frame") };
        assert_eq!((**frame).as_ref().as_ptr(), at);
        assert_ne!(room.slot().as_ptr(), at);
    }
}
