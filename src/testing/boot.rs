//! What a disk is started from, made for tests: registry hives, stores of boot configuration data, executables, boot sectors.
//! Written from the formats' descriptions, independently of the readers.

use std::collections::BTreeMap;

use super::fields::Fields;

/// A key of a hive: its values and the keys below it, each in the order of its name.
#[derive(Debug, Clone, Default)]
pub struct Key {
    /// Type and data.
    pub values: BTreeMap<String, (u32, Vec<u8>)>,
    /// The keys below it.
    pub keys: BTreeMap<String, Key>,
}

impl Key {
    /// The key at a path below this one; made where it is not there.
    pub fn at(&mut self, path: &str) -> &mut Self {
        path.split('\\').fold(self, |key, name| key.keys.entry(name.to_owned()).or_default())
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, data_type: u32, data: Vec<u8>) {
        self.values.insert(name.to_owned(), (data_type, data));
    }

    /// The hive with this key as its root.
    pub fn to_hive(&self) -> Vec<u8> {
        let mut cells = Cells(vec![0; 32]);
        let security = u32_of(cells.0.len());
        // A list of one: it is its own neighbour. The descriptor is empty.
        let sk = Fields::default()
            .bytes(b"sk\0\0")
            .long(security as usize)
            .long(security as usize)
            .long(1)
            .long(20);
        cells.push(&sk.bytes(&[1, 0, 0, 0x80]).bytes(&[0; 16]).0);
        let root = cells.key("ROOT", self, u32::MAX, security, 0x2c);
        cells.0.resize(cells.0.len().next_multiple_of(8), 0);
        let used = cells.0.len();
        let len = (used + 8).next_multiple_of(4096);
        // The rest is one free cell.
        cells.0.extend(u32_of(len - used).to_le_bytes());
        cells.0.resize(len, 0);
        cells.0[..4].copy_from_slice(b"hbin");
        cells.0[8..12].copy_from_slice(&u32_of(len).to_le_bytes());
        let base =
            Fields::default().bytes(b"regf").long(1).long(1).bytes(&[0; 8]).long(1).long(5).long(0).long(1);
        let mut base = base.long(root as usize).long(len).long(1).to(4096).0;
        let sum = base[..508].as_chunks().0.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word));
        base[508..512].copy_from_slice(&sum.to_le_bytes());
        base.extend(cells.0);
        base
    }
}

/// Cells one after the other; offsets count from the bin's start.
struct Cells(Vec<u8>);

impl Cells {
    fn push(&mut self, content: &[u8]) -> u32 {
        let at = self.0.len();
        let len = (content.len() + 4).next_multiple_of(8);
        self.0.extend((-i32::try_from(len).expect("small")).to_le_bytes());
        self.0.extend(content);
        self.0.resize(at + len, 0);
        u32_of(at)
    }

    fn key(&mut self, name: &str, key: &Key, parent: u32, security: u32, flags: usize) -> u32 {
        let values: Vec<u32> = key.values.iter().map(|(name, value)| self.value(name, value)).collect();
        let list =
            |offsets: &[u32]| offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect::<Vec<_>>();
        let values_list = if values.is_empty() { u32::MAX } else { self.push(&list(&values)) };
        // The key comes after those below it, which name it: its place is corrected in them.
        let keys: Vec<(u32, &str)> = key
            .keys
            .iter()
            .map(|(name, below)| (self.key(name, below, 0, security, 0x20), &**name))
            .collect();
        let entries = keys.iter().flat_map(|(offset, name)| {
            let mut hint = name.as_bytes().to_vec();
            hint.resize(4, 0);
            [offset.to_le_bytes().to_vec(), hint].concat()
        });
        let entries: Vec<u8> = entries.collect();
        let keys_list = match keys.is_empty() {
            true => u32::MAX,
            false => self.push(&Fields::default().bytes(b"lf").word(keys.len()).bytes(&entries).0),
        };
        let node = Fields::default().bytes(b"nk").word(flags).bytes(&[0; 12]).long(parent as usize);
        let node = node.long(keys.len()).long(0).long(keys_list as usize).long(u32::MAX as usize);
        let node = node.long(values.len()).long(values_list as usize).long(security as usize);
        let node =
            node.long(u32::MAX as usize).bytes(&[0; 20]).word(name.len()).word(0).bytes(name.as_bytes());
        let at = self.push(&node.0);
        for (below, _) in keys {
            let parent = below as usize + 4 + 16;
            self.0[parent..parent + 4].copy_from_slice(&at.to_le_bytes());
        }
        at
    }

