//! Directories that this program adds to a volume, `.deleted` and `.orphans`: their entries are `NUMBER-NAME`, as only the
//! number is unambiguous. A look-up of the number alone also succeeds.

use super::{Name, NameBuf, NodeId, NodeKind};

/// An entry of an added directory.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The number that The Sleuth Kit calls inode. NTFS: the MFT record; FAT: the position of the directory entry.
    pub number: u64,
    /// The node, without the bit that marks nodes of the added directory.
    pub node: NodeId,
    /// Its name; empty if lost.
    pub name: Name<'a>,
    /// Its type.
    pub kind: NodeKind,
}

/// `4711-name`, or `4711` if the name is lost.
pub(crate) fn entry_name(number: u64, name: Name<'_>, out: &mut Vec<u16>) {
    out.clear();
    out.extend(number.to_string().bytes().map(u16::from));
    if !name.units().is_empty() {
        out.push(b'-'.into());
        out.extend_from_slice(name.units());
    }
}

/// Parses the number at the start of an entry's name.
pub(crate) fn number(name: &[u16]) -> Option<u64> {
    let digit = |unit: &u16| u8::try_from(*unit).ok().filter(u8::is_ascii_digit);
    if name.first().is_none_or(|first| *first == u16::from(b'0') || digit(first).is_none()) {
        return None;
    }
    let mut digits = name.iter().map_while(digit).map(|digit| u64::from(digit - b'0'));
    digits.try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(digit))
}

/// True if `wanted` names the entry `number` with this name, or is the number alone.
pub(crate) fn is_entry(number: u64, name: &NameBuf, wanted: Name<'_>) -> bool {
    let mut entry = Vec::new();
    entry_name(number, name.as_name(), &mut entry);
    entry == wanted.units() || wanted.is(&number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_names() {
        let number = |text: &str| number(&NameBuf::literal(text).0);
        assert_eq!(number("4711-x.txt"), Some(4711));
        assert_eq!(number("5"), Some(5));
        assert_eq!(number("18446744073709551615-"), Some(u64::MAX));
        for name in ["", "x", "-5", "18446744073709551616", "99999999999999999999999", "007-x", "0"] {
            assert_eq!(number(name), None, "{name}");
        }
    }

    #[test]
    fn entries_are_found_by_name_and_by_number() {
        let is = |wanted: &str| is_entry(12, &NameBuf::literal("a"), NameBuf::literal(wanted).as_name());
        assert!(is("12-a") && is("12") && !is("12-A") && !is("12-") && !is("12-ab") && !is("1"));
    }
}
