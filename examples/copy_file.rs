//! Copies one file out of a disk image, through `std::io::Read`.
//!
//! ```text
//! cargo run --example copy_file -- server.vhdx p3/Windows/System32/config/SYSTEM system.hive
//! ```

use std::{error::Error, fs::File, io, path::Path};

use vhdmount::{
    bytes::Reader,
    fs::FileSystem,
    image::{Image, OpenOptions},
    tree::Resolver,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, path, destination] = &arguments[..] else {
        return Err("usage: copy_file IMAGE PATH DESTINATION".into());
    };
    let image = Image::open(Path::new(image), &OpenOptions::default())?;
    let tree = image.tree(None)?;
    let node = Resolver::new(&tree).resolve(path.as_bytes(), true)?.node;
    let mut content = Reader::new(tree.open(node)?);
    let copied = io::copy(&mut content, &mut File::create_new(destination)?)?;
    println!("{copied} bytes");
    Ok(())
}
