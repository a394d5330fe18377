//! The security descriptor definition language (MS-DTYP 2.5.1), as Windows writes it: aliases of well-known SIDs, names of rights.

use std::fmt::Write;

use super::{Ace, Acl, Descriptor, Sid};
use crate::guid::Guid;

/// Aliases of SIDs that are the same on every computer.
#[rustfmt::skip]
const ALIASES: [(&str, &str); 49] = [
    ("S-1-1-0", "WD"), ("S-1-3-0", "CO"), ("S-1-3-1", "CG"), ("S-1-3-4", "OW"),
    ("S-1-5-2", "NU"), ("S-1-5-4", "IU"), ("S-1-5-6", "SU"), ("S-1-5-7", "AN"), ("S-1-5-9", "ED"), ("S-1-5-10", "PS"),
    ("S-1-5-11", "AU"), ("S-1-5-12", "RC"), ("S-1-5-18", "SY"), ("S-1-5-19", "LS"), ("S-1-5-20", "NS"), ("S-1-5-33", "WR"),
    ("S-1-5-32-544", "BA"), ("S-1-5-32-545", "BU"), ("S-1-5-32-546", "BG"), ("S-1-5-32-547", "PU"), ("S-1-5-32-548", "AO"),
    ("S-1-5-32-549", "SO"), ("S-1-5-32-550", "PO"), ("S-1-5-32-551", "BO"), ("S-1-5-32-552", "RE"), ("S-1-5-32-554", "RU"),
    ("S-1-5-32-555", "RD"), ("S-1-5-32-556", "NO"), ("S-1-5-32-558", "MU"), ("S-1-5-32-559", "LU"), ("S-1-5-32-568", "IS"),
    ("S-1-5-32-569", "CY"), ("S-1-5-32-573", "ER"), ("S-1-5-32-574", "CD"), ("S-1-5-32-575", "RA"), ("S-1-5-32-576", "ES"),
    ("S-1-5-32-577", "MS"), ("S-1-5-32-578", "HA"), ("S-1-5-32-579", "AA"), ("S-1-5-32-580", "RM"),
    ("S-1-5-84-0-0-0-0-0", "UD"), ("S-1-15-2-1", "AC"), ("S-1-18-1", "AS"), ("S-1-18-2", "SS"),
    ("S-1-16-4096", "LW"), ("S-1-16-8192", "ME"), ("S-1-16-8448", "MP"), ("S-1-16-12288", "HI"), ("S-1-16-16384", "SI"),
];

/// Sets of rights that have a name of their own: those of files and of keys.
const WHOLE_RIGHTS: [(u32, &str); 6] = [
    (0x001f_01ff, "FA"),
    (0x0012_0089, "FR"),
    (0x0012_0116, "FW"),
    (0x0012_00a0, "FX"),
    (0x000f_003f, "KA"),
    (0x0002_0019, "KR"),
];
/// `KEY_WRITE`
const KEY_WRITE: (u32, &str) = (0x0002_0006, "KW");
/// Rights bit by bit, in the order in which they are written.
#[rustfmt::skip]
const RIGHTS: [(u32, &str); 17] = [
    (1, "CC"), (2, "DC"), (4, "LC"), (8, "SW"), (0x10, "RP"), (0x20, "WP"), (0x40, "DT"), (0x80, "LO"), (0x100, "CR"),
    (0x1_0000, "SD"), (0x2_0000, "RC"), (0x4_0000, "WD"), (0x8_0000, "WO"),
    (0x1000_0000, "GA"), (0x2000_0000, "GX"), (0x4000_0000, "GW"), (0x8000_0000, "GR"),
];
/// Rights of an integrity label.
const LABEL_RIGHTS: [(u32, &str); 3] = [(1, "NW"), (2, "NR"), (4, "NX")];
const MANDATORY_LABEL: u8 = 0x11;
/// Flags of an entry, in the order in which they are written.
#[rustfmt::skip]
const FLAGS: [(u32, &str); 8] = [
    (1, "OI"), (2, "CI"), (4, "NP"), (8, "IO"), (0x10, "ID"), (0x40, "SA"), (0x80, "FA"), (0x20, "CR"),
];
/// Types of entries with a mask and a SID, and of those with identifiers of objects between them.
#[rustfmt::skip]
const TYPES: [(u8, &str); 6] = [(0, "A"), (1, "D"), (2, "AU"), (3, "AL"), (MANDATORY_LABEL, "ML"), (0x13, "SP")];
const OBJECT_TYPES: [(u8, &str); 4] = [(5, "OA"), (6, "OD"), (7, "OU"), (8, "OL")];

impl Descriptor<'_> {
    /// The descriptor as SDDL; `None` if it has what SDDL here does not write: conditions, resource attributes, unknown kinds of
    /// entries.
    pub fn to_sddl(&self) -> Option<String> {
        let mut text = String::new();
        for (letter, sid) in [("O:", self.owner), ("G:", self.group)] {
            if let Some(sid) = sid {
                text += letter;
                text += &sid.to_text();
            }
        }
        // Protected, to be inherited, inherited: bits of the DACL, those of the SACL one place higher.
        for (letter, acl, shift) in [("D:", self.dacl, 0), ("S:", self.sacl, 1)] {
            let Some(acl) = acl else { continue };
            text += letter;
            let flags = [(0x1000_u16, "P"), (0x0100, "AR"), (0x0400, "AI")];
            for (_, name) in flags.iter().filter(|(bit, _)| self.control & bit << shift != 0) {
                text += name;
            }
            match acl {
                Some(acl) => entries(&acl, &mut text)?,
                None => text += "NO_ACCESS_CONTROL",
            }
        }
        Some(text)
    }
}

