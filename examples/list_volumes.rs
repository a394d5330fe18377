//! Lists the volumes of a disk image and the files in their roots.
//!
//! ```text
//! cargo run --example list_volumes -- server.vhdx
//! ```

use std::{error::Error, ops::ControlFlow, path::Path};

use vhdmount::{
    fs::{DirCursor, probe::Probe},
    image::{Image, OpenOptions},
};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: list_volumes IMAGE")?;
    let image = Image::open(Path::new(&path), &OpenOptions::default())?;
    for (partition, content) in image.partitions() {
        let Probe::Readable(volume) = content else {
            println!("p{}: nothing that can be read ({})", partition.number, partition.type_name);
            continue;
        };
        let info = volume.volume();
        println!("p{}: {} {:?}, {} bytes", partition.number, info.filesystem, info.label, info.size);
        volume.read_dir(volume.root(), DirCursor(0), &mut |entry| {
            // Debug escapes what a hostile image could put into a name.
            println!("  {:?}", entry.name.to_string());
            ControlFlow::Continue(())
        })?;
    }
    Ok(())
}
