//! What becomes of the disks of one host volume if all write new blocks at the same rate, counted in bytes of the host.
//!
//! Each takes the same until it has all that it needs, or reaches a limit of its own (quota, the host's largest file); what
//! it leaves goes to the others. When the host is full all others stop at once, at the same level.

use std::cmp::Reverse;

use serde::Serialize;

use super::Image;

/// A disk among others that grow equally, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EqualGrowth {
    /// What it gets of the host.
    pub grows_by: u64,
    /// The size that it reaches with that: whole blocks.
    pub achievable_size: u64,
    /// It has all that was promised before the host is full.
    pub full_before_host: bool,
}

/// The level at which the host is full (`None`: it never is), and the share of each image.
pub(super) fn shares(host_free: u64, images: &[Image]) -> (Option<u64>, Vec<EqualGrowth>) {
    let wants: Vec<u64> =
        images.iter().map(|image| image.report.growth_to_full.min(image.report.host_free)).collect();
    let level = level(host_free, &wants);
    let shares = images.iter().zip(wants).map(|(image, want)| {
        let grows_by = want.min(level.unwrap_or(u64::MAX));
        let full = grows_by == image.report.growth_to_full;
        let alone = image.report.achievable_size;
        EqualGrowth {
            grows_by,
            achievable_size: if full { alone } else { image.growth.achievable(grows_by).min(alone) },
            full_before_host: full,
        }
    });
    (level, shares.collect())
}

/// How much each has taken when `free` is used up; `None` when all together want no more than that.
fn level(free: u64, wants: &[u64]) -> Option<u64> {
    let mut wants = wants.to_vec();
    wants.sort_unstable();
    let mut left = free;
    for (satisfied, want) in wants.iter().enumerate() {
        let sharers = (wants.len() - satisfied) as u64;
        if *want > left / sharers {
            return Some(left / sharers);
        }
        left -= want;
    }
    None
}

/// The one that runs out first: of those that do not get all, the one that gets least; when all stop at the same level, the
/// one whose next block is largest, since the others may still fit one; then the one that lacks most.
pub(super) fn first(images: &[Image], shares: &[EqualGrowth]) -> Option<usize> {
    let short =
        shares.iter().enumerate().filter(|(_, share)| !share.full_before_host).map(|(index, _)| index);
    short.min_by_key(|index| {
        let image = &images[*index];
        (
            shares[*index].grows_by,
            Reverse(image.growth.next_block()),
            Reverse(image.report.growth_to_full),
            *index,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn what_the_satisfied_leave_goes_to_the_others() {
        assert_eq!(level(30, &[100, 100, 100]), Some(10));
        assert_eq!(level(30, &[4, 100, 100]), Some(13));
        assert_eq!(level(30, &[4, 6, 100]), Some(20));
        assert_eq!(level(30, &[10, 10, 10]), None);
        assert_eq!(level(30, &[]), None);
        assert_eq!(level(0, &[1, 0]), Some(0));
        assert_eq!(level(u64::MAX, &[u64::MAX, 1]), Some(u64::MAX - 1));
    }

    #[test]
    fn no_more_is_given_than_there_is_and_nothing_that_all_could_use_is_left() {
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..500 {
            let wants: Vec<u64> = (0..1 + random(9)).map(|_| random(100)).collect();
            let free = random(500);
            let level = level(free, &wants);
            let given: u64 = wants.iter().map(|want| (*want).min(level.unwrap_or(u64::MAX))).sum();
            assert!(given <= free, "{wants:?} {free}");
            assert!(level.is_none() || free - given < wants.len() as u64, "{wants:?} {free}");
        }
    }
}
