//! The progress line of a check on the terminal.

use vhdmount::image::check::Progress;

use crate::cli::progress::bar;

pub(super) fn render(progress: Progress<'_>) -> String {
    let Progress { area, step, done, total } = progress;
    let name = if step.is_empty() { area.to_owned() } else { format!("{area}: {step}") };
    match bar(done, total) {
        Some(bar) => format!("{bar}  {name}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_shows_place_and_share() {
        let at = |done, total| render(Progress { area: "p3", step: "MFT records", done, total });
        assert_eq!(at(1, 3), "[########................]  33.3%  p3: MFT records");
        assert_eq!(at(5, 0), "p3: MFT records");
    }
}
