//! Keys of one direction and key phase.

use ring::aead::quic::{self, HeaderProtectionKey};
use ring::aead::{self, LessSafeKey, Nonce, UnboundKey};

/// Length of the IV and of a nonce in bytes.
pub const IV_LEN: usize = 12;
/// Length of the tag that the AEAD appends in bytes.
pub const TAG_LEN: usize = 16;
/// Length of the sample that header protection takes in bytes.
pub const SAMPLE_LEN: usize = 16;

/// TLS cipher suites that QUIC packets can be protected with (RFC 9001 s5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CipherSuite {
    /// `TLS_AES_128_GCM_SHA256`
    Aes128Gcm,
    /// `TLS_AES_256_GCM_SHA384`
    Aes256Gcm,
    /// `TLS_CHACHA20_POLY1305_SHA256`
    ChaCha20Poly1305,
}

impl CipherSuite {
    /// Finds the suite of a TLS code point.
    #[must_use]
    pub fn from_code_point(code_point: u16) -> Option<Self> {
        match code_point {
            0x1301 => Some(Self::Aes128Gcm),
            0x1302 => Some(Self::Aes256Gcm),
            0x1303 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    fn algorithms(self) -> (&'static aead::Algorithm, &'static quic::Algorithm) {
        match self {
            Self::Aes128Gcm => (&aead::AES_128_GCM, &quic::AES_128),
            Self::Aes256Gcm => (&aead::AES_256_GCM, &quic::AES_256),
            Self::ChaCha20Poly1305 => (&aead::CHACHA20_POLY1305, &quic::CHACHA20),
        }
    }
}

/// A key or the IV has not the length that the suite asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLengthError;

/// AEAD key, IV and header protection key of one direction and key phase; immutable.
pub struct PacketKeys {
    pub(crate) aead: LessSafeKey,
    pub(crate) header: HeaderProtectionKey,
    iv: [u8; IV_LEN],
}

impl PacketKeys {
    /// Prepares the ciphers.
    ///
    /// # Errors
    /// A part has the wrong length.
    pub fn new(
        suite: CipherSuite,
        key: &[u8],
        iv: &[u8],
        header_protection_key: &[u8],
    ) -> Result<Self, KeyLengthError> {
        let (aead_algorithm, header_algorithm) = suite.algorithms();
        let unbound = UnboundKey::new(aead_algorithm, key).map_err(|_| KeyLengthError)?;
        let header = HeaderProtectionKey::new(header_algorithm, header_protection_key)
            .map_err(|_| KeyLengthError)?;
        let iv = iv.try_into().map_err(|_| KeyLengthError)?;
        Ok(Self { aead: LessSafeKey::new(unbound), header, iv })
    }

    /// Makes the nonces of one path.
    #[must_use]
    pub fn nonces(&self, path_id: u32) -> PathNonces {
        let [p0, p1, p2, p3] = path_id.to_be_bytes();
        let [i0, i1, i2, i3, low @ ..] = self.iv;
        PathNonces { high: [i0 ^ p0, i1 ^ p1, i2 ^ p2, i3 ^ p3], low: u64::from_be_bytes(low) }
    }

    /// Returns the mask of the first byte and that of four packet number bytes (RFC 9001 s5.4).
    pub(crate) fn header_mask(&self, sample: &[u8; SAMPLE_LEN]) -> Option<(u8, u32)> {
        let [first, number @ ..] = self.header.new_mask(sample).ok()?;
        Some((first, u32::from_be_bytes(number)))
    }
}

/// IV xor path ID: the packet number is all that is missing (RFC 10069 s2.4).
#[derive(Clone, Copy)]
pub struct PathNonces {
    high: [u8; 4],
    low: u64,
}

impl PathNonces {
    /// Returns the nonce of one packet.
    #[must_use]
    pub fn nonce(&self, packet_number: u64) -> Nonce {
        let [h0, h1, h2, h3] = self.high;
        let [l0, l1, l2, l3, l4, l5, l6, l7] = (self.low ^ packet_number).to_be_bytes();
        Nonce::assume_unique_for_key([h0, h1, h2, h3, l0, l1, l2, l3, l4, l5, l6, l7])
    }
}
