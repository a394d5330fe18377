//! `vhdmount capacity --self`: the disk that the running system was started from.

use vhdmount::{
    Result,
    capacity::SelfReport,
    image::{Image, OpenOptions},
    json,
};

use super::{
    Failure,
    args::{Capacity, View},
    print, watch,
};

pub(super) fn run(command: &Capacity) -> std::result::Result<(), Failure> {
    let options = command.open.options(&View::default());
    let look = || report(&options).map(|report| text(command, &report));
    if let Some(seconds) = command.watch {
        let syntax = if command.json { watch::Syntax::Json } else { watch::Syntax::Hash };
        return watch::run(seconds, syntax, || look().map_err(|error| error.to_string()));
    }
    print(&look().map_err(|error| Failure::image_text(format_args!("--self: {error}")))?)
}

fn report(options: &OpenOptions) -> Result<SelfReport> {
    let running = options.container.host.running()?;
    SelfReport::new(&running, &mut |backing| Image::open(&backing.image, options)?.capacity().report())
}

fn text(command: &Capacity, report: &SelfReport) -> String {
    if command.json { json::to_text(report) } else { report.to_toml() }
}
