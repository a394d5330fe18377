//! Attributes and what they hold, as on disk.

use crate::testing::fields::Fields;

pub(super) const STANDARD_INFORMATION: u32 = 0x10;
pub(super) const ATTRIBUTE_LIST: u32 = 0x20;
pub(super) const FILE_NAME: u32 = 0x30;
pub(super) const OBJECT_ID: u32 = 0x40;
pub(super) const VOLUME_NAME: u32 = 0x60;
pub(super) const VOLUME_INFORMATION: u32 = 0x70;
pub(super) const DATA: u32 = 0x80;
pub(super) const INDEX_ROOT: u32 = 0x90;
pub(super) const INDEX_ALLOCATION: u32 = 0xa0;
pub(super) const BITMAP: u32 = 0xb0;
pub(super) const REPARSE_POINT: u32 = 0xc0;
pub(super) const EA_INFORMATION: u32 = 0xd0;
pub(super) const EA: u32 = 0xe0;
pub(super) const LOGGED_UTILITY_STREAM: u32 = 0x100;

pub(super) const COMPRESSED: usize = 1;
pub(super) const ENCRYPTED: usize = 0x4000;
pub(super) const SPARSE: usize = 0x8000;

/// Runs in order: a place, or none for a hole, and a length, both in clusters.
pub(super) type Runs = Vec<(Option<u64>, u64)>;

/// An attribute, or one extent of one.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) code: u32,
    pub(super) name: String,
    pub(super) lowest_vcn: u64,
    pub(super) bytes: Vec<u8>,
}

/// The value of a non-resident attribute.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) runs: Runs,
    pub(super) size: u64,
    pub(super) valid: u64,
    pub(super) flags: usize,
    /// log2 of the clusters of a compression unit.
    pub(super) unit: usize,
}

impl Attribute {
    pub(super) fn resident(code: u32, name: &str, value: &[u8]) -> Self {
        Self::flagged(code, name, 0, value)
    }

    /// A resident attribute with flags.
    pub(super) fn flagged(code: u32, name: &str, flags: usize, value: &[u8]) -> Self {
        let form = Fields::default().long(value.len()).quad(0).done();
        let form = &form[..8];
        Self::new(code, name, 0, &Self::encode(code, name, flags, form, value))
    }

    /// A non-resident attribute in one piece, or with its later runs in a second extent.
    pub(super) fn stored(code: u32, name: &str, value: &Stored, cluster: u64, first: usize) -> Vec<Self> {
        let clusters = |runs: &[(Option<u64>, u64)]| runs.iter().map(|(_, len)| len).sum::<u64>();
        let used = value.runs.iter().filter(|(place, _)| place.is_some()).map(|(_, len)| len).sum::<u64>();
        let (front, back) =
            value.runs.split_at(first.clamp(1, value.runs.len().max(1)).min(value.runs.len()));
        let mut extents = vec![(0, front)];
        if !back.is_empty() {
            extents.push((clusters(front), back));
        }
        let extent = |(lowest, runs): (u64, &[_])| {
            let highest = (lowest + clusters(runs)).wrapping_sub(1);
            let has_total = value.flags & (SPARSE | COMPRESSED) != 0;
            let form = Fields::default().quad(lowest).quad(highest).word(0).byte(value.unit).to(24);
            let sizes = match lowest {
                0 => [clusters(&value.runs) * cluster, value.size, value.valid],
                _ => [0; 3],
            };
            let form = sizes.iter().fold(form, |form, size| form.quad(*size));
            let form = if has_total && lowest == 0 { form.quad(used * cluster) } else { form };
            let bytes = Self::encode(code, name, value.flags, &form.0, &mapping_pairs(runs));
            Self::new(code, name, lowest, &bytes)
        };
        extents.into_iter().map(extent).collect()
    }

    fn new(code: u32, name: &str, lowest_vcn: u64, bytes: &[u8]) -> Self {
        Self { code, name: name.into(), lowest_vcn, bytes: bytes.into() }
    }

    fn encode(code: u32, name: &str, flags: usize, form: &[u8], value: &[u8]) -> Vec<u8> {
        let header = 16 + form.len();
        let units = name.encode_utf16().count();
        let value_at = (header + units * 2).next_multiple_of(8);
        let len = (value_at + value.len()).next_multiple_of(8);
        let is_stored = form.len() > 8;
        let mut bytes = Fields::default()
            .long(code as usize)
            .long(len)
            .byte(usize::from(is_stored))
            .byte(units)
            .word(header)
            .word(flags)
            .word(0)
            .bytes(form)
            .text(name)
            .to(value_at)
            .bytes(value)
            .aligned()
            .done();
        // Offset of the value, or of the runs.
        let field = if is_stored { 32 } else { 20 };
        bytes[field..field + 2].copy_from_slice(&Fields::default().word(value_at).0);
        bytes
    }
}

/// Encodes runs: the lengths, and the distances between places, in as few bytes as hold them.
fn mapping_pairs(runs: &[(Option<u64>, u64)]) -> Vec<u8> {
    let signed = |value: i64| {
        let bytes = value.to_le_bytes();
        let len = (1..8).find(|len| value >> (len * 8 - 1) == value >> 63).unwrap_or(8);
        bytes[..len].to_vec()
    };
    let number = |value: u64| i64::try_from(value).expect("a cluster number");
    let (mut pairs, mut last) = (Vec::new(), 0);
    for (place, len) in runs {
        let len = signed(number(*len));
        let place = place.map_or(Vec::new(), |place| {
            let distance = signed(number(place) - last);
            last = number(place);
            distance
        });
        pairs = Fields(pairs).byte(place.len() << 4 | len.len()).bytes(&len).bytes(&place).done();
    }
    pairs.push(0);
    pairs
}

/// A name of a file: the value of the attribute, and the key of a directory entry.
#[derive(Debug, Clone)]
pub(super) struct FileName {
    pub(super) directory: u64,
    pub(super) allocated: u64,
    pub(super) size: u64,
    pub(super) attributes: usize,
    pub(super) reparse_tag: usize,
    /// 0 POSIX, 1 Win32, 2 DOS, 3 both.
    pub(super) namespace: usize,
    pub(super) text: String,
}

/// 2020-01-01.
pub(super) const TIME: u64 = 132_223_104_000_000_000;

impl FileName {
    pub(super) fn encode(&self) -> Vec<u8> {
        let times = Fields::default().quad(self.directory).quad(TIME).quad(TIME).quad(TIME).quad(TIME);
        times
            .quad(self.allocated)
            .quad(self.size)
            .long(self.attributes)
            .long(self.reparse_tag)
            .byte(self.text.encode_utf16().count())
            .byte(self.namespace)
            .text(&self.text)
            .done()
    }

    pub(super) fn attribute(&self) -> Attribute {
        let mut attribute = Attribute::resident(FILE_NAME, "", &self.encode());
        // Indexed.
        attribute.bytes[22] = 1;
        attribute
    }
}

pub(super) fn standard_information(attributes: usize, security_id: usize) -> Attribute {
    let value = Fields::default().quad(TIME).quad(TIME + 1).quad(TIME + 2).quad(TIME + 3).long(attributes);
    Attribute::resident(STANDARD_INFORMATION, "", &value.to(52).long(security_id).to(72).0)
}
