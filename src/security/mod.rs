//! Security descriptors, self-relative (MS-DTYP 2.4.6), of files and registry keys; as text (SDDL) in `sddl.rs`. Guard: every part that a
//! descriptor names lies inside it.

mod sddl;

const HEADER: usize = 20;
const SE_DACL_PRESENT: u16 = 0x0004;
const SE_SACL_PRESENT: u16 = 0x0010;
const SE_SELF_RELATIVE: u16 = 0x8000;
/// Most sub-authorities in a SID.
const MAX_SUB_AUTHORITIES: usize = 15;

/// A descriptor whose parts lie inside it.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor<'a> {
    control: u16,
    owner: Option<Sid<'a>>,
    group: Option<Sid<'a>>,
    /// `None`: there is no such list; `Some(None)`: it is there and empty of meaning (NULL), which grants everything.
    dacl: Option<Option<Acl<'a>>>,
    sacl: Option<Option<Acl<'a>>>,
}

/// A security identifier: its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sid<'a>(&'a [u8]);

/// Entries of an access control list.
#[derive(Debug, Clone, Copy)]
struct Acl<'a> {
    entries: &'a [u8],
    count: u16,
}

/// An entry.
#[derive(Debug, Clone, Copy)]
struct Ace<'a> {
    kind: u8,
    flags: u8,
    /// What follows the entry's header.
    body: &'a [u8],
}

impl<'a> Descriptor<'a> {
    /// The descriptor in these bytes; `None` unless every part of it lies inside them, so that other programs do not read past its
    /// end either.
    pub fn parse(descriptor: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = descriptor.first_chunk()?;
        let control = u16::from_le_bytes([header[2], header[3]]);
        if header[0] != 1 || control & SE_SELF_RELATIVE == 0 {
            return None;
        }
        let part = |at: usize| -> Option<Option<&[u8]>> {
            let offset = usize::try_from(u32::from_le_bytes(*header[at..].first_chunk()?)).ok()?;
            match offset {
                0 => Some(None),
                offset if offset % 4 != 0 || offset < HEADER => None,
                offset => descriptor.get(offset..).map(Some),
            }
        };
        let sid = |at| part(at)?.map(Sid::parse).map_or(Some(None), |sid| sid.map(Some));
        let acl = |at, flag| match control & flag {
            0 => Some(None),
            _ => Some(Some(part(at)?.map(Acl::parse).map_or(Some(None), |acl| acl.map(Some))?)),
        };
        Some(Self {
            control,
            owner: sid(4)?,
            group: sid(8)?,
            sacl: acl(12, SE_SACL_PRESENT)?,
            dacl: acl(16, SE_DACL_PRESENT)?,
        })
    }
}

impl<'a> Sid<'a> {
    /// The SID at the beginning of `bytes`.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let &[revision, count] = bytes.first_chunk()?;
        let sid = bytes.get(..8 + 4 * usize::from(count))?;
        (revision == 1 && usize::from(count) <= MAX_SUB_AUTHORITIES).then_some(Self(sid))
    }
}

impl<'a> Acl<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let &[revision, _, size_low, size_high, count_low, count_high] = bytes.first_chunk()?;
        let size = usize::from(u16::from_le_bytes([size_low, size_high]));
        let acl = bytes.get(..size).filter(|_| (2..=4).contains(&revision))?;
        let this = Self { entries: acl.get(8..)?, count: u16::from_le_bytes([count_low, count_high]) };
        let mut left = this.entries;
        for _ in 0..this.count {
            let (ace, rest) = Ace::split(left)?;
            if ace.is_plain() {
                Sid::parse(ace.body.get(4..)?)?;
            }
            left = rest;
        }
        Some(this)
    }

    fn aces(&self) -> impl Iterator<Item = Ace<'a>> + use<'a> {
        let mut left = self.entries;
        (0..self.count).map_while(move |_| {
            let (ace, rest) = Ace::split(left)?;
            left = rest;
            Some(ace)
        })
    }
}

impl<'a> Ace<'a> {
    /// The entry at the beginning of `bytes`, and what follows it.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let &[kind, flags, low, high] = bytes.first_chunk()?;
        let size = usize::from(u16::from_le_bytes([low, high]));
        let ace = bytes.get(..size).filter(|ace| ace.len() >= 8 && size % 4 == 0)?;
        Some((Self { kind, flags, body: &ace[4..] }, &bytes[size..]))
    }

    /// True for types that hold a mask and then a SID: allowed, denied, audit, alarm, their callback forms, label,
    /// resource attribute, scoped policy. File access checks do not read the other types.
    fn is_plain(&self) -> bool {
        matches!(self.kind, 0..=3 | 9 | 10 | 13 | 14 | 17..=19)
    }
}
