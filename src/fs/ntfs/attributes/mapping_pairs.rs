//! Mapping pairs: the encoded run list of a non-resident attribute. Each pair is a byte with two nibble lengths, a cluster
//! count, and the signed distance to the previous run's LCN (none for a hole). Guards: counts, sums and positions do not
//! overflow, and the pairs cover exactly the VCNs that the attribute states.

use crate::fs::runs::RunList;

/// Maximum number of runs of a file: the largest attribute list (256 KiB) of 1 KiB records can contain 2.5 million. Bounds
/// memory to about 100 MiB for a malicious file.
pub const MAX_RUNS: usize = 1 << 22;

/// Appends the runs of one extent of `clusters` clusters to `runs`.
///
/// # Errors
/// The contradiction to the format.
pub fn decode(
    pairs: &[u8],
    clusters: u64,
    cluster_size: u64,
    runs: &mut RunList,
) -> Result<(), &'static str> {
    match append(pairs, cluster_size, runs)? == clusters {
        true => Ok(()),
        false => Err("runs do not cover the VCNs that the attribute claims"),
    }
}

/// As [`decode`], but the runs may end early: the mapped part is readable, and a reader gets an error behind it.
///
/// # Errors
/// The contradiction to the format, or more runs than the attribute states.
pub fn decode_held(
    pairs: &[u8],
    clusters: u64,
    cluster_size: u64,
    runs: &mut RunList,
) -> Result<(), &'static str> {
    match append(pairs, cluster_size, runs)? <= clusters {
        true => Ok(()),
        false => Err("runs cover more VCNs than the attribute claims"),
    }
}

/// Appends the runs; returns the number of clusters that they cover.
fn append(pairs: &[u8], cluster_size: u64, runs: &mut RunList) -> Result<u64, &'static str> {
    const OVERFLOW: &str = "runs overflow";
    let mut rest = pairs;
    let (mut lcn, mut covered) = (0_i64, 0_u64);
    while let Some((&lengths, pair)) = rest.split_first() {
        if lengths == 0 {
            break;
        }
        let (count_len, distance_len) = (usize::from(lengths & 0x0f), usize::from(lengths >> 4));
        let body = pair.get(..count_len + distance_len).ok_or("runs leave the attribute")?;
        rest = &pair[body.len()..];
        let count = signed(&body[..count_len]).and_then(|count| u64::try_from(count).ok());
        let count = count.filter(|count| *count > 0).ok_or("run of no or negative length")?;
        covered = covered.checked_add(count).ok_or(OVERFLOW)?;
        let bytes = count.checked_mul(cluster_size).ok_or(OVERFLOW)?;
        let position = match distance_len {
            0 => None,
            _ => {
                let distance = signed(&body[count_len..]).ok_or("run with an offset of over 8 bytes")?;
                lcn = lcn.checked_add(distance).ok_or(OVERFLOW)?;
                let lcn = u64::try_from(lcn).map_err(|_| "run before the volume's start")?;
                Some(lcn.checked_mul(cluster_size).ok_or(OVERFLOW)?)
            }
        };
        runs.push(bytes, position).map_err(|_| OVERFLOW)?;
        if runs.count() > MAX_RUNS {
            return Err("too many runs");
        }
    }
    Ok(covered)
}

/// Parses a little-endian two's complement number of 1 to 8 bytes.
fn signed(bytes: &[u8]) -> Option<i64> {
    let mut value = match bytes.last()? {
        0x80.. => [0xff; 8],
        _ => [0; 8],
    };
    value.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Runs = Vec<(u64, Option<u64>, u64)>;

    fn decoded(pairs: &[u8], clusters: u64) -> Result<Runs, &'static str> {
        let mut runs = RunList::new();
        decode(pairs, clusters, 4096, &mut runs)?;
        Ok(runs
            .iter()
            .map(|(at, position, len)| (at / 4096, position.map(|p| p / 4096), len / 4096))
            .collect())
    }

    #[test]
    fn runs_follow_each_other_by_signed_distances() {
        let pairs = [0x21, 0x18, 0x34, 0x56, 0x01, 0x10, 0x11, 0x08, 0xf0, 0x00];
        assert_eq!(
            decoded(&pairs, 0x30).unwrap(),
            [(0, Some(0x5634), 0x18), (0x18, None, 0x10), (0x28, Some(0x5624), 8)]
        );
        assert_eq!(decoded(&[0x31, 0x80 - 1, 0, 0, 1], 0x7f).unwrap(), [(0, Some(0x1_0000), 0x7f)]);
        assert!(decoded(&[0], 0).unwrap().is_empty());
        assert!(decoded(&[], 0).unwrap().is_empty());
    }

    #[test]
    fn runs_that_end_early_hold_what_they_hold() {
        let held = |pairs: &[u8], clusters| {
            let mut runs = RunList::new();
            decode_held(pairs, clusters, 4096, &mut runs).map(|()| runs.len() / 4096)
        };
        assert_eq!(held(&[0x11, 0x08, 0x10, 0], 9), Ok(8));
        assert_eq!(held(&[], 9), Ok(0));
        assert!(held(&[0x11, 0x08, 0x10, 0], 7).is_err());
        assert!(held(&[0x11, 0x08, 0xf0, 0], 9).is_err());
    }

    #[test]
    fn damaged_runs_are_refused() {
        for (pairs, clusters) in [
            (&[0x11, 0x08, 0xf0, 0][..], 8),                                    // LCN -16
            (&[0x11, 0x80, 0x10, 0], 0x80),                                     // negative length
            (&[0x11, 0x00, 0x10, 0], 0),                                        // no length
            (&[0x10, 0x10, 0], 0),                                              // no length field
            (&[0x21, 0x18, 0x34], 0x18),                                        // cut off
            (&[0x11, 0x08, 0x10, 0], 9),                                        // too few
            (&[0x11, 0x08, 0x10, 0x11, 0x08, 0x10, 0], 8),                      // too many
            (&[0x19, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1], 1),                         // 9 bytes of length
            (&[0x81, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], 1), // beyond 64 bits of bytes
        ] {
            assert!(decoded(pairs, clusters).is_err(), "{pairs:x?}");
        }
    }
}
