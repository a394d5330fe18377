//! Callbacks for the volume as a whole: its sizes and label, and its end.

use super::{
    super::{
        super::adapter::MAX_LABEL,
        arguments::{FileSystem, Out},
        raw::{Boolean, NtStatus, VolumeInfo},
    },
    guarded,
};

pub(super) extern "C" fn get_volume_info(fs: FileSystem, out: Out<VolumeInfo>) -> NtStatus {
    guarded(|| {
        let adapter = fs.adapter();
        let usage = adapter.usage()?;
        let mut volume_label = [0; MAX_LABEL];
        let label = &adapter.face().label;
        volume_label[..label.len()].copy_from_slice(label);
        out.put(VolumeInfo {
            total_size: usage.total,
            free_size: usage.free.min(usage.total),
            volume_label_length: u16::try_from(2 * label.len()).expect("at most 64 bytes"),
            volume_label,
        });
        Ok(())
    })
}

pub(super) extern "C" fn dispatcher_stopped(fs: FileSystem, normally: Boolean) {
    guarded(|| {
        if normally == 0 {
            (fs.mounted().stopped)();
        }
        Ok(())
    });
}
