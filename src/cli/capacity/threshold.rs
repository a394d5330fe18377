//! The headroom below which monitoring alarms: a size, or a share of what is needed.

use std::str::FromStr;

/// From which headroom down something is alarming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threshold {
    /// Bytes.
    Size(u64),
    /// Hundredths of a percent of what is needed, at most 10,000.
    Share(u32),
}

impl Threshold {
    /// True when so much headroom, of so much that is needed, is too little.
    pub(crate) fn exceeds(self, headroom: u64, needed: u64) -> bool {
        headroom < needed
            && match self {
                Self::Size(bytes) => headroom < bytes,
                Self::Share(share) => u128::from(headroom) * 10_000 < u128::from(needed) * u128::from(share),
            }
    }

    pub(super) fn size(self) -> Option<u64> {
        if let Self::Size(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn share(self) -> Option<u32> {
        if let Self::Share(share) = self { Some(share) } else { None }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is neither a percentage nor a size, as in 20%, 500MiB, 1.5TiB");
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim());
        let unit: u64 = match unit.to_ascii_lowercase().as_str() {
            "%" => 100,
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        let value = decimal(number, unit).ok_or_else(wrong)?;
        match text.ends_with('%') {
            true => {
                u32::try_from(value).ok().filter(|share| *share <= 10_000).map(Self::Share).ok_or_else(wrong)
            }
            false => Ok(Self::Size(value)),
        }
    }
}

/// `number · unit`, where the number may have a few decimals; what is finer than 1 is cut off.
fn decimal(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = part.get(..part.len().min(9))?;
    let fraction: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let below = 10_u128.pow(u32::try_from(digits.len()).ok()?);
    let whole: u64 = if whole.is_empty() && !digits.is_empty() { 0 } else { whole.parse().ok()? };
    let value = u128::from(whole) * u128::from(unit) + u128::from(fraction) * u128::from(unit) / below;
    part.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_shares_or_sizes() {
        for (text, expected) in [
            ("20%", Threshold::Share(2000)),
            ("0.5 %", Threshold::Share(50)),
            ("100%", Threshold::Share(10_000)),
            ("5GiB", Threshold::Size(5 << 30)),
            ("5g", Threshold::Size(5 << 30)),
            ("1.5 MiB", Threshold::Size(3 << 19)),
            (".5k", Threshold::Size(512)),
            ("5GB", Threshold::Size(5_000_000_000)),
            ("123", Threshold::Size(123)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "%", "101%", "-1", "5 parsecs", "1.2.3", ".", "99999999999T", "1e9", "5%%", "1.é%"]
        {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_covers_the_need_is_never_alarming() {
        assert!(!Threshold::Size(100).exceeds(5, 5));
        assert!(Threshold::Size(100).exceeds(5, 6));
        assert!(!Threshold::Size(100).exceeds(100, 600));
        assert!(Threshold::Share(2000).exceeds(19, 100));
        assert!(!Threshold::Share(2000).exceeds(20, 100));
        assert!(Threshold::Share(10_000).exceeds(u64::MAX - 1, u64::MAX));
        assert!(!Threshold::Share(10_000).exceeds(0, 0));
    }
}
