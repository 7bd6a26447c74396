//! Frames of a TUN device into packets and trains; what follows one another in a flow is one train.

use crate::frame_room::Piece;
use crate::frames::{Content, split_frame};
use crate::segment::Version;
use crate::train::{Shape, SuperPacket, Train, flow_of};

/// Flows whose trains may grow at a time; a further one takes the place of the oldest.
const MAX_OPEN: usize = 32;

/// What packets have in common that may be in one train.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kind {
    version: Version,
    ip_len: usize,
    header_len: usize,
    segment_len: usize,
}

/// A train that may grow.
struct Open {
    kind: Kind,
    slot: usize,
}

/// Takes frames apart; what makes no sense is left out.
///
/// The order of packets of a flow stays, that among flows does not.
#[must_use]
pub fn split_frames(pieces: Vec<Piece>) -> Vec<Content> {
    let mut contents: Vec<Content> = Vec::with_capacity(pieces.len());
    let mut open: Vec<Open> = Vec::new();
    for piece in pieces {
        let content = match piece {
            Piece::Ready(content) => content,
            Piece::Frame(frame) => {
                let Some(content) = split_frame(&frame) else { continue };
                content
            }
        };
        let Content::Train(train) = content else {
            // Without a look at its flow: whatever was open may not overtake it.
            open.clear();
            contents.push(content);
            continue;
        };
        let Some((kind, is_full)) = kind_of(&train) else {
            open.clear();
            contents.push(Content::Train(train));
            continue;
        };
        let position = open.iter().position(|other| {
            other.kind == kind
                && matches!(contents.get(other.slot),
                    Some(Content::Train(before)) if is_same_flow(before, &train, kind))
        });
        let slot = if let Some(found) = position.map(|position| open.remove(position)) {
            if let Some(Content::Train(before)) = contents.get_mut(found.slot) {
                before.append(&train);
            }
            found.slot
        } else {
            contents.push(Content::Train(train));
            contents.len().saturating_sub(1)
        };
        if is_full {
            if open.len() >= MAX_OPEN {
                open.remove(0);
            }
            open.push(Open { kind, slot });
        }
    }
    contents
}

/// Says what a train is like, and whether its last packet is as long as the others.
///
/// Nothing for one of which each packet has to be looked at.
fn kind_of(train: &Train) -> Option<(Kind, bool)> {
    let (header, packet) = head_of(train)?;
    flow_of(header)?;
    let kind = Kind {
        version: packet.version,
        ip_len: packet.ip_len,
        header_len: packet.header_len,
        segment_len: packet.segment_len,
    };
    Some((kind, packet.payload_len.checked_rem(packet.segment_len)? == 0))
}

fn head_of(train: &Train) -> Option<(&[u8], &SuperPacket)> {
    let link = train.links().first()?;
    let Shape::Super(packet) = &link.shape else { return None };
    Some(((*link.bytes).as_ref().get(packet.start..)?, packet))
}

fn is_same_flow(one: &Train, other: &Train, kind: Kind) -> bool {
    let key = |train| {
        let (header, _) = head_of(train)?;
        let ports = header.get(kind.ip_len..)?.get(..4)?;
        Some((flow_of(header)?, ports))
    };
    key(one).is_some_and(|found| key(other) == Some(found))
}
