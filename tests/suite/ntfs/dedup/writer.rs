//! Writes a chunk store and the reparse points that lead to it, by what is known of their layouts: no other program than
//! Windows Server does.

use std::{fs, path::Path};

use sha2::{Digest, Sha256, Sha512};

/// Bytes before the first chunk of a container: its header, and the redirection table with its backup.
const FIRST_CHUNK: usize = 0x5000;
const TABLE: usize = 0x3000;

/// Which hash of a chunk's content is stored.
#[derive(Clone, Copy)]
pub(super) enum HashKind {
    /// The first half of SHA-512.
    Sha512,
    Sha256,
}

impl HashKind {
    fn of(self, content: &[u8]) -> [u8; 32] {
        match self {
            Self::Sha512 => *Sha512::digest(content).first_chunk().unwrap(),
            Self::Sha256 => Sha256::digest(content).into(),
        }
    }
}

/// A container file that is being written.
pub(super) struct Container {
    pub(super) number: u32,
    pub(super) generation: u32,
    pub(super) bytes: Vec<u8>,
    chunks: u32,
    redirections: Vec<(u32, u32)>,
}

impl Container {
    pub(super) fn new(number: u32, generation: u32) -> Self {
        let mut bytes = vec![0; FIRST_CHUNK];
        bytes[..8].copy_from_slice(b"Cthr\x01\x03\x03\x01");
        bytes[0x10..0x14].copy_from_slice(&number.to_le_bytes());
        bytes[0x14..0x18].copy_from_slice(&generation.to_le_bytes());
        Self { number, generation, bytes, chunks: 0, redirections: Vec::new() }
    }

    /// Appends a chunk; returns its number and offset.
    fn push(&mut self, kind: u16, compression: u32, hash: &[u8; 32], stored: &[u8]) -> (u32, u32) {
        self.chunks += 1;
        let offset = self.bytes.len();
        let hash_at: u16 = if kind == 1 { 0x28 } else { 0x38 };
        let mut header = b"Ckhr\x01\x03\x03\x01".to_vec();
        header.extend(self.chunks.to_le_bytes());
        header.extend(u32::try_from(stored.len()).unwrap().to_le_bytes());
        header.extend(kind.to_le_bytes());
        header.extend(hash_at.to_le_bytes());
        header.extend([8, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0]);
        header.extend(compression.to_le_bytes());
        header.resize(hash_at.into(), 0);
        header.extend(hash);
        header.extend([0xcc; 16]);
        self.bytes.extend(header);
        self.bytes.extend(stored);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        (self.chunks, u32::try_from(offset).unwrap())
    }

    /// Moves everything: what was at an offset is found only through the redirection table.
    pub(super) fn relocate(&mut self, entries: &[StreamMapEntry], by: usize) {
        self.bytes.splice(FIRST_CHUNK..FIRST_CHUNK, vec![0xdd; by]);
        let moved = u32::try_from(by).unwrap();
        let own = entries.iter().filter(|entry| entry.container == self.number);
        self.redirections.extend(own.map(|entry| (entry.chunk, entry.offset + moved)));
        self.redirections.sort_unstable();
        self.redirections.dedup();
    }

    pub(super) fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        let mut bytes = self.bytes.clone();
        bytes[TABLE..TABLE + 8].copy_from_slice(b"Rrtl\x01\x03\x03\x01");
        let count = u32::try_from(self.redirections.len()).unwrap();
        bytes[TABLE + 8..TABLE + 12].copy_from_slice(&count.to_le_bytes());
        bytes[TABLE + 12] = 8;
        for (number, (key, offset)) in self.redirections.iter().enumerate() {
            let entry = [key.to_le_bytes(), offset.to_le_bytes()].concat();
            bytes[TABLE + 0x20 + number * 8..][..8].copy_from_slice(&entry);
        }
        fs::write(folder.join(format!("{:08x}.{:08x}.ccc", self.number, self.generation)), bytes).unwrap();
    }
}