fn entries(acl: &Acl<'_>, text: &mut String) -> Option<()> {
    acl.aces().try_for_each(|ace| {
        text.push('(');
        entry(&ace, text)?;
        text.push(')');
        Some(())
    })
}

fn entry(ace: &Ace<'_>, text: &mut String) -> Option<()> {
    let (mask, rest) = ace.body.split_first_chunk::<4>()?;
    let mask = u32::from_le_bytes(*mask);
    let flags = bits(ace.flags.into(), &FLAGS)?;
    let name = |types: &[(u8, &'static str)]| {
        types.iter().find(|(kind, _)| *kind == ace.kind).map(|(_, name)| *name)
    };
    if let Some(kind) = name(&TYPES) {
        let sid = Sid::parse(rest)?.to_text();
        let _ = write!(text, "{kind};{flags};{};;;{sid}", rights(ace.kind, mask));
        return Some(());
    }
    let kind = name(&OBJECT_TYPES)?;
    let (present, mut rest) = rest.split_first_chunk::<4>()?;
    let present = u32::from_le_bytes(*present);
    let mut guids = [String::new(), String::new()];
    for (guid, bit) in guids.iter_mut().zip([1, 2]) {
        if present & bit != 0 {
            let (bytes, after) = rest.split_first_chunk::<16>()?;
            (*guid, rest) = (Guid(*bytes).to_string(), after);
        }
    }
    let sid = Sid::parse(rest)?.to_text();
    let [object, inherited] = guids;
    let _ = write!(text, "{kind};{flags};{};{object};{inherited};{sid}", rights(ace.kind, mask));
    Some(())
}

fn rights(kind: u8, mask: u32) -> String {
    if kind == MANDATORY_LABEL {
        return bits(mask, &LABEL_RIGHTS).unwrap_or_else(|| format!("{mask:#x}"));
    }
    let whole = WHOLE_RIGHTS.iter().chain([&KEY_WRITE]).find(|(rights, _)| *rights == mask);
    match whole {
        Some((_, name)) => (*name).to_owned(),
        None => bits(mask, &RIGHTS).unwrap_or_else(|| format!("{mask:#x}")),
    }
}

/// The names of all bits that are set; `None` if one of them has none.
fn bits(mut set: u32, names: &[(u32, &str)]) -> Option<String> {
    let mut text = String::new();
    for (bit, name) in names.iter().filter(|(bit, _)| set & bit != 0).collect::<Vec<_>>() {
        text += name;
        set &= !bit;
    }
    (set == 0).then_some(text)
}

impl Sid<'_> {
    /// The alias of a well-known SID; else the SID itself: `S-1-5-21-…`.
    fn to_text(self) -> String {
        let mut authority = [0; 8];
        authority[2..].copy_from_slice(&self.0[2..8]);
        let authority = u64::from_be_bytes(authority);
        // Above 32 bits Windows writes it in hexadecimal.
        let mut text = match authority >> 32 {
            0 => format!("S-1-{authority}"),
            _ => format!("S-1-0x{authority:012x}"),
        };
        let (parts, _) = self.0[8..].as_chunks::<4>();
        for part in parts {
            let _ = write!(text, "-{}", u32::from_le_bytes(*part));
        }
        match ALIASES.iter().find(|(sid, _)| *sid == text) {
            Some((_, alias)) => (*alias).to_owned(),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The administrators own it; they and the system may do everything, everybody may read.
    #[rustfmt::skip]
    const DESCRIPTOR: [u8; 124] = [
        1, 0, 0x04, 0x90, 20, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0,
        1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0,
        1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0,
        2, 0, 72, 0, 3, 0, 0, 0,
        0, 2, 20, 0, 0x3f, 0x00, 0x0f, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0,
        0, 3, 24, 0, 0xff, 0x01, 0x1f, 0, 1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0,
        0, 0, 20, 0, 0xa9, 0x00, 0x12, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
    ];

    fn sddl(descriptor: &[u8]) -> Option<String> {
        Descriptor::parse(descriptor)?.to_sddl()
    }

    #[test]
    fn descriptors_are_written_as_windows_writes_them() {
        let text = "O:BAG:BAD:P(A;CI;KA;;;SY)(A;OICI;FA;;;BA)(A;;0x1200a9;;;WD)";
        assert_eq!(sddl(&DESCRIPTOR).as_deref(), Some(text));
        assert_eq!(rights(0, 0xe001_0000), "SDGXGWGR");
        assert_eq!(rights(0, 0x0002_0006), "KW");
        assert_eq!(rights(MANDATORY_LABEL, 1), "NW");
        // A DACL that is there without a list grants everything.
        let mut null = DESCRIPTOR;
        null[16] = 0;
        assert_eq!(sddl(&null).as_deref(), Some("O:BAG:BAD:PNO_ACCESS_CONTROL"));
        null[2] = 0;
        assert_eq!(sddl(&null).as_deref(), Some("O:BAG:BA"));
    }

    #[test]
    fn what_sddl_does_not_write_is_refused() {
        let mut conditional = DESCRIPTOR;
        conditional[60] = 9;
        assert!(Descriptor::parse(&conditional).is_some() && sddl(&conditional).is_none());
        for at in 0..DESCRIPTOR.len() {
            for value in [0, 1, 5, 0x11, 0x7f, 0xff] {
                let mut bad = DESCRIPTOR;
                bad[at] = value;
                let _ = sddl(&bad);
            }
        }
    }
}
