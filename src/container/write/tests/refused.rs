//! Images that contradict themselves are refused, and nothing of them was changed. Random damage is in `testing::writes`.

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
    let error =
        WritableDisk::open(file.clone(), parent.map(Below::unverified), &WriteOptions::default()).err();
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