/// A chunk of content, as stream maps name it.
#[derive(Clone)]
pub(super) struct StreamMapEntry {
    pub(super) chunk: u32,
    pub(super) container: u32,
    pub(super) offset: u32,
    pub(super) generation: u32,
    pub(super) hash: [u8; 32],
    pub(super) stored: u32,
    pub(super) content: u64,
}

/// Stores a chunk of content, compressed if that makes it smaller.
pub(super) fn store(container: &mut Container, content: &[u8], hash: HashKind) -> StreamMapEntry {
    let compressed = compress(content);
    let (stored, compression) =
        if compressed.len() < content.len() { (&compressed[..], 2) } else { (content, 0) };
    let hash = hash.of(content);
    let (chunk, offset) = container.push(1, compression, &hash, stored);
    StreamMapEntry {
        chunk,
        container: container.number,
        offset,
        generation: container.generation,
        hash,
        stored: u32::try_from(stored.len()).unwrap(),
        content: content.len() as u64,
    }
}

/// Stores the map of a part of the content from `start` on; returns what reparse points say of it.
pub(super) fn store_map(container: &mut Container, start: u64, entries: &[StreamMapEntry]) -> Vec<u8> {
    let mut map = b"Smap\x01\x04\x04\x01".to_vec();
    let mut end = start;
    for entry in entries {
        end = end.wrapping_add(entry.content);
        let fields = [entry.chunk, entry.container, entry.offset, entry.generation];
        map.extend(fields.into_iter().flat_map(u32::to_le_bytes));
        map.extend(end.to_le_bytes());
        map.extend(entry.hash);
        map.extend([entry.stored, 0].into_iter().flat_map(u32::to_le_bytes));
    }
    let hash = HashKind::Sha512.of(&map);
    let (chunk, offset) = container.push(2, 0, &hash, &map);
    let len = u32::try_from(map.len()).unwrap();
    let fields = [chunk, container.number, offset, 0, 1, 0x38, len, 64];
    let mut part: Vec<u8> = fields.into_iter().flat_map(u32::to_le_bytes).collect();
    // The point's first form has the whole hash here; the others half of it, and where the part is.
    part.extend(hash);
    part.extend(end.to_le_bytes());
    part.extend(start.to_le_bytes());
    part
}

fn half_hash(part: &[u8]) -> Vec<u8> {
    [&part[..48], &part[64..80]].concat()
}

fn finish(mut data: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(data.len() + 4).unwrap();
    data[2..4].copy_from_slice(&length.to_le_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&data);
    data.extend(crc.sum().to_le_bytes());
    let length = u16::try_from(data.len()).unwrap();
    [&0x8000_0013_u32.to_le_bytes()[..], &length.to_le_bytes(), &[0, 0], &data].concat()
}

/// A reparse point of version 1.2, which has room for one part.
pub(super) fn point_1(store: [u8; 16], part: &[u8]) -> Vec<u8> {
    let mut data = vec![0; 0x38];
    data[..2].copy_from_slice(&[1, 2]);
    data[8..16].copy_from_slice(&part[64..72]);
    data[0x18..0x28].copy_from_slice(&store);
    data.extend(&part[..64]);
    finish(data)
}

/// A reparse point of version 2.1.
pub(super) fn point_2(store: [u8; 16], parts: &[Vec<u8>]) -> Vec<u8> {
    let mut data = vec![0; 0x94];
    data[..2].copy_from_slice(&[2, 1]);
    data[0x4c..0x4e].copy_from_slice(&u16::try_from(parts.len() * 64).unwrap().to_le_bytes());
    data[0x4e..0x50].copy_from_slice(&0x94_u16.to_le_bytes());
    data[0x74..0x84].copy_from_slice(&store);
    parts.iter().for_each(|part| data.extend(half_hash(part)));
    finish(data)
}

