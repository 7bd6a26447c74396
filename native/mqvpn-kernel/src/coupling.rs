//! Packets that follow one another and are alike become a train: nobody has to hold each of them.

use std::sync::Arc;

use crate::flows::FiveTuple;
use crate::frames::Content;
use crate::train::{Equal, Train};

/// Packets that a train of copies has room for at first.
const FIRST_ROOM: usize = 16;

/// Packets of one length, flow and ports, back to back.
struct Coupled {
    /// Nothing for a packet that stays alone.
    key: Option<FiveTuple>,
    packet_len: usize,
    count: usize,
    bytes: Vec<u8>,
}

impl Coupled {
    fn of(packet: Vec<u8>) -> Self {
        Self { key: FiveTuple::of(&packet), packet_len: packet.len(), count: 1, bytes: packet }
    }

    /// Takes one more packet if it is like the others; gives it back otherwise.
    fn take(&mut self, packet: Vec<u8>) -> Option<Vec<u8>> {
        let is_alike = packet.len() == self.packet_len
            && self.key.is_some()
            && FiveTuple::of(&packet) == self.key;
        if !is_alike {
            return Some(packet);
        }
        if self.count == 1 {
            self.bytes.reserve(self.packet_len.saturating_mul(FIRST_ROOM));
        }
        self.bytes.extend_from_slice(&packet);
        self.count = self.count.saturating_add(1);
        None
    }

    fn into_content(self) -> Content {
        let Self { packet_len, count, bytes, .. } = self;
        if count == 1 {
            return Content::Packet(bytes);
        }
        let equal =
            Equal { start: 0, stride: packet_len, len: packet_len, last_len: packet_len, count };
        Content::Train(Train::from_equal(Arc::new(bytes), equal))
    }
}

/// Makes trains of packets of one length, flow and ports that follow one another.
///
/// The packets and their order stay; trains stay as they are.
#[must_use]
pub fn couple(contents: Vec<Content>) -> Vec<Content> {
    let mut coupled = Vec::with_capacity(contents.len());
    let mut open: Option<Coupled> = None;
    for content in contents {
        match content {
            Content::Packet(packet) => {
                let rest = match &mut open {
                    Some(before) => before.take(packet),
                    None => Some(packet),
                };
                if let Some(packet) = rest {
                    coupled.extend(open.replace(Coupled::of(packet)).map(Coupled::into_content));
                }
            }
            Content::Train(_) => {
                coupled.extend(open.take().map(Coupled::into_content));
                coupled.push(content);
            }
        }
    }
    coupled.extend(open.map(Coupled::into_content));
    coupled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP packet over IPv4 from a port.
    fn packet(number: u8, port: u8, len: u8) -> Vec<u8> {
        let mut packet =
            vec![0x45, 0, 0, len, 0, number, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend([0, port, 0, 80, 0, len.saturating_sub(20), 0, 0]);
        packet.resize(usize::from(len), number);
        packet
    }

    fn lens(contents: &[Content]) -> Vec<usize> {
        let len = |content: &Content| match content {
            Content::Packet(_) => 1,
            Content::Train(train) => train.len(),
        };
        contents.iter().map(len).collect()
    }

    fn packets(contents: &[Content]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for content in contents {
            match content {
                Content::Packet(packet) => found.push(packet.clone()),
                Content::Train(train) => found
                    .extend((0..train.len()).map(|index| train.packet(index).unwrap().to_vec())),
            }
        }
        found
    }

    fn coupled(given: &[Vec<u8>]) -> Vec<usize> {
        let contents = couple(given.iter().cloned().map(Content::Packet).collect());
        assert_eq!(packets(&contents), given);
        lens(&contents)
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
    fn trains_stay_as_they_are() {
        let [one, two] = [0, 1].map(|number| packet(number, 9, 60));
        let alike = |packets: [&Vec<u8>; 2]| {
            couple(packets.map(|packet| Content::Packet(packet.clone())).into())
        };
        let mut contents = vec![Content::Packet(one.clone())];
        contents.extend(alike([&two, &one]));
        contents.push(Content::Packet(two.clone()));
        let contents = couple(contents);
        assert_eq!(lens(&contents), [1, 2, 1]);
        assert_eq!(packets(&contents), [one.clone(), two.clone(), one, two]);
    }
}
