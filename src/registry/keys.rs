//! Keys (`nk`) and the lists of their subkeys (`lf`, `lh`, `li`, `ri`), class names and security descriptors (`sk`).

use zerocopy::FromBytes;

use super::{
    Hive,
    cells::{State, corrupt},
    format::{self, KeyNode, KeySecurity},
    name,
};
use crate::Result;

/// Levels of keys that Windows allows; a walk goes no deeper.
pub const MAX_DEPTH: usize = 512;
/// Most subkeys or values read per key; Windows' largest keys have tens of thousands.
pub(super) const MAX_ENTRIES: usize = 1 << 20;

/// A key.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key's own name, without its parents.
    pub name: Vec<u16>,
    /// When it was written last, as FILETIME.
    pub last_written: u64,
    /// `KEY_…`
    pub flags: u16,
    /// Offset of its cell.
    pub(super) at: u32,
    pub(super) parent: u32,
    pub(super) subkeys: (u32, u32),
    pub(super) values: (u32, u32),
    security: u32,
    class: (u32, u16),
}

impl Key {
    /// A link to another key, which its value `SymbolicLinkValue` names.
    pub fn is_link(&self) -> bool {
        self.flags & format::KEY_IS_LINK != 0
    }

    /// Number of its subkeys, as the key says.
    pub fn subkey_count(&self) -> u32 {
        self.subkeys.0
    }
}

impl Hive {
    /// The root key.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when its cell is invalid.
    pub fn root(&self) -> Result<Key> {
        self.key(self.root, State::InUse)
    }

    /// The key at `path` below `key`; an empty path is `key` itself.
    ///
    /// # Errors
    /// As [`Self::subkey_named`].
    pub fn descend<'a>(&self, key: &Key, path: impl IntoIterator<Item = &'a [u16]>) -> Result<Option<Key>> {
        let mut key = key.clone();
        for name in path {
            match self.subkey_named(&key, name)? {
                Some(below) => key = below,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// The subkey of `key` named `name`, ignoring case.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when the list of subkeys, or every possible match, is damaged.
    pub fn subkey(&self, key: &Key, name: &str) -> Result<Option<Key>> {
        self.subkey_named(key, &name.encode_utf16().collect::<Vec<_>>())
    }

    /// The same, by UTF-16 code units.
    ///
    /// # Errors
    /// As [`Self::subkey`].
    pub fn subkey_named(&self, key: &Key, name: &[u16]) -> Result<Option<Key>> {
        let mut damage = None;
        for subkey in self.subkeys(key)? {
            match self.key(subkey, State::InUse) {
                Ok(key) if name::same(&key.name, name) => return Ok(Some(key)),
                Ok(_) => {}
                Err(error) => damage = Some(error),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// Calls `f` with each subkey of `key`, in the order of its list; a damaged one is passed as an error.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when the list of subkeys is damaged.
    pub fn each_subkey(&self, key: &Key, f: &mut dyn FnMut(Result<Key>)) -> Result<()> {
        self.subkeys(key)?.into_iter().for_each(|subkey| f(self.key(subkey, State::InUse)));
        Ok(())
    }

    /// The class name of `key`.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when its cell is damaged.
    pub fn class(&self, key: &Key) -> Result<Option<Vec<u16>>> {
        let (at, len) = key.class;
        if at == format::NONE || len == 0 {
            return Ok(None);
        }
        let cell = self.cells.get(at)?;
        let units = cell.get(..len.into()).and_then(name::units);
        units.map(Some).ok_or_else(|| corrupt(at, "a class name that is cut off"))
    }

    /// The security descriptor of `key`, self-relative.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) when its cell is damaged.
    pub fn security(&self, key: &Key) -> Result<Option<Vec<u8>>> {
        if key.security == format::NONE {
            return Ok(None);
        }
        let cell = self.cells.get(key.security)?;
        let at = key.security;
        let (head, rest) = KeySecurity::ref_from_prefix(&cell)
            .map_err(|_| corrupt(at, "no room for a security descriptor"))?;
        if head.signature != *b"sk" {
            return Err(corrupt(at, "no security descriptor"));
        }
        let len = usize::try_from(head.length.get()).unwrap_or(usize::MAX);
        let descriptor =
            rest.get(..len).ok_or_else(|| corrupt(at, "a security descriptor that is cut off"))?;
        Ok(Some(descriptor.to_vec()))
    }

    pub(super) fn key(&self, at: u32, state: State) -> Result<Key> {
        parse(&self.cells.get_in(at, state)?, at)
    }

    /// The cell offsets of the subkeys of `key`.
    fn subkeys(&self, key: &Key) -> Result<Vec<u32>> {
        let (count, list) = key.subkeys;
        let mut found = Vec::new();
        if count > 0 && list != format::NONE {
            self.list(list, true, &mut found)?;
        }
        Ok(found)
    }

    /// Appends the cells in a list of subkeys; a list of lists is accepted only if `outer`.
    fn list(&self, at: u32, outer: bool, found: &mut Vec<u32>) -> Result<()> {
        let cell = self.cells.get(at)?;
        let too_short = || corrupt(at, "a list of subkeys that is cut off");
        let (head, rest) = cell.split_first_chunk::<4>().ok_or_else(too_short)?;
        let &[kind @ .., low, high] = head;
        let count = usize::from(u16::from_le_bytes([low, high]));
        let step = match &kind {
            // Each entry also has the beginning or a hash of the name.
            b"lf" | b"lh" => 8,
            b"li" => 4,
            b"ri" if outer => 4,
            _ => return Err(corrupt(at, "no list of subkeys")),
        };
        let entries = rest.get(..count * step).ok_or_else(too_short)?;
        for entry in entries.chunks_exact(step) {
            let offset = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            if found.len() >= MAX_ENTRIES {
                return Err(corrupt(at, format!("more than {MAX_ENTRIES} subkeys")));
            }
            match &kind {
                b"ri" => self.list(offset, false, found)?,
                _ => found.push(offset),
            }
        }
        Ok(())
    }
}

/// Parses the content of the cell at `at`.
pub(super) fn parse(cell: &[u8], at: u32) -> Result<Key> {
    let (node, rest) = KeyNode::ref_from_prefix(cell).map_err(|_| corrupt(at, "no room for a key"))?;
    if node.signature != *b"nk" {
        return Err(corrupt(at, "no key"));
    }
    let flags = node.flags.get();
    let name = name::decode(rest, node.name_length.get(), flags & format::KEY_NAME_IN_BYTES != 0);
    let values = match flags & format::KEY_IS_HANDLE {
        0 => (node.values.get(), node.values_list.get()),
        _ => (0, format::NONE),
    };
    Ok(Key {
        name: name.ok_or_else(|| corrupt(at, "the key's name does not fit"))?,
        last_written: node.last_written.get(),
        flags,
        at,
        parent: node.parent.get(),
        subkeys: (node.subkeys.get(), node.subkeys_list.get()),
        values,
        security: node.security.get(),
        class: (node.class_name.get(), node.class_name_length.get()),
    })
}
