//! Tests of cluster chains and of the content that they hold.

use super::*;

#[test]
fn fragmented_chain_is_read_in_order() {
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.chain(&[10, 11, 5, 300, 7]);
        image.entry(0, b"A       BIN", 0x20, 10, 2100);
        [10, 11, 5, 300, 7].iter().zip(1..).for_each(|(cluster, byte)| image.fill(*cluster, byte));
        let fs = image.open();
        let content = read(&fs, "a.bin").unwrap();
        let expected: Vec<u8> = (0..2100_u16).map(|i| (i / 512 + 1).to_le_bytes()[0]).collect();
        assert_eq!(content, expected, "{width:?}");
        let stat = fs.stat(find(&fs, "A.BIN")).unwrap();
        assert_eq!((stat.size, stat.allocated, stat.attributes), (2100, 2560, 0x20));
    }
}

#[test]
fn chain_that_ends_early_gives_its_beginning_and_then_an_error() {
    for (width, stop) in
        [(Width::Fat12, 0xff7), (Width::Fat16, 0), (Width::Fat32, 1), (Width::Fat32, 0x0fff_ffff)]
    {
        let mut image = Image::new(width);
        image.chain(&[10, 11]);
        image.set(11, stop);
        image.entry(0, b"A          ", 0, 10, 1500);
        image.fill(10, 1);
        let fs = image.open();
        assert!(matches!(read(&fs, "A"), Err(Error::Corrupt(_))));
        let mut beginning = [0; 1024];
        fs.open(find(&fs, "A")).unwrap().read_exact_at(0, &mut beginning).unwrap();
        assert_eq!(beginning[..512], [1; 512]);
    }
}

#[test]
fn loop_is_not_read_as_content() {
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.chain(&[10, 11, 20]);
        image.set(20, 11);
        image.entry(0, b"A          ", 0, 10, 100 * 512);
        image.entry(1, b"B          ", 0x10, 10, 0);
        for cluster in [10, 11, 20] {
            let at = image.cluster(cluster);
            (0..16).for_each(|i| image.slot(at + i * 32, entry(b"X          ", 0, 0, 0).as_bytes()));
        }
        let fs = image.open();
        let file = fs.open(find(&fs, "A")).unwrap();
        assert!(file.read_exact_at(0, &mut [0; 3 * 512]).is_ok());
        assert!(file.read_exact_at(3 * 512, &mut [0]).is_err());
        let (names, result) = list(&fs, find(&fs, "B"));
        assert_eq!(names.len(), 48);
        assert!(matches!(result, Err(Error::Corrupt(_))));
        assert!(fs.lookup(find(&fs, "B"), NameBuf::literal("Y").as_name()).is_err());
    }
}

#[test]
fn file_with_a_size_but_no_clusters_fails_when_read() {
    let mut image = Image::new(Width::Fat16);
    image.entry(0, b"A          ", 0, 0, 5);
    image.entry(1, b"B          ", 0, 0xfff0, 5);
    image.entry(2, b"EMPTY      ", 0, 0, 0);
    image.entry(3, b"DIR        ", 0x10, 0, 0);
    let fs = image.open();
    assert!(read(&fs, "A").is_err() && read(&fs, "B").is_err());
    assert_eq!(read(&fs, "EMPTY").unwrap(), b"");
    assert!(matches!(list(&fs, find(&fs, "DIR")), (names, Ok(())) if names.is_empty()));
}

#[test]
fn cross_linked_files_share_their_clusters() {
    let mut image = Image::new(Width::Fat12);
    image.chain(&[10, 12]);
    image.chain(&[11, 12]);
    [10, 11, 12].iter().for_each(|cluster| image.fill(*cluster, cluster.to_le_bytes()[0]));
    image.entry(0, b"A          ", 0, 10, 1024);
    image.entry(1, b"B          ", 0, 11, 1024);
    let fs = image.open();
    assert_eq!(read(&fs, "A").unwrap()[..], [[10; 512], [12; 512]].concat());
    assert_eq!(read(&fs, "B").unwrap()[..], [[11; 512], [12; 512]].concat());
}

#[test]
fn second_table_serves_chains_that_the_first_has_lost() {
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.chain(&[10, 11, 12]);
        image.set_in(0, 11, 0);
        image.entry(0, b"A          ", 0, 10, 1500);
        [10, 11, 12].iter().for_each(|cluster| image.fill(*cluster, 7));
        let fs = image.open();
        assert_eq!(read(&fs, "A").unwrap(), [7; 1500]);
        assert!(fs.volume().problems.is_empty());

        let fat = image.fat as u64;
        let source = Arc::new(MemorySource(image.bytes.clone()));
        let first_table = fat..fat + image.fat_len as u64;
        let bad_sectors = Faulty::new(source, [first_table].into());
        let fs = open(Arc::new(bad_sectors)).unwrap();
        assert_eq!(read(&fs, "A").unwrap(), [7; 1500]);
        assert_eq!(fs.volume().problems, ["table 1 damaged: table 2 is preferred"]);
        assert_eq!(fs.space().usage().unwrap().free, image.open().space().usage().unwrap().free - 512);
    }
}

#[test]
fn table_that_is_not_kept_current_is_not_used() {
    let mut image = Image::new(Width::Fat32);
    image.bytes[40] = 0x81;
    image.set_in(1, 10, image.end());
    image.set_in(0, 10, 11);
    image.entry(0, b"A          ", 0, 10, 600);
    let fs = image.open();
    assert!(read(&fs, "A").is_err());
}

/// Counts the reads that reach the volume.
struct Counting(MemorySource, AtomicUsize);

impl ByteSource for Counting {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(self.size(), offset, buf.len())?;
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_exact_at(offset, buf)
    }
}

#[test]
fn open_file_reads_once_per_contiguous_run() {
    let mut image = Image::new(Width::Fat16);
    image.chain(&(100..2000).chain(3000..4000).collect::<Vec<_>>());
    image.entry(0, b"A          ", 0, 100, 2900 * 512);
    let source = Arc::new(Counting(MemorySource(image.bytes), AtomicUsize::new(0)));
    let fs = open(source.clone()).unwrap();
    let file = fs.open(find(&fs, "A")).unwrap();
    let before = source.1.load(Ordering::Relaxed);
    assert!(before < 10, "{before} reads to open a volume and a file");
    file.read_exact_at(0, &mut vec![0; 2900 * 512]).unwrap();
    assert_eq!(source.1.load(Ordering::Relaxed) - before, 2);
    file.read_exact_at(1000 * 512, &mut [0; 512]).unwrap();
    assert_eq!(source.1.load(Ordering::Relaxed) - before, 3);
}
