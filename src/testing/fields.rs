//! Little-endian fields, appended one after the other.

/// Bytes of a structure being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(pub(super) Vec<u8>);

impl Fields {
    pub(super) fn byte(mut self, value: usize) -> Self {
        self.0.push(u8::try_from(value).expect("a field of one byte"));
        self
    }

    pub(super) fn word(mut self, value: usize) -> Self {
        self.0.extend_from_slice(&u16::try_from(value).expect("a field of two bytes").to_le_bytes());
        self
    }

    pub(super) fn long(mut self, value: usize) -> Self {
        self.0.extend_from_slice(&u32::try_from(value).expect("a field of four bytes").to_le_bytes());
        self
    }

    pub(super) fn quad(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        self
    }

    /// Zeros up to this length.
    pub(super) fn to(mut self, len: usize) -> Self {
        self.0.resize(len.max(self.0.len()), 0);
        self
    }

    /// Zeros up to a multiple of 8.
    pub(super) fn aligned(mut self) -> Self {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        self
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.0
    }
}