    fn value(&mut self, name: &str, (data_type, data): &(u32, Vec<u8>)) -> u32 {
        let (size, offset) = match data.len() {
            len @ 0..=4 => {
                let mut place = [0; 4];
                place[..len].copy_from_slice(data);
                (u32_of(len) | 1 << 31, u32::from_le_bytes(place))
            }
            len => (u32_of(len), self.push(data)),
        };
        let value = Fields::default().bytes(b"vk").word(name.len()).long(size as usize).long(offset as usize);
        let value = value.long(*data_type as usize).word(1).word(0).bytes(name.as_bytes());
        self.push(&value.0)
    }
}

fn u32_of(value: usize) -> u32 {
    u32::try_from(value).expect("small")
}

/// UTF-16 with its end.
pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

/// A store of boot configuration data.
#[derive(Debug, Clone, Default)]
pub struct Store(pub Key);

impl Store {
    /// Makes an object, by its identifier without braces.
    pub fn object(&mut self, id: &str, kind: u32) {
        self.0.at(&format!(r"Objects\{{{id}}}\Description")).set("Type", 4, kind.to_le_bytes().to_vec());
    }

    /// Sets an element.
    pub fn element(&mut self, id: &str, element: u32, data_type: u32, data: Vec<u8>) {
        self.0.at(&format!(r"Objects\{{{id}}}\Elements\{element:08x}")).set("Element", data_type, data);
    }

    /// A text, or one other object with its braces.
    pub fn text(&mut self, id: &str, element: u32, text: &str) {
        self.element(id, element, 1, utf16(text));
    }

    /// A device.
    pub fn device(&mut self, id: &str, element: u32, device: Vec<u8>) {
        self.element(id, element, 3, device);
    }

    /// Other objects.
    pub fn list(&mut self, id: &str, element: u32, ids: &[&str]) {
        let mut data: Vec<u8> = ids.iter().flat_map(|id| utf16(&format!("{{{id}}}"))).collect();
        data.extend([0, 0]);
        self.element(id, element, 7, data);
    }

    /// The boot manager with one entry, which starts a Windows on `device`.
    pub fn windows(device: &[u8], loader: &str) -> Self {
        let mut store = Self::default();
        store.object(BOOT_MANAGER, 0x1010_0002);
        store.text(BOOT_MANAGER, 0x2300_0003, &format!("{{{ENTRY}}}"));
        store.list(BOOT_MANAGER, 0x2400_0001, &[ENTRY]);
        store.element(BOOT_MANAGER, 0x2500_0004, 3, 30_u64.to_le_bytes().to_vec());
        store.object(ENTRY, 0x1020_0003);
        store.device(ENTRY, 0x1100_0001, device.to_vec());
        store.text(ENTRY, 0x1200_0002, loader);
        store.text(ENTRY, 0x1200_0004, "Windows 11");
        store.device(ENTRY, 0x2100_0001, device.to_vec());
        store.text(ENTRY, 0x2200_0002, r"\Windows");
        store.element(ENTRY, 0x2500_0020, 3, 1_u64.to_le_bytes().to_vec());
        store
    }

    /// Its file.
    pub fn to_file(&self) -> Vec<u8> {
        self.0.to_hive()
    }
}

/// `{bootmgr}`
pub const BOOT_MANAGER: &str = "9dea862c-5cdd-4e70-acc1-f32b344d4795";
/// The entry of [`Store::windows`].
pub const ENTRY: &str = "0a336cac-1546-11ed-b055-819c3fda84ba";

