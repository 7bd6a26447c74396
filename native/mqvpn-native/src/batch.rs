//! Payloads on their way into packets of one path.

use std::sync::Arc;

use mqvpn_kernel::frames::Content;
use mqvpn_kernel::keys::PacketKeys;
use mqvpn_kernel::packet_number::Length;
use mqvpn_kernel::runs::Run;
use mqvpn_kernel::seal::{SealError, Sealer, ShortHeader};
use mqvpn_kernel::train::Train;
use pyo3::pybacked::PyBackedBytes;

use crate::border::number_of;
use crate::destination::Destination;

/// Bytes in front of an IP packet: the type of its DATAGRAM frame, and what is agreed on.
pub const OWN_FRONT_LEN: usize = 3;

/// What stands in front of IP packets.
pub enum Front {
    Python(PyBackedBytes),
    Own([u8; OWN_FRONT_LEN]),
}

impl Front {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Python(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }
}

/// What goes into one packet, or into several.
pub enum Source {
    Payload(PyBackedBytes),
    /// An IP packet.
    Packet(Front, Vec<u8>),
    /// What stands in front of each packet of a train.
    Train(Front, Train),
}

/// One payload: its source, and which packet of a train.
type Piece = (usize, usize);

impl Source {
    /// Returns how many packets it becomes.
    pub fn count(&self) -> usize {
        match self {
            Self::Payload(_) | Self::Packet(..) => 1,
            Self::Train(_, train) => train.len(),
        }
    }

    /// Gives IP packets back.
    fn into_content(self) -> Option<Content> {
        match self {
            Self::Payload(_) => None,
            Self::Packet(_, packet) => Some(Content::Packet(packet)),
            Self::Train(_, train) => Some(Content::Train(train)),
        }
    }

    fn len(&self, index: usize) -> usize {
        match self {
            Self::Payload(payload) => payload.len(),
            Self::Packet(front, packet) => front.as_bytes().len().saturating_add(packet.len()),
            Self::Train(front, train) => {
                front.as_bytes().len().saturating_add(train.packet_len(index))
            }
        }
    }

    fn seal(
        &self,
        sealer: &Sealer<'_>,
        index: usize,
        number: u64,
        room: &mut [u8],
    ) -> Result<(), SealError> {
        match self {
            Self::Payload(payload) => sealer.seal(number, &[payload], room),
            Self::Packet(front, packet) => sealer.seal(number, &[front.as_bytes(), packet], room),
            Self::Train(front, train) => {
                if let Some(packet) = train.whole(index) {
                    return sealer.seal(number, &[front.as_bytes(), packet], room);
                }
                let parts = train.packet(index).ok_or(SealError)?;
                sealer.seal(number, &[front.as_bytes(), parts.head(), parts.body()], room)
            }
        }
    }
}

/// What the packets of a batch have in common.
pub struct Envelope {
    pub keys: Arc<PacketKeys>,
    pub destination_cid: Vec<u8>,
    pub key_phase: bool,
    pub number_length: Length,
    pub path_id: u32,
}

impl Envelope {
    /// Returns the length of the packet that a payload of this length becomes.
    pub fn sealed_len(&self, payload_len: usize) -> usize {
        self.header().sealed_len(payload_len)
    }

    fn header(&self) -> ShortHeader<'_> {
        ShortHeader {
            destination_cid: &self.destination_cid,
            key_phase: self.key_phase,
            number_length: self.number_length,
        }
    }
}

/// Payloads and all that is needed to seal them, now or later.
pub struct Batch {
    envelope: Arc<Envelope>,
    first: u64,
    sources: Vec<Source>,
    pieces: Vec<Piece>,
    sizes: Vec<usize>,
}

/// What a socket took, and the error that ended it or 0.
pub struct Sent {
    pub runs: usize,
    pub packets: usize,
    pub bytes: usize,
    pub error: i32,
}

impl Batch {
    /// Takes payloads; the first gets this packet number.
    pub fn new(envelope: Arc<Envelope>, first: u64, sources: Vec<Source>) -> Self {
        let pieces: Vec<Piece> = sources
            .iter()
            .enumerate()
            .flat_map(|(at, source)| (0..source.count()).map(move |index| (at, index)))
            .collect();
        let len = |(at, index): &Piece| sources.get(*at).map_or(0, |it| it.len(*index));
        let sizes = pieces.iter().map(|piece| envelope.sealed_len(len(piece))).collect();
        Self { envelope, first, sources, pieces, sizes }
    }

    /// Returns the length of each packet.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Gives the IP packets back: somebody may have to keep them.
    pub fn into_contents(self) -> Vec<Content> {
        self.sources.into_iter().filter_map(Source::into_content).collect()
    }

    /// Seals some of the payloads into a buffer that has just room for them.
    ///
    /// Done twice it gives the same bytes twice, so that no number is used for two packets.
    pub fn seal_into(
        &self,
        start: usize,
        count: usize,
        buffer: &mut [u8],
    ) -> Result<(), SealError> {
        let envelope = &self.envelope;
        let sealer = Sealer::new(&envelope.keys, envelope.header(), envelope.path_id);
        let skipped = u64::try_from(start).map_err(|_| SealError)?;
        let first = self.first.saturating_add(skipped);
        let chosen = self.pieces.iter().zip(&self.sizes).skip(start).take(count);
        let mut rest = buffer;
        for (((at, index), size), number) in chosen.zip(first..) {
            let (here, behind) = rest.split_at_mut_checked(*size).ok_or(SealError)?;
            let source = self.sources.get(*at).ok_or(SealError)?;
            source.seal(&sealer, *index, number, here)?;
            rest = behind;
        }
        Ok(())
    }

    /// Seals runs and sends each at once, until one is not taken.
    pub fn send_runs(
        &self,
        runs: &[Run],
        descriptor: i32,
        destination: &Destination,
        room: &mut Vec<u8>,
    ) -> Result<Sent, SealError> {
        let mut sent = Sent { runs: 0, packets: 0, bytes: 0, error: 0 };
        for run in runs {
            if room.len() < run.total_len {
                room.resize(run.total_len, 0);
            }
            let sealed = room.get_mut(..run.total_len).ok_or(SealError)?;
            self.seal_into(sent.packets, run.count, sealed)?;
            if let Err(error) = destination.send(descriptor, sealed, run) {
                sent.error = number_of(error);
                return Ok(sent);
            }
            sent.runs = sent.runs.saturating_add(1);
            sent.packets = sent.packets.saturating_add(run.count);
            sent.bytes = sent.bytes.saturating_add(run.total_len);
        }
        Ok(sent)
    }
}
