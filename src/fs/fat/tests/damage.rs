//! Images with bytes changed and cut off at seeded positions: no operation may panic, hang or grow without bound.

use zerocopy::IntoBytes;

use super::*;

/// Walks a bounded part of the tree and reads the start of each file, ignoring errors.
fn exercise(bytes: Vec<u8>) {
    let Ok(fs) = open(Arc::new(MemorySource(bytes))) else { return };
    let _ = (fs.volume(), fs.space().usage());
    let mut todo = vec![ROOT];
    for _ in 0..100 {
        let Some(node) = todo.pop() else { break };
        let mut children = Vec::new();
        let _ = fs.read_dir(node, DirCursor::default(), &mut |entry| {
            children.push((entry.name.to_owned(), entry.node));
            if children.len() < 50 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let _ = (fs.stat(node), fs.parent(node));
        for (name, child) in children {
            let _ = (fs.lookup(node, name.as_name()), fs.stat(child));
            if let Ok(file) = fs.open(child) {
                let len = usize::try_from(file.size()).unwrap().min(5000);
                let _ = file.read_exact_at(0, &mut vec![0; len]);
            }
            todo.push(child);
        }
    }
}

#[test]
fn damage_anywhere_is_survived() {
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for width in WIDTHS {
        let mut image = Image::new(width);
        image.chain(&[10, 11, 12, 40]);
        image.chain(&[20, 21]);
        image.entry(0, b"VOLUME     ", 8, 0, 0);
        long_slots("a long name", b"A          ").iter().for_each(|slot| image.slot(image.root + 32, slot));
        image.entry(2, b"A          ", 0x20, 10, 1999);
        image.entry(3, b"SUB        ", 0x10, 20, 0);
        let sub = image.cluster(20);
        image.slot(sub, entry(b".          ", 0x10, 20, 0).as_bytes());
        image.slot(sub + 32, entry(b"..         ", 0x10, 0, 0).as_bytes());
        (2..30).for_each(|i| image.slot(sub + i * 32, entry(b"B          ", 0, 12, 700).as_bytes()));
        // Regions where a flip has consequences: boot sector, tables, root, the subdirectory.
        let places = [0..90, image.fat..image.fat + 80, image.root..image.root + 160, sub..sub + 1024];
        let mut one = image.bytes.clone();
        for round in 0..3000 {
            if round % 8 == 0 {
                one.clone_from(&image.bytes);
            }
            let place = places[random(places.len())].clone();
            one[place.start + random(place.len())] = random(256).to_le_bytes()[0];
            exercise(one.clone());
        }
        for cut in 0..64 {
            let mut short = image.bytes.clone();
            short.truncate(image.bytes.len() * cut / 64);
            exercise(short);
        }
    }
}