/// What was booted from.
pub fn boot_device() -> Vec<u8> {
    Fields::default().bytes(&[0; 16]).long(5).long(0).long(0x48).to(0x58).0
}

/// A partition, by the bytes that identify the disk and the partition; `mbr` says how.
pub fn partition_device(disk: &[u8], partition: &[u8], mbr: bool) -> Vec<u8> {
    let fields = Fields::default().bytes(&[0; 16]).long(6).long(0).long(0x48).to(0x20).bytes(partition);
    fields.to(0x30).long(0).long(usize::from(mbr)).bytes(disk).to(0x58).0
}

/// A virtual disk in the file `path` on `parent`, of which the volume with the application is taken.
pub fn vhd_device(parent: &[u8], path: &str) -> Vec<u8> {
    // From the inside out: file, virtual disk, locate; each begins with its kind and its length.
    let name = [&parent[16..], &utf16(path)].concat();
    let file = Fields::default().long(1).long(12 + name.len()).long(5).bytes(&name).0;
    let file = Fields::default().long(0).long(0).long(20 + file.len()).long(0).long(5).bytes(&file).0;
    let disk = Fields::default().long(0).long(0).long(40 + file.len()).long(0).long(6).to(40).bytes(&file).0;
    let locate = Fields::default().long(8).long(0).long(30 + disk.len()).long(0);
    let locate = locate.long(0).long(0x1200_0002).long(30).word(0).bytes(&disk).0;
    [&[0; 16][..], &locate].concat()
}

/// An executable with the given sections behind its code.
pub fn executable(machine: u16, subsystem: u16, code: &[u8], sections: &[(&str, &[u8])]) -> Vec<u8> {
    let all: Vec<(&str, &[u8])> = std::iter::once((".text", code)).chain(sections.iter().copied()).collect();
    let (mut headers, mut content) = (Fields::default(), Vec::new());
    let mut address = 0x1000;
    for (name, data) in &all {
        let stored = data.len().next_multiple_of(0x200);
        let begun = headers.0.len();
        headers = headers.bytes(name.as_bytes()).to(begun + 8).long(data.len()).long(address).long(stored);
        headers = headers.long(0x400 + content.len()).bytes(&[0; 12]).long(0x6000_0020);
        content.extend(*data);
        content.resize(content.len().next_multiple_of(0x200), 0);
        address += data.len().max(1).next_multiple_of(0x1000);
    }
    let file = Fields::default().bytes(b"MZ").to(0x3c).long(0x40).bytes(b"PE\0\0").word(machine.into());
    let file = file.word(all.len()).bytes(&[0; 12]).word(0xf0).word(0x22);
    // The optional header: code, then memory, then what starts it.
    let file =
        file.word(0x20b).word(0).long(code.len()).long(0).long(0).long(0x1000).long(0x1000).bytes(&[0; 8]);
    let file = file
        .long(0x1000)
        .long(0x200)
        .bytes(&[0; 16])
        .long(address)
        .long(0x400)
        .long(0)
        .word(subsystem.into());
    let file = file.word(0).bytes(&[0; 36]).long(16).bytes(&[0; 128]);
    file.bytes(&headers.0).to(0x400).bytes(&content).0
}

/// Code of x86 that writes a text to the first serial port and ends the emulator with a code; for 16 bits and for 64.
pub fn printing_code(text: &str, exit: u8, wide: bool) -> Vec<u8> {
    let mut code = if wide { vec![0x66] } else { Vec::new() };
    // mov dx, 3f8h; then for each byte: mov al, byte; out dx, al
    code.extend([0xba, 0xf8, 0x03]);
    text.bytes().for_each(|byte| code.extend([0xb0, byte, 0xee]));
    // mov al, exit; out 0f4h, al; hlt; jmp to the hlt
    code.extend([0xb0, exit, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd]);
    code
}
