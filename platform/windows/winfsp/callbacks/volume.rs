//! The volume as a whole: its sizes and label, and its end.

use super::{
    super::{
        super::adapter::MAX_LABEL,
        raw::{Boolean, Fs, NtStatus, VolumeInfo},
    },
    adapter, guarded,
    memory::put,
    mounted,
};

pub(super) unsafe extern "C" fn get_volume_info(fs: Fs, out: *mut VolumeInfo) -> NtStatus {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        let adapter = unsafe { adapter(fs) };
        let usage = adapter.usage()?;
        let mut volume_label = [0; MAX_LABEL];
        let label = &adapter.face().label;
        volume_label[..label.len()].copy_from_slice(label);
        let info = VolumeInfo {
            total_size: usage.total,
            free_size: usage.free.min(usage.total),
            volume_label_length: u16::try_from(2 * label.len()).expect("at most 64 bytes"),
            volume_label,
        };
        // SAFETY: as `callbacks` says.
        unsafe { put(out, info) };
        Ok(())
    })
}

pub(super) unsafe extern "C" fn dispatcher_stopped(fs: Fs, normally: Boolean) {
    guarded(|| {
        // SAFETY: as `callbacks` says.
        let mounted = unsafe { mounted(fs) };
        if normally == 0 {
            (mounted.stopped)();
        }
        Ok(())
    });
}
