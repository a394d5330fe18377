//! Prints how far a thin disk can really grow on the host where it lies.
//!
//! ```text
//! cargo run --example true_capacity -- server.vhdx
//! ```

use std::{error::Error, path::Path};

use vhdmount::image::{Image, OpenOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: true_capacity IMAGE")?;
    let report = Image::open(Path::new(&path), &OpenOptions::default())?.capacity().report()?;
    println!("promised   {:>16} bytes", report.virtual_size);
    println!("achievable {:>16} bytes", report.achievable_size);
    println!("missing    {:>16} bytes", report.shortfall);
    for volume in &report.volumes {
        println!(
            "{}: {} free for its user, {} really",
            volume.name, volume.free_reported, volume.free_achievable
        );
    }
    Ok(())
}
