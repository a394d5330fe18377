//! Every kind of image through every way of writing it: no power cut, full host or failing device leaves a bad state.

use crate::{
    container::{
        Format, Kind, NewParent, Plan,
        write::{CommitMode, Publish, WriteOptions},
    },
    guid::Guid,
    testing::crash::{Event, Explorer, Recording, Step, Workload, steps},
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// States of each workload in an ordinary run, and faults.
const STATES: usize = 120;
const FAULTS: usize = 12;

fn plan(format: Format, kind: Kind, size: u64, block_size: u64) -> Plan {
    let parent = (kind == Kind::Differencing).then(|| NewParent {
        identity: Guid([7; 16]),
        relative_path: Some(r".\base.img".into()),
        absolute_path: None,
        time: 0,
    });
    Plan { kind, block_size, parent, ..Plan::new(format, size, 0) }
}

fn workload(name: &str, plan: Plan, options: &WriteOptions, seed: u64, count: usize) -> Workload {
    let shape = Workload::shape(&plan, 24, true);
    Workload { name: name.to_owned(), steps: steps(seed, count, &shape), plan, options: options.clone() }
}

fn explore(workload: &Workload, seed: u64) -> Recording {
    let recording = Recording::default();
    let (model, result) = workload.run(&recording);
    result.unwrap_or_else(|error| panic!("{}: {error}", workload.name));
    let explorer = Explorer::with_most(seed, STATES);
    let judge = |state: &_| workload.judge(&model, state);
    let explored =
        explorer.explore(&workload.name, &recording, judge).unwrap_or_else(|problem| panic!("{problem}"));
    println!("{}: {} of {} states", workload.name, explored.tried, explored.of);
    let explored = explorer.with_faults(&workload.name, recording.operations(), FAULTS, |recording| {
        let (model, _) = workload.run(recording);
        let explorer = Explorer::few(seed, 4);
        explorer.explore("after it", recording, |state| workload.judge(&model, state)).map(|_| ())
    });
    let explored = explored.unwrap_or_else(|problem| panic!("{problem}"));
    println!("{}: {} of {} faults", workload.name, explored.tried, explored.of);
    recording
}

fn modes() -> [(&'static str, WriteOptions); 2] {
    let switched = WriteOptions { commit: CommitMode::Switched, ..WriteOptions::default() };
    [("logged", WriteOptions::default()), ("switched", switched)]
}

#[test]
fn raw_images_and_fixed_vhds_survive() {
    for format in [Format::Raw, Format::Vhd] {
        let plan = plan(format, Kind::Fixed, 256 * KIB, 64 * KIB);
        explore(&workload(&format!("{format:?} fixed"), plan, &WriteOptions::default(), 11, 60), 1);
    }
}

#[test]
fn dynamic_vhds_survive() {
    for (mode, options) in modes() {
        let plan = plan(Format::Vhd, Kind::Dynamic, 400 * KIB, 64 * KIB);
        explore(&workload(&format!("VHD dynamic {mode}"), plan, &options, 12, 60), 2);
    }
}

#[test]
fn differencing_vhds_survive() {
    for (mode, options) in modes() {
        let plan = plan(Format::Vhd, Kind::Differencing, 400 * KIB, 64 * KIB);
        explore(&workload(&format!("VHD differencing {mode}"), plan, &options, 13, 60), 3);
    }
}

#[test]
fn dynamic_vhdx_survive() {
    for (mode, options) in modes() {
        let options = WriteOptions { log_limit: Some(128 << 10), ..options };
        for sector in [512, 4096] {
            let plan =
                Plan { logical_sector_size: sector, ..plan(Format::Vhdx, Kind::Dynamic, 5 * MIB, MIB) };
            explore(&workload(&format!("VHDX dynamic {sector} {mode}"), plan, &options, 14, 40), 4);
        }
    }
}

#[test]
fn differencing_vhdx_survive() {
    for (mode, options) in modes() {
        let options = WriteOptions { log_limit: Some(128 << 10), ..options };
        for sector in [512, 4096] {
            let plan =
                Plan { logical_sector_size: sector, ..plan(Format::Vhdx, Kind::Differencing, 4 * MIB, MIB) };
            explore(&workload(&format!("VHDX differencing {sector} {mode}"), plan, &options, 15, 40), 5);
        }
    }
}

/// Sessions that are published at their end, on an image that holds what earlier ones wrote: all of a session is there or nothing.
#[test]
fn sessions_that_are_published_at_their_end_survive() {
    let options = WriteOptions { publish: Publish::Unmount, ..WriteOptions::default() };
    for (format, kind, sector) in [
        (Format::Vhdx, Kind::Dynamic, 512),
        (Format::Vhdx, Kind::Differencing, 512),
        (Format::Vhdx, Kind::Differencing, 4096),
        (Format::Vhd, Kind::Dynamic, 512),
        (Format::Vhd, Kind::Differencing, 512),
    ] {
        let (size, block) = if format == Format::Vhd { (400 * KIB, 64 * KIB) } else { (4 * MIB, MIB) };
        let plan = Plan { logical_sector_size: sector, ..plan(format, kind, size, block) };
        explore(&workload(&format!("{format:?} {kind:?} {sector}, at the end"), plan, &options, 18, 60), 8);
    }
}

#[test]
fn fixed_vhdx_survive() {
    let options = WriteOptions { log_limit: Some(128 << 10), ..WriteOptions::default() };
    let plan = plan(Format::Vhdx, Kind::Fixed, 2 * MIB, MIB);
    explore(&workload("VHDX fixed", plan, &options, 16, 40), 6);
}

/// In one session, until the log has gone around.
#[test]
fn logs_that_go_around_survive() {
    const LOG: u64 = MIB;
    let options = WriteOptions { log_limit: Some(128 << 10), ..WriteOptions::default() };
    for (kind, sector) in [(Kind::Differencing, 512), (Kind::Dynamic, 4096)] {
        let plan = Plan { logical_sector_size: sector, ..plan(Format::Vhdx, kind, 4 * MIB, MIB) };
        let mut workload = workload(&format!("VHDX {kind:?} {sector}, log around"), plan, &options, 17, 500);
        workload.steps.retain(|step| *step != Step::Reopen);
        let recording = explore(&workload, 7);
        let (_, events) = recording.parts();
        let starts = |event: &&Event| matches!(event, Event::Write { offset: LOG, .. });
        assert!(events.iter().filter(starts).count() > 1, "the log never went around");
    }
}
