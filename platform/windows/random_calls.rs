//! WinFsp's requests in any order, from several threads, on a generated tree: for the tests of the adapter and its fuzz
//! target. Needs no Windows.

use std::sync::{Arc, Mutex, PoisonError};

use vhdmount::{
    testing::{Input, requests},
    tree::Tree,
};

use crate::windows_adapter::{Adapter, Face, Handle};

const MAX_KNOWN: usize = 500;
/// The rights to read, and the disposition "open".
const READ: u32 = 0x0012_0089;
const OPEN: u32 = 1 << 24;
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Length of a listed entry before its name.
const DIR_INFO: usize = 104;

/// A mount without a driver, and paths that earlier answers named.
struct Mounted {
    adapter: Adapter,
    known: Mutex<Vec<Vec<u16>>>,
}

/// Runs requests chosen by `data`.
///
/// # Panics
/// When an answer is wrong, or a request panics.
pub(crate) fn run(data: &[u8]) {
    let prepare = |tree: Tree, input: &mut Input<'_>| {
        let face = Face::of(&tree, "generated");
        let adapter = Adapter::new(Arc::new(tree), face, input.once_in(2));
        Mounted { adapter, known: Mutex::new(vec![vec![u16::from(b'\\')]]) }
    };
    requests::run(data, prepare, request);
}

/// Opens a path and asks some of what can be asked of an open file.
fn request(mounted: &Mounted, input: &mut Input<'_>, sound: bool) {
    let Mounted { adapter, known } = mounted;
    let path = {
        let known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known[usize::from(input.word()) % known.len()].clone()
    };
    let kind = input.byte();
    if kind & 1 != 0 {
        let _ = (adapter.by_name(&path), adapter.usage(), adapter.created());
    }
    if kind & 2 != 0 {
        let _ = adapter.link_at(&path);
    }
    let options = OPEN | if kind & 4 != 0 { OPEN_REPARSE_POINT } else { 0 };
    let (handle, info) = match adapter.open(&path, options, READ) {
        Ok(opened) => opened,
        Err(status) => {
            let is_there = !sound || kind & 4 == 0 || adapter.by_name(&path).is_ok();
            assert!(is_there, "{} is listed, but {status:?}", String::from_utf16_lossy(&path));
            return;
        }
    };
    for _ in 0..1 + input.below(4) {
        match input.below(7) {
            0 | 1 => list(adapter, &handle, &path, known, input),
            2 | 3 => {
                let (offset, len) = (u64::from(input.word()) * 3, usize::from(input.word()));
                let mut buf = vec![0xee; len];
                if let Ok(read) = adapter.read(&handle, offset, &mut buf) {
                    let left = info.size.saturating_sub(offset);
                    let is_within = read as u64 <= left.min(len as u64);
                    let shown = String::from_utf16_lossy(&path);
                    assert!(
                        handle.is_volatile() || is_within,
                        "{shown}: {read} at {offset} of {}",
                        info.size
                    );
                }
            }
            4 => {
                let mut buf = vec![0; 16 + input.below(200) * 4];
                let len = buf.len();
                assert!(
                    adapter.streams(&handle, &mut buf).is_ok_and(|used| used <= len) || !sound || len < 600
                );
            }
            5 => {
                let _ = (adapter.extended_attributes(&handle), adapter.reparse_point(&handle));
            }
            _ => {
                let _ =
                    (adapter.info(&handle), adapter.descriptor(&handle), adapter.entry(&handle, &path[1..]));
            }
        }
    }
    adapter.close(handle);
}

fn list(
    adapter: &Adapter,
    handle: &Handle,
    path: &[u16],
    known: &Mutex<Vec<Vec<u16>>>,
    input: &mut Input<'_>,
) {
    let (mut marker, mut buffer) = (0, vec![0; 256 + input.below(256) * 16]);
    for _ in 0..20 {
        let Ok(used) = adapter.list(handle, marker, &mut buffer) else { return };
        assert!(used <= buffer.len());
        let (mut rest, before) = (&buffer[..used], marker);
        while let Some(size) = rest.first_chunk().map(|size| usize::from(u16::from_le_bytes(*size))) {
            if size < DIR_INFO {
                return;
            }
            let name = rest[DIR_INFO..size].as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit));
            let mut child = path.to_vec();
            if child.last() != Some(&u16::from(b'\\')) {
                child.push(u16::from(b'\\'));
            }
            child.extend(name);
            marker = u64::from_le_bytes(*rest[80..].first_chunk().expect("an entry"));
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let is_dots = child.ends_with(&[0x5c, 0x2e]) || child.ends_with(&[0x5c, 0x2e, 0x2e]);
            if known.len() < MAX_KNOWN && !is_dots {
                known.push(child);
            }
            rest = rest.get(size.next_multiple_of(8)..).unwrap_or_default();
        }
        if marker == before {
            return;
        }
    }
}

#[cfg(test)]
#[test]
fn random_requests_on_generated_trees() {
    (0..300).for_each(|seed| run(&vhdmount::testing::seeded(seed, 900)));
}
