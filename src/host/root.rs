//! The image file below the root of a running Linux: one on a loop device is named by the kernel. What a virtual machine
//! or a network device runs from does not show inside.

use std::path::{Path, PathBuf};

use super::{Backing, Running};
use crate::{Error, Result};

/// The image below the volume that was mounted from `device`; `sys` is sysfs' folder of block devices.
pub(super) fn running(sys: &Path, device: &Path) -> Result<Running> {
    let Some(image) = backing_file(sys, device) else {
        return Err(Error::unsupported(format!(
            "the image that this system runs from is not known: a Windows that was booted natively from a VHD or VHDX \
             reports it, a Linux only where its root is on a loop device, and this root ({}) is not. What a virtual machine \
             runs from shows on its host alone",
            device.display()
        )));
    };
    Ok(Running { disks: vec![Backing { image, ..Backing::default() }], ..Running::default() })
}

/// `loop/backing_file` of the device, or of the disk that the device is a partition of.
fn backing_file(sys: &Path, device: &Path) -> Option<PathBuf> {
    let block = sys.join(device.strip_prefix("/dev").ok()?.file_name()?);
    // The entries are links into the tree of devices, where a partition lies in its disk's folder.
    let block = std::fs::canonicalize(block).ok()?;
    let disks = [Some(&*block), block.parent()];
    let named = |disk: &Path| std::fs::read_to_string(disk.join("loop/backing_file")).ok();
    let image = disks.into_iter().flatten().find_map(named)?;
    // A file that was removed, or that lies outside of this root, cannot be opened.
    Some(image.trim_end_matches('\n').into()).filter(|image: &PathBuf| image.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_device_and_its_partitions_name_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("root disk.img");
        std::fs::write(&image, "").unwrap();
        let disk = dir.path().join("devices/loop0");
        std::fs::create_dir_all(disk.join("loop")).unwrap();
        std::fs::create_dir(disk.join("loop0p1")).unwrap();
        std::fs::write(disk.join("loop/backing_file"), format!("{}\n", image.display())).unwrap();
        std::fs::create_dir_all(dir.path().join("devices/vda")).unwrap();
        let sys = dir.path().join("block");
        std::fs::create_dir(&sys).unwrap();
        for (name, at) in [("loop0", "loop0"), ("loop0p1", "loop0/loop0p1"), ("vda", "vda")] {
            std::os::unix::fs::symlink(dir.path().join("devices").join(at), sys.join(name)).unwrap();
        }
        for device in ["/dev/loop0", "/dev/loop0p1"] {
            assert_eq!(running(&sys, Path::new(device)).unwrap().disks[0].image, image);
        }
        for device in ["/dev/vda", "/dev/root", "overlay", ""] {
            let error = running(&sys, Path::new(device)).unwrap_err().to_string();
            assert!(error.contains("natively"), "{error}");
        }
    }
}