/// A set of properties: types and values.
fn set(signature: &[u8; 4], properties: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut values = Vec::new();
    for (kind, value) in properties {
        let offset = 16 + 8 * properties.len() + values.len();
        table.extend(kind.to_le_bytes());
        table.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        table.extend(u32::try_from(offset).unwrap().to_le_bytes());
        values.extend(value);
    }
    let length = u32::try_from(16 + table.len() + values.len()).unwrap();
    let count = u16::try_from(properties.len()).unwrap();
    let body = [&length.to_le_bytes()[..], &[0, 0], &count.to_le_bytes(), &table, &values].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    [&signature[..], &crc.sum().to_le_bytes(), &body].concat()
}

/// A reparse point of version 3.1.
pub(super) fn point_3(store: [u8; 16], flags: u32, parts: &[Vec<u8>]) -> Vec<u8> {
    let number = |value: u32| value.to_le_bytes().to_vec();
    let id = parts[0][..8].to_vec();
    let entries: Vec<u8> = parts.iter().flat_map(|part| half_hash(part)).collect();
    let last = parts.last().unwrap();
    let recall =
        set(b"RbRp", &[(10, number(1)), (9, number(12)), (9, number(1)), (6, vec![0; 8]), (12, vec![9; 16])]);
    let content = set(b"DdRp", &[(10, number(1)), (14, id), (13, entries)]);
    let file = [
        (10, number(1)),
        (10, number(flags)),
        (12, store.to_vec()),
        (11, vec![1; 8]),
        (6, last[64..72].to_vec()),
        (5, number(0)),
        (9, number(0)),
        (13, recall),
        (13, content),
    ];
    finish([vec![3, 1, 0, 0], set(b"FeRp", &file)].concat())
}

/// Plain LZ77 with what is easily found: the last place where three bytes stood.
fn compress(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut flags_at, mut bits) = (0, 0);
    let mut shared: Option<usize> = None;
    let mut places = std::collections::HashMap::new();
    let mut at = 0;
    while at < content.len() {
        if bits == 0 {
            (flags_at, bits) = (out.len(), 32);
            out.extend([0; 4]);
        }
        bits -= 1;
        let key = content.get(at..at + 3);
        let from = key.and_then(|key| places.insert(key, at)).filter(|from| at - from <= 8192);
        let same =
            |from: usize| content[at..].iter().zip(&content[from..]).take_while(|(a, b)| a == b).count();
        let Some((from, length)) = from.map(|from| (from, same(from))) else {
            out.push(content[at]);
            at += 1;
            continue;
        };
        out[flags_at + bits / 8] |= 1 << (bits % 8);
        at += length;
        let rest = length - 3;
        let token = (at - length - from - 1) << 3 | rest.min(7);
        out.extend(u16::try_from(token).unwrap().to_le_bytes());
        if rest < 7 {
            continue;
        }
        let half = u8::try_from((rest - 7).min(15)).unwrap();
        match shared.take() {
            Some(place) => out[place] |= half << 4,
            None => {
                shared = Some(out.len());
                out.push(half);
            }
        }
        if half < 15 {
            continue;
        }
        match (u8::try_from(rest - 22), u16::try_from(rest)) {
            (Ok(byte), _) if byte < 255 => out.push(byte),
            (_, Ok(word)) => out.extend([&[255][..], &word.to_le_bytes()].concat()),
            _ => out.extend([&[255, 0, 0][..], &u32::try_from(rest).unwrap().to_le_bytes()].concat()),
        }
    }
    // What is left of the last flags says that nothing follows.
    if bits > 0 {
        let word: [u8; 4] = out[flags_at..flags_at + 4].try_into().unwrap();
        let word = u32::from_le_bytes(word) | ((1 << bits) - 1);
        out[flags_at..flags_at + 4].copy_from_slice(&word.to_le_bytes());
    }
    out
}
