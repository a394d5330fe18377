use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

/// Refuses every request that a Windows disk would refuse: offset, length and memory must be sector-aligned.
struct Strict {
    bytes: Vec<u8>,
    sector: usize,
    requests: AtomicUsize,
    /// Maximum bytes per call.
    at_once: usize,
}

impl Strict {
    fn new(sectors: usize, sector: usize) -> Self {
        let bytes = (0..sectors * sector).map(|n| (n * 7 + n / 251).to_le_bytes()[0]).collect();
        Self { bytes, sector, requests: AtomicUsize::new(0), at_once: usize::MAX }
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let offset = usize::try_from(offset).unwrap();
        let is_whole = |number: usize| number.is_multiple_of(self.sector);
        if !is_whole(offset) || !is_whole(buf.len()) || !is_whole(buf.as_ptr().addr()) {
            let text = format!("{} bytes at {offset} to {:p}", buf.len(), buf.as_ptr());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let Some(from) = self.bytes.get(offset..) else { return Ok(0) };
        let len = buf.len().min(from.len()).min(self.at_once);
        buf[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    fn sectors(&self, stated: u32) -> Sectors {
        Sectors::new(self.bytes.len() as u64, stated).unwrap()
    }
}

/// Reads at odd offsets and lengths, into memory of any alignment.
fn check(device: &Strict, sectors: &Sectors) {
    let size = device.bytes.len();
    let mut memory = vec![0; size + 8192];
    for (offset, len) in [
        (0, 1),
        (0, device.sector),
        (1, device.sector),
        (device.sector - 1, 2),
        (device.sector, 3 * device.sector),
        (size - 1, 1),
        (size - device.sector, device.sector),
        (3, size - 3),
        (0, size),
        (size, 0),
    ] {
        for shift in [0, 1, device.sector] {
            let start = memory.as_ptr().align_offset(ALIGNMENT) + shift;
            let buf = &mut memory[start..start + len];
            buf.fill(0xee);
            sectors.read(offset as u64, buf, &|at, piece| device.read(at, piece)).unwrap();
            assert!(buf == &device.bytes[offset..offset + len], "{len} bytes at {offset}, memory {shift}");
        }
    }
}

#[test]
fn any_place_is_read_by_whole_sectors() {
    for sector in [512, 2048, 4096] {
        let device = Strict::new(2 * MAX_REQUEST / sector + 5, sector);
        check(&device, &device.sectors(u32::try_from(sector).unwrap()));
    }
}

#[test]
fn a_device_that_does_not_state_its_sectors_is_read_to_its_end() {
    // 512-byte sectors, and an end that is no multiple of the largest sector size.
    let device = Strict::new(2 * MAX_REQUEST / 512 + 5, 512);
    check(&device, &device.sectors(0));
}

#[test]
fn short_reads_are_gone_on_from_and_an_early_end_is_an_error() {
    let device = Strict { at_once: 1024, ..Strict::new(64, 512) };
    check(&device, &device.sectors(512));
    let short = Sectors::new(65 * 512, 512).unwrap();
    let read = |offset, len| {
        short.read(offset, &mut vec![0; len], &|at, piece| device.read(at, piece)).map_err(|e| e.kind())
    };
    assert_eq!(read(63 * 512, 512), Ok(()));
    assert_eq!(read(63 * 512 + 1, 512), Err(io::ErrorKind::UnexpectedEof));
    let odd = Strict { at_once: 100, ..Strict::new(64, 512) };
    let stopped = odd.sectors(512).read(0, &mut [0; 512], &|at, piece| odd.read(at, piece));
    assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn large_reads_are_made_of_large_requests() {
    let device = Strict::new(4 * MAX_REQUEST / 512, 512);
    let sectors = device.sectors(512);
    let mut buf = vec![0; 3 * MAX_REQUEST];
    sectors.read(511, &mut buf, &|at, piece| device.read(at, piece)).unwrap();
    assert_eq!(device.requests.load(Ordering::Relaxed), 4);
}

#[test]
fn sectors_of_no_disk_are_refused() {
    for (sector, good) in
        [(0, true), (512, true), (4096, true), (1, false), (256, false), (520, false), (8192, false)]
    {
        assert_eq!(Sectors::new(1 << 20, sector).is_ok(), good, "{sector}");
    }
}

#[test]
fn many_threads_read_at_once() {
    let device = Strict::new(2048, 512);
    let sectors = device.sectors(512);
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (device, sectors) = (&device, &sectors);
            scope.spawn(move || {
                for n in 0..200 {
                    let (offset, len) = ((n * 4001 + thread * 77) % 900_000, 1 + (n * 513) % 20_000);
                    let mut buf = vec![0; len];
                    sectors.read(offset as u64, &mut buf, &|at, piece| device.read(at, piece)).unwrap();
                    assert!(buf == device.bytes[offset..offset + len], "{len} bytes at {offset}");
                }
            });
        }
    });
}

/// A real handle that refuses unaligned reads: the kernel's rules for O_DIRECT are those of a Windows disk.
#[cfg(target_os = "linux")]
#[test]
fn a_file_without_the_kernels_cache_gives_the_same() {
    use std::os::unix::fs::{FileExt, OpenOptionsExt};
    let device = Strict::new(2 * MAX_REQUEST / 4096 + 3, 4096);
    // On a disk if there is one: in-memory filesystems may lack O_DIRECT.
    let on_disk = tempfile::NamedTempFile::new_in("/var/tmp");
    let file = on_disk.or_else(|_| tempfile::NamedTempFile::new()).unwrap();
    std::fs::write(file.path(), &device.bytes).unwrap();
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
    let Ok(handle) = std::fs::OpenOptions::new().read(true).custom_flags(direct).open(file.path()) else {
        println!("SKIPPED: {} cannot be opened with O_DIRECT", file.path().display());
        return;
    };
    let refused = handle.read_at(&mut [0; 100], 1);
    let sectors = device.sectors(4096);
    let mut buf = vec![0; device.bytes.len() - 5];
    sectors.read(3, &mut buf, &|at, piece| handle.read_at(piece, at)).unwrap();
    assert!(buf == device.bytes[3..device.bytes.len() - 2], "and a read of 100 bytes at 1 gave {refused:?}");
}
