//! Images that contradict themselves are refused, and nothing of them was changed; what is opened is only changed where it may be.

use super::*;

const TABLE: u64 = 3 * MIB;
const METADATA: std::ops::Range<u64> = 2 * MIB..3 * MIB;

fn image(plan: &Plan) -> Sparse {
    let blocks: Vec<(u64, Vec<u8>)> =
        (0..3).map(|number| (number * plan.block_size, pattern(9000, number))).collect();
    made(plan, if plan.kind == Kind::Differencing { &[] } else { &blocks })
}

fn refused(mut content: Sparse, changes: &[(u64, u64)], why: &str) {
    for (index, entry) in changes {
        content.write(TABLE + index * 8, &entry.to_le_bytes());
    }
    let file = Arc::new(MemoryFile::new(content.clone()));
    let is_child = why.contains("child");
    let parent: Option<Arc<dyn ByteSource>> =
        is_child.then(|| Arc::new(crate::bytes::MemorySource(vec![1; 4096])) as Arc<dyn ByteSource>);
    let error = WritableDisk::open(file.clone(), parent, &WriteOptions::default()).err();
    let error = error.unwrap_or_else(|| panic!("{why} is opened"));
    assert!(matches!(error, Error::Corrupt(_)), "{why}: {error}");
    let same = file.content().pieces().eq(content.pieces());
    assert!(same && file.size() == content.size(), "{why}: the file was changed");
}

#[test]
fn blocks_that_claim_what_is_not_theirs() {
    const FULL: u64 = 6;
    const PARTIAL: u64 = 7;
    let plan = dynamic(16 * MIB, MIB);
    let content = image(&plan);
    let end = content.size();
    for (why, changes) in [
        ("two blocks in one place", vec![(5, (4 * MIB) | FULL)]),
        ("a block on the headers", vec![(5, FULL)]),
        ("a block on the log", vec![(5, MIB | FULL)]),
        ("a block on the metadata", vec![(5, METADATA.start | FULL)]),
        ("a block on the table", vec![(5, TABLE | FULL)]),
        ("a block beyond the end", vec![(5, end | FULL)]),
        ("a block far beyond the end", vec![(5, (u64::MAX >> 20 << 20) | FULL)]),
        ("a state that there is not", vec![(5, end | 4)]),
        ("a partial block without a parent", vec![(0, (4 * MIB) | PARTIAL)]),
    ] {
        refused(content.clone(), &changes, why);
    }
    let plan = Plan { block_size: 32 * MIB, ..dynamic(100 * MIB, MIB) };
    refused(image(&plan), &[(2, (20 * MIB) | FULL)], "a block that overlaps another in part");

    let plan = child(16 * MIB, MIB);
    let mut content = image(&plan);
    let end = content.size();
    content.truncate(end + 4 * MIB);
    let bitmap = (512 << 23) / MIB;
    refused(content.clone(), &[(0, end | PARTIAL)], "a partial block of a child without a bitmap");
    refused(content.clone(), &[(0, end | PARTIAL), (bitmap, end | FULL)], "a bitmap of a child on a block");
    refused(content, &[(bitmap, end | 3)], "a bitmap of a child in a state that there is not");

    let mut content = image(&dynamic(16 * MIB, MIB));
    content.truncate(TABLE + 64);
    refused(content, &[], "a table that was cut off");
}

/// A file that remembers the places of its structures as they were, and that nothing may change.
#[test]
fn damaged_images_are_changed_in_their_own_blocks_alone() {
    let mut opened = 0;
    for seed in 0..400_u64 {
        let plan = if seed % 2 == 0 { dynamic(16 * MIB, MIB) } else { child(16 * MIB, MIB) };
        let mut content = image(&plan);
        if seed % 3 == 0 {
            content.truncate(content.size() + 3 * MIB);
        }
        let random = pattern(400, seed + 1);
        let (choices, _) = random.as_chunks::<8>();
        for choice in &choices[..1 + usize::try_from(seed % 3).unwrap()] {
            let value = u64::from_le_bytes(*choice);
            // An entry of the table: often a plausible one.
            let entry = match value % 4 {
                0 => value,
                _ => ((value >> 40) % 12 * MIB) | ((value >> 8) % 8),
            };
            content.write(TABLE + (value >> 16) % 17 * 8, &entry.to_le_bytes());
        }
        let fixed = |content: &Sparse| {
            let mut bytes = read_vec(content, 0, 64 << 10).unwrap();
            bytes.extend(read_vec(content, 192 << 10, 832 << 10).unwrap());
            bytes.extend(read_vec(content, METADATA.start, 1 << 20).unwrap());
            bytes
        };
        let before = fixed(&content);
        let parent: Option<Arc<dyn ByteSource>> = (plan.kind == Kind::Differencing)
            .then(|| Arc::new(crate::bytes::MemorySource(pattern(16 * MIB, 3))) as Arc<dyn ByteSource>);
        let file = Arc::new(MemoryFile::new(content));
        let options = WriteOptions::default();
        let Ok(disk) = WritableDisk::open(file.clone(), parent.clone(), &options) else {
            assert!(fixed(&file.content()) == before);
            continue;
        };
        opened += 1;
        let mut plain = read_vec(&disk, 0, 16 << 20).unwrap();
        for number in 0..16_u64 {
            let bytes = pattern(70_000, seed + number);
            let at = number * 1_000_448;
            disk.write_all_at(at, &bytes).unwrap();
            plain[usize::try_from(at).unwrap()..][..70_000].copy_from_slice(&bytes);
        }
        disk.discard(4 * MIB, 2 * MIB).unwrap();
        plain[4 << 20..6 << 20].fill(0);
        disk.flush().unwrap();
        // Every block is where no other one is: else some of this would be something else.
        assert!(read_vec(&disk, 0, 16 << 20).unwrap() == plain, "{seed}");
        disk.close().unwrap();
        assert!(fixed(&file.content()) == before, "{seed}");
        assert!(
            read_vec(&*read_only(file.content(), parent.as_ref()), 0, 16 << 20).unwrap() == plain,
            "{seed}"
        );
    }
    assert!(opened > 40, "{opened}");
}
