//! `vhdmount capacity --self`: the disk that the running system was started from.

use vhdmount::{
    Result,
    capacity::SelfReport,
    image::{Image, OpenOptions},
    json,
};

use super::config::Form;

pub(super) fn report(options: &OpenOptions, form: Form) -> Result<String> {
    let running = options.container.host.running()?;
    let report =
        SelfReport::new(&running, &mut |backing| Image::open(&backing.image, options)?.capacity().report())?;
    Ok(if form == Form::Json { json::to_text(&report) } else { report.to_toml() })
}
