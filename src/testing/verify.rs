//! The generators themselves: an undamaged volume reads as it was made, and its examination finds nothing.

use std::sync::Arc;

use super::{Input, Made, seeded};
use crate::{
    bytes::ByteSource,
    check::Collector,
    fs::{self, NameBuf, Options, Streams, probe::Probe},
};

/// Makes volumes of many seeds and reads them back; at least `least` must be sound, and hold as many files.
pub(super) fn volumes(make: impl Fn(&mut Input<'_>) -> Made, least: usize) {
    let (mut files, mut sound) = (0, 0);
    for seed in 0..300 {
        let made = make(&mut Input::new(&seeded(seed, 600)));
        let source: Arc<dyn ByteSource> = Arc::new(made.pieces.finish(&[]));
        let Ok(Probe::Readable(volume)) = fs::probe::probe(&source, &Options::default()) else {
            panic!("seed {seed} is not recognized")
        };
        assert_eq!(volume.volume().problems, [""; 0], "seed {seed}");
        if made.sound {
            let mut collector = Collector::default();
            fs::check(&*volume, &mut collector).unwrap();
            let findings: Vec<_> = collector.findings().iter().map(|found| format!("{found:?}")).collect();
            assert_eq!(findings, [""; 0], "seed {seed}");
            sound += 1;
        }
        for file in &made.files {
            let mut node = volume.root();
            for name in file.path.split('/').skip(1) {
                let found = volume.lookup(node, NameBuf::literal(name).as_name()).unwrap();
                node = found.unwrap_or_else(|| panic!("seed {seed}: {} has no {name}", file.path));
            }
            if let Some(name) = &file.stream {
                let name = NameBuf::literal(name);
                node = volume.streams().lookup_stream(node, name.as_name()).unwrap().unwrap();
            }
            let content = volume.open(node).unwrap();
            assert_eq!(content.size(), file.size, "seed {seed}: {}", file.path);
            for (at, part) in &file.parts {
                let mut read = vec![0xee; part.len()];
                content.read_exact_at(*at, &mut read).unwrap();
                assert!(read == *part, "seed {seed}: {} at {at}", file.path);
            }
            files += 1;
        }
    }
    assert!(files > least && sound > least, "{files} files, {sound} sound volumes");
}
