//! Sizes in bytes, as people read them.

/// Bytes for people: `45.0 GiB`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = (bytes.max(1).ilog2() / 10) as usize;
    // Rounding 1023.96 KiB up to 1024.0 KiB would read oddly; the next unit then.
    let tenths = |unit: usize| (u128::from(bytes) * 10 + (1 << (10 * unit) >> 1)) >> (10 * unit);
    let unit = if unit < 6 && tenths(unit) >= 10_240 { unit + 1 } else { unit };
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{}.{} {}", tenths(unit) / 10, tenths(unit) % 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people_round_sensibly() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (45 << 30, "45.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
