//! A process that writes into an image of the host is killed in the middle: the image opens, what was flushed is there, and commits are
//! whole. Power cuts, which lose more, are in `testing::crash`.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use vhdmount::{
    bytes::{BackingFile, ByteSink, ByteSource, FileSink},
    container::{
        Format, Kind, Plan,
        create::Writer,
        redo,
        write::{WritableDisk, WriteOptions},
    },
    testing::crash::{Model, Step, Workload, stamp, steps},
};

use crate::support::scratch;

const MIB: u64 = 1 << 20;
const STEPS: usize = 400;
const VARIABLE: &str = "VHDMOUNT_TEST_KILLED";

fn plans() -> [(&'static str, Plan); 4] {
    let vhd = Plan { block_size: 64 << 10, ..Plan::new(Format::Vhd, MIB, 0) };
    [
        ("raw", Plan::new(Format::Raw, MIB, 0)),
        ("fixed.vhd", Plan { kind: Kind::Fixed, ..vhd.clone() }),
        ("dynamic.vhd", vhd),
        ("dynamic.vhdx", Plan { block_size: MIB, ..Plan::new(Format::Vhdx, 4 * MIB, 0) }),
    ]
}

fn plan(image: &Path) -> Plan {
    let name = image.file_name().unwrap().to_str().unwrap().to_owned();
    plans().into_iter().find(|(known, _)| *known == name).unwrap().1
}

fn open(image: &Path) -> WritableDisk {
    let options =
        WriteOptions { redo: Some(Arc::new(redo::open_beside(image).unwrap())), ..WriteOptions::default() };
    WritableDisk::open(Arc::new(BackingFile::open(image).unwrap()), None, &options).unwrap()
}

fn content(sectors: &std::ops::Range<u64>, version: u32) -> Vec<u8> {
    sectors.clone().flat_map(|sector| stamp(version, sector)).collect()
}

/// Does step `number`, whose changes have versions from `number * 10 + 1000` on.
fn apply(disk: &WritableDisk, number: usize, step: &Step) {
    let version = u32::try_from(number * 10 + 1000).unwrap();
    let place = |sectors: &std::ops::Range<u64>| (sectors.start * 512, (sectors.end - sectors.start) * 512);
    match step {
        Step::Write(sectors) => disk.write_all_at(place(sectors).0, &content(sectors, version)).unwrap(),
        Step::Discard(sectors) => disk.discard(place(sectors).0, place(sectors).1).unwrap(),
        Step::Commit(changes) => {
            let mut transaction = disk.begin();
            for ((sectors, discard), version) in changes.iter().zip(version..) {
                match discard {
                    true => transaction.discard(place(sectors).0, place(sectors).1).unwrap(),
                    false => transaction.write(place(sectors).0, &content(sectors, version)).unwrap(),
                }
            }
            transaction.commit().unwrap();
        }
        Step::Flush | Step::Reopen => disk.flush().unwrap(),
        Step::Pieces(_) => unreachable!("only recorded workloads have them"),
    }
}

/// States what the step may have changed.
fn note(model: &mut Model, number: usize, step: &Step) {
    let version = u32::try_from(number * 10 + 1000).unwrap();
    match step {
        Step::Write(sectors) => drop(model.write(number, sectors.clone(), version)),
        Step::Discard(sectors) => drop(model.write(number, sectors.clone(), 0)),
        Step::Commit(changes) => {
            let changes = changes.iter().zip(version..);
            let changes: Vec<_> = changes
                .map(|((sectors, discard), version)| (sectors.clone(), if *discard { 0 } else { version }))
                .collect();
            let transaction = model.commit(number, &changes);
            model.committed(transaction);
        }
        Step::Flush | Step::Reopen => {}
        Step::Pieces(_) => unreachable!("only recorded workloads have them"),
    }
}

/// The process that is killed; in an ordinary run it does nothing.
#[test]
fn writer() {
    let Some(image) = std::env::var_os(VARIABLE) else { return };
    let image = Path::new(&image);
    let disk = open(image);
    let mut out = std::io::stdout();
    for (number, step) in steps(77, STEPS, &Workload::shape(&plan(image), 64, true)).iter().enumerate() {
        apply(&disk, number, step);
        // The parent may be gone.
        let _ = writeln!(out, "\ndone {number}").and_then(|()| out.flush());
    }
}

/// Returns the number of the last step that the killed process reported.
fn killed(image: &Path, after: usize) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::writer", "--nocapture"])
        .env(VARIABLE, image)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut done = lines.by_ref().filter_map(|line| line.strip_prefix("done ")?.parse::<usize>().ok());
    let mut last = done.by_ref().find(|number| *number >= after).unwrap();
    // Its own process, which nobody has waited for yet.
    child.kill().unwrap();
    // What it reported in between.
    last = done.last().unwrap_or(last);
    child.wait().unwrap();
    last
}

#[test]
fn killed_writer_leaves_what_it_had_flushed() {
    for (name, plan) in plans() {
        for after in [3, 40, 111, 200, 317] {
            let folder = scratch();
            let image = folder.path().join(name);
            let file = std::fs::File::create(&image).unwrap();
            Writer::new(&FileSink::new(file, &image), &plan).unwrap().finish().unwrap();
            let last = killed(&image, after);
            let mut model = Model::default();
            for (number, step) in steps(77, STEPS, &Workload::shape(&plan, 64, true)).iter().enumerate() {
                note(&mut model, number, step);
                if number <= last && matches!(step, Step::Flush | Step::Reopen) {
                    model.flushed(number);
                }
            }
            let disk = open(&image);
            // The step after the last one that was reported may have been done, or begun.
            model
                .judge(&disk, last + 1)
                .unwrap_or_else(|problem| panic!("{name}, killed after {last}: {problem}"));
            assert_eq!(disk.size(), plan.virtual_size);
            disk.close().unwrap();
            redo::remove_retired(&image).unwrap();
            assert!(!redo::path_beside(&image).exists());
        }
    }
}
