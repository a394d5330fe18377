//! Copies of earlier output, the "LZ" of all formats here. A copy whose length exceeds its distance overlaps its own output:
//! it repeats the last `distance` bytes.

/// Copies are made in pieces of 16 bytes, which may reach this far beyond their end.
const SLACK: usize = 32;

/// Appends `length` bytes from `distance` back to the `to` decoded bytes of `out`; returns the end offset. The bytes behind
/// it may be overwritten.
#[inline(always)]
pub(super) fn copy_match(
    out: &mut [u8],
    to: usize,
    distance: usize,
    length: usize,
) -> Result<usize, &'static str> {
    let end = to.wrapping_add(length);
    if distance > to || distance == 0 {
        return Err("copy from before the output");
    }
    // The formats bound lengths, so that nothing here wraps.
    if end.wrapping_add(SLACK) > out.len() {
        return near_end(out, to, distance, end);
    }
    let from = to.wrapping_sub(distance);
    if distance >= 16 {
        // Most copies fit into 16 bytes: no loop, no branch to mispredict.
        piece::<16>(out, from, to);
        let mut done = 16;
        while done < length {
            piece::<16>(out, from.wrapping_add(done), to.wrapping_add(done));
            done = done.wrapping_add(16);
        }
        return Ok(end);
    }
    if distance == 1 {
        let byte = out[from];
        if length <= SLACK {
            out[to..to.wrapping_add(SLACK)].fill(byte);
        } else {
            out[to..end].fill(byte);
        }
        return Ok(end);
    }
    let mut at = to;
    let mut distance = distance;
    if distance < 8 {
        // Eight bytes of the pattern one by one, then from the smallest multiple of the distance that is at least eight.
        for i in 0..8 {
            out[to.wrapping_add(i)] = out[from.wrapping_add(i)];
        }
        at = at.wrapping_add(8);
        distance = [0, 8, 8, 9, 8, 10, 12, 14][distance];
    }
    while at < end {
        piece::<8>(out, at.wrapping_sub(distance), at);
        at = at.wrapping_add(8);
    }
    Ok(end)
}

#[inline(always)]
fn piece<const N: usize>(out: &mut [u8], from: usize, to: usize) {
    let mut piece = [0; N];
    piece.copy_from_slice(&out[from..from.wrapping_add(N)]);
    out[to..to.wrapping_add(N)].copy_from_slice(&piece);
}

/// The same for the end of `out`, without slack.
#[cold]
fn near_end(out: &mut [u8], to: usize, distance: usize, end: usize) -> Result<usize, &'static str> {
    if end > out.len() {
        return Err("more data than its output holds");
    }
    for at in to..end {
        out[at] = out[at - distance];
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_those_of_single_bytes() {
        let start: Vec<u8> = (0..64).map(|i| i * 3 + 1).collect();
        for distance in 1..=64 {
            for length in [2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 100] {
                for room in [0, 1, 31, 32, 33, 200] {
                    let mut expected = start.clone();
                    (0..length).for_each(|_| expected.push(expected[expected.len() - distance]));
                    let mut out = start.clone();
                    out.resize(64 + length + room, 0xee);
                    assert_eq!(copy_match(&mut out, 64, distance, length), Ok(64 + length));
                    assert!(out[..64 + length] == expected, "{distance} {length} {room}");
                }
            }
        }
    }

    #[test]
    fn copies_stay_inside_the_output() {
        let mut out = [7; 100];
        assert!(copy_match(&mut out, 10, 11, 3).is_err());
        assert!(copy_match(&mut out, 10, 0, 3).is_err());
        assert!(copy_match(&mut out, 98, 1, 3).is_err());
        assert_eq!(copy_match(&mut out, 97, 1, 3), Ok(100));
        assert!(copy_match(&mut [], 0, 1, 3).is_err());
    }
}
