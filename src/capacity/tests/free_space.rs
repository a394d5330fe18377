//! Tests of a volume's free space crossed with the blocks of its disk.

use super::*;

/// The same figures from a map with one entry per byte.
fn naive(layer: &Thin, volume: &Volume, free: &[Range<u64>], host_free: u64) -> u64 {
    let (mut backed, mut gains) = (0, vec![0_u64; layer.allocated.len()]);
    let on_disk = |at| match volume.place(at) {
        Placed::Disk { offset, .. } => Some(offset),
        Placed::Nowhere { .. } => None,
    };
    for at in free.iter().cloned().flatten().filter_map(on_disk) {
        let block = usize::try_from(at / layer.growth.block_size).unwrap();
        if layer.allocated[block] { backed += 1 } else { gains[block] += 1 }
    }
    gains.sort_unstable_by(|a, b| b.cmp(a));
    let blocks = usize::try_from(host_free / layer.growth.block_cost).unwrap();
    backed + gains.iter().take(blocks).sum::<u64>()
}

#[test]
fn free_space_crossed_with_blocks_equals_a_count_by_byte() {
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for _ in 0..200 {
        let mask = random(u64::MAX);
        let layer = Thin::new(1000, 32, 33, |block| mask >> block & 1 == 1);
        let start = random(100);
        let (mut at, mut ranges) = (0, Vec::new());
        loop {
            at += random(90);
            let len = 1 + random(150);
            if at + len + start > 1000 {
                break;
            }
            ranges.push(at..at + len);
            at += len;
        }
        let counted = free(&layer, start, ranges.clone());
        for host_free in [0, 32, 33, 100, 330, 10_000] {
            assert_eq!(
                counted.achievable(&budget(&layer, host_free), 1),
                naive(&layer, &from(start), &ranges, host_free),
                "{ranges:?} {start}"
            );
        }
    }
}

#[test]
fn a_volume_in_stretches_of_any_order_is_counted_as_by_byte() {
    let mut seed = 11_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..200 {
        let mask = random(u64::MAX);
        let layer = Thin::new(1000, 32, 33, |block| mask >> block & 1 == 1);
        // The disk's second part first, then a part that is nowhere, then the first: they meet inside a block.
        let (gap, middle, end) = (random(50), 100 + random(400), 600 + random(400));
        let first = random(100);
        let volume =
            Scattered::volume(vec![(Some(middle), end - middle), (None, gap), (Some(first), middle - first)]);
        let (mut at, mut ranges) = (0, Vec::new());
        while at < volume.bytes.size() {
            let start = at + random(60);
            at = start + 1 + random(if round % 2 == 0 { 300 } else { 12 });
            ranges.push(start..at);
        }
        let list = FreeList(ranges.clone());
        let counted = Free::count(&layer, &FileUsage::default(), None, &volume, &list).unwrap();
        for host_free in [0, 32, 33, 100, 330, 10_000] {
            let expected = naive(&layer, &volume, &ranges, host_free);
            assert_eq!(counted.achievable(&budget(&layer, host_free), 1), expected, "{ranges:?} {middle}");
        }
    }
}
