//! NTFS structures in memory: fixup and attributes of a file record, order of names, LZNT1.

use std::hint::black_box;

use divan::{Bencher, counter::BytesCount};
use vhdmount::{
    bytes::read_vec,
    codec::lznt1,
    fs::{
        Name,
        ntfs::{fixup, records::Header, volume::upcase::UpCase},
    },
};

use crate::{
    files::demo,
    input::{lznt1::compress, words},
};

const RECORD: usize = 1024;
const UNIT: usize = 64 << 10;

/// The record of the demo disk's root directory as stored on the disk, before its fixup.
fn record() -> Vec<u8> {
    let tree = demo();
    let volume = tree.volumes().iter().find(|volume| volume.name == "p3").expect("the demo's NTFS");
    let name: Vec<u16> = "$MFT".encode_utf16().collect();
    let table =
        volume.fs.lookup(volume.fs.root(), Name(&name)).expect("a sound volume").expect("in every root");
    let table = volume.fs.open(table).expect("a sound volume");
    read_vec(&*table, 5 * RECORD as u64, RECORD).expect("the root's record")
}

/// Applies the fixup to a record: checks the update sequence of its strides and restores their bytes. Includes a copy of
/// the record.
#[divan::bench(sample_size = 1000)]
fn record_fixup(bencher: Bencher<'_, '_>) {
    let (torn, mut whole) = (record(), [0; RECORD]);
    bencher.bench_local(|| {
        whole.copy_from_slice(black_box(&torn));
        fixup::apply(&mut whole, "FILE record", None).expect("a sound record");
        black_box(&whole);
    });
}

/// Parses the header of a record and iterates over all of its attributes.
#[divan::bench(sample_size = 1000)]
fn record_attributes(bencher: Bencher<'_, '_>) {
    let mut record = record();
    fixup::apply(&mut record, "FILE record", None).expect("a sound record");
    bencher.bench_local(|| {
        let record = black_box(&record[..]);
        let header = Header::parse(record, 5).expect("a sound record").expect("in use");
        header.attributes(record).map(|attribute| attribute.expect("sound").size()).sum::<u64>()
    });
}

/// Compares names that differ only in case: each unit goes through the upcase table.
#[divan::bench(sample_size = 1000)]
fn name_compare_case(bencher: Bencher<'_, '_>) {
    compare(
        bencher,
        "microsoft-windows-client-features-package.cat",
        "MICROSOFT-WINDOWS-CLIENT-FEATURES-PACKAGE.CAT",
    );
}

/// Compares names that differ at their end, as neighbours in a directory do.
#[divan::bench(sample_size = 1000)]
fn name_compare_neighbours(bencher: Bencher<'_, '_>) {
    compare(
        bencher,
        "Microsoft-Windows-Client-Features-Package.cat",
        "Microsoft-Windows-Client-Features-Package.mum",
    );
}

fn compare(bencher: Bencher<'_, '_>, a: &str, b: &str) {
    let upcase = UpCase::fallback();
    let (a, b): (Vec<u16>, Vec<u16>) = (a.encode_utf16().collect(), b.encode_utf16().collect());
    bencher.bench_local(|| upcase.compare(black_box(&a), black_box(&b)));
}

/// Decompresses a compression unit of text-like data.
#[divan::bench(sample_size = 100)]
fn lznt1_unit(bencher: Bencher<'_, '_>) {
    let text = words(UNIT);
    let (packed, mut out) = (compress(&text), vec![0; UNIT]);
    bencher.counter(BytesCount::new(UNIT)).bench_local(|| {
        lznt1::decompress(black_box(&packed), &mut out).expect("made by this program");
        black_box(&out);
    });
}
