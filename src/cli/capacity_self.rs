//! `vhdmount capacity --self`: the disk that the running system was started from.

use vhdmount::{
    Result,
    capacity::SelfReport,
    image::{Image, OpenOptions},
    json,
};

use super::{capacity::AndThen, config::Form, sandbox};

pub(super) fn report(options: &OpenOptions, form: Form, and_then: AndThen) -> Result<String> {
    let running = options.container.host.running()?;
    let last = running.growing().last().map(|backing| backing.image.clone());
    let report = SelfReport::new(&running, &mut |backing| {
        let image = Image::open(&backing.image, options)?;
        if and_then == AndThen::Ends && last.as_ref() == Some(&backing.image) {
            sandbox::narrow(Some(image.container()));
        }
        image.capacity().report()
    })?;
    Ok(if form == Form::Json { json::to_text(&report) } else { report.to_toml() })
}
