//! Upper case of single UTF-16 code units, as Windows compares names where no table on the disk says how: Unicode's simple mappings,
//! one unit to one. Differs from the tables of Windows in rare letters alone.

/// The upper case of a unit; of a surrogate, the unit itself.
pub(crate) fn simple_upper(unit: u16) -> u16 {
    let Some(lower) = char::from_u32(unit.into()) else { return unit };
    let mut upper = lower.to_uppercase();
    match (upper.next(), upper.next()) {
        // Windows maps only pairs: no dotless i, long s or final sigma, which share their upper case with another letter.
        (Some(upper), None) if upper.to_lowercase().eq([lower]) => {
            u16::try_from(u32::from(upper)).unwrap_or(unit)
        }
        _ => unit,
    }
}
