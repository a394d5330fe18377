//! Canonical Huffman codes of at most 16 bits, for streams that deliver bits highest first: codes ascend with their length,
//! and among equal lengths with their symbol. Guards: a code with more words than fit is refused when it is built; an
//! unassigned word is an error when it is read.

use super::bits::Bits;

/// The longest code word of any format here.
pub(super) const MAX_LENGTH: usize = 16;

/// Decodes one code. Words of up to log2 of `ENTRIES` bits are looked up at once; the few longer ones are found by
/// comparing with the last word of each length.
pub(super) struct Code<const SYMBOLS: usize, const ENTRIES: usize> {
    /// Indexed by the next bits: the symbol's payload with the word's length in its low six bits, or 0 for longer words.
    table: [u32; ENTRIES],
    /// Symbols in the order of their words, preceded by the symbols without a word.
    sorted: [u16; SYMBOLS],
    /// Indexed by length: the first word that is longer, in the top bits of 16; and the offset that maps a word to its index
    /// in `sorted`.
    limits: [(u32, u32); MAX_LENGTH + 1],
}

impl<const SYMBOLS: usize, const ENTRIES: usize> Code<SYMBOLS, ENTRIES> {
    const BITS: usize = ENTRIES.ilog2() as usize;

    /// An empty code.
    pub(super) const fn new() -> Self {
        assert!(ENTRIES.is_power_of_two() && Self::BITS <= MAX_LENGTH);
        Self { table: [0; ENTRIES], sorted: [0; SYMBOLS], limits: [(0, 0); MAX_LENGTH + 1] }
    }

    /// Builds the code from each symbol's length (0: none, at most 16). `payload` maps a symbol to the result of
    /// [`Self::decode`]; its low six bits must be 0.
    pub(super) fn build(
        &mut self,
        lengths: &[u8; SYMBOLS],
        payload: &[u32; SYMBOLS],
    ) -> Result<(), &'static str> {
        let counts = count(lengths);
        let mut places = [0_u16; MAX_LENGTH + 1];
        // Symbols without a word come first, so that length 0 needs no special case.
        let (mut word, mut place) = (0_u32, counts[0]);
        for length in 1..=MAX_LENGTH {
            let shift = MAX_LENGTH - length;
            places[length] = place;
            let offset = u32::from(place).wrapping_sub(word >> shift);
            place += counts[length];
            word += u32::from(counts[length]) << shift;
            self.limits[length] = (word, offset);
        }
        if word > 1 << MAX_LENGTH {
            return Err("Huffman code with too many words");
        }
        for (symbol, &length) in (0_u16..).zip(lengths) {
            let place = &mut places[usize::from(length)];
            if let Some(sorted) = self.sorted.get_mut(usize::from(*place)) {
                *sorted = symbol;
            }
            *place = place.wrapping_add(1);
        }
        self.fill(&counts, payload);
        Ok(())
    }

    fn fill(&mut self, counts: &[u16; MAX_LENGTH + 1], payload: &[u32; SYMBOLS]) {
        let (mut rest, mut sorted) = (&mut self.table[..], &self.sorted[usize::from(counts[0])..]);
        for (length, &count) in (0_u32..).zip(counts).skip(1).take(Self::BITS) {
            let width = ENTRIES >> length;
            let (symbols, longer) = sorted.split_at(count.into());
            sorted = longer;
            let (entries, unfilled) = rest.split_at_mut(width * usize::from(count));
            rest = unfilled;
            for (entries, &symbol) in entries.chunks_exact_mut(width).zip(symbols) {
                entries.fill(payload[usize::from(symbol)] | length);
            }
        }
        rest.fill(0);
    }

    /// Takes the bits of the next symbol and returns its payload; `None` for an unassigned word. The low six bits hold the
    /// word's length.
    #[inline(always)]
    pub(super) fn decode(&self, bits: &mut Bits<'_>, payload: &[u32; SYMBOLS]) -> Option<u32> {
        let index = usize::try_from(bits.peek() >> (64 - Self::BITS)).unwrap_or(usize::MAX);
        let mut entry = self.table[index & (ENTRIES - 1)];
        if entry == 0 {
            entry = self.decode_long(bits.peek(), payload);
            if entry == 0 {
                return None;
            }
        }
        bits.skip_entry(entry);
        Some(entry)
    }

    /// The table entry of a word longer than the table's index; 0 for an unassigned word.
    #[cold]
    #[inline(never)]
    fn decode_long(&self, next: u64, payload: &[u32; SYMBOLS]) -> u32 {
        let word = u32::try_from(next >> 48).unwrap_or(u32::MAX);
        let lengths = (0_u32..).zip(&self.limits).skip(Self::BITS + 1);
        for (length, &(limit, offset)) in lengths {
            if word < limit {
                let place = (word >> (16 - length)).wrapping_add(offset);
                let symbol = usize::try_from(place).ok().and_then(|place| self.sorted.get(place));
                return symbol.map_or(0, |symbol| payload[usize::from(*symbol)] | length);
            }
        }
        0
    }
}

/// Counts the symbols of each length.
fn count<const SYMBOLS: usize>(lengths: &[u8; SYMBOLS]) -> [u16; MAX_LENGTH + 1] {
    // Two alternating tables: neighbours often have the same length, and their increments would wait for each other.
    let mut counts = [[0_u16; MAX_LENGTH + 1]; 2];
    for (i, &length) in lengths.iter().enumerate() {
        let count = &mut counts[i % 2][usize::from(length)];
        *count = count.wrapping_add(1);
    }
    std::array::from_fn(|length| counts[0][length] + counts[1][length])
}
