//! Quotas of a file's owner and group (quotactl(2)). A project's quota shows in the free space of the folder instead.

use std::path::Path;

use nix::{
    errno::Errno,
    sys::quota::{Dqblk, QuotaType, quotactl_get},
};

/// The unit of quota limits; use is in bytes.
const UNIT: u64 = 1024;

/// What a quota says to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// There is none.
    None,
    /// This many bytes are left.
    Left(u64),
    /// This user may not ask for it.
    Hidden,
}

/// The quotas of `uid` and of `gid` on the volume in `device`.
pub fn of_owner(device: &Path, uid: u32, gid: u32) -> [Quota; 2] {
    [(QuotaType::USRQUOTA, uid), (QuotaType::GRPQUOTA, gid)].map(|(kind, id)| {
        match quotactl_get(kind, device, id.cast_signed()) {
            Ok(quota) => left(&quota).map_or(Quota::None, Quota::Left),
            Err(Errno::EPERM | Errno::EACCES) => Quota::Hidden,
            // No quotas there, or none of this kind, or a kernel without.
            Err(_) => Quota::None,
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
        assert_eq!(of_owner(Path::new("/dev/null"), 0, 0), [Quota::None; 2]);
    }
}
