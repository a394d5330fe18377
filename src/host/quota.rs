//! Quotas of a file's owner and group (quotactl(2)). A project's quota shows in the free space of the folder instead.

use std::path::Path;

use nix::{
    errno::Errno,
    sys::quota::{Dqblk, QuotaType, quotactl_get},
};

/// The unit of quota limits; use is in bytes.
const UNIT: u64 = 1024;

/// What a quota leaves, and whose it is; or that it may not be asked for.
pub(super) enum Quota {
    Left(u64, &'static str),
    Hidden(&'static str),
}

/// The quotas of `uid` and `gid` on the volume in `device`, as far as it has any.
pub(super) fn of_owner(device: &Path, uid: u32, gid: u32) -> impl Iterator<Item = Quota> {
    let kinds = [
        (QuotaType::USRQUOTA, uid, "the quota of the file's owner"),
        (QuotaType::GRPQUOTA, gid, "the quota of the file's group"),
    ];
    kinds.into_iter().filter_map(move |(kind, id, whose)| {
        match quotactl_get(kind, device, id.cast_signed()) {
            Ok(quota) => left(&quota).map(|left| Quota::Left(left, whose)),
            Err(Errno::EPERM | Errno::EACCES) => Some(Quota::Hidden(whose)),
            // No quotas there, or none of this kind, or a kernel without.
            Err(_) => None,
        }
    })
}

/// Bytes until the lower limit: beyond the soft one writes go on only for a time.
fn left(quota: &Dqblk) -> Option<u64> {
    let limits = [quota.blocks_soft_limit(), quota.blocks_hard_limit()];
    let limit = limits.into_iter().flatten().filter(|limit| *limit > 0).min()?;
    Some(limit.saturating_mul(UNIT).saturating_sub(quota.occupied_space()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_limit_counts_and_none_is_no_limit() {
        // `Dqblk` says that its fields are valid only when the kernel filled it in.
        assert_eq!(left(&Dqblk::default()), None);
        assert_eq!(of_owner(Path::new("/dev/null"), 0, 0).count(), 0);
    }
}
