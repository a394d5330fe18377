//! The host as a confined process sees it: what it may not ask itself, the second process answers.

use std::{ffi::OsString, fs::File, io, path::Path};

use vhdmount::{
    Result,
    bytes::FileSource,
    host::{Host, HostMap, HostSpace, Quota, Running, System, quotas_of_owner},
};

use super::broker;

/// The host's answers, confined or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Confined;

impl Host for Confined {
    fn space(&self, file: &FileSource) -> Result<HostSpace> {
        System.space_with(file, &quotas)
    }

    fn map(&self, file: &FileSource, space: &HostSpace) -> Option<HostMap> {
        System.map(file, space)
    }

    fn open_parent(&self, real: &Path) -> io::Result<File> {
        broker().ok_or(io::ErrorKind::PermissionDenied)?.open(real)
    }

    fn similar_name(&self, folder: &Path, name: &str) -> io::Result<Option<OsString>> {
        broker().ok_or(io::ErrorKind::PermissionDenied)?.similar_name(folder, name)
    }

    fn parents_in(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        broker().ok_or(io::ErrorKind::PermissionDenied)?.disks_in(folder)
    }

    fn running(&self) -> Result<Running> {
        System.running()
    }
}

fn quotas(device: &Path, uid: u32, gid: u32) -> [Quota; 2] {
    let own = quotas_of_owner(device, uid, gid);
    match broker() {
        Some(broker) if own.contains(&Quota::Hidden) => broker.quotas(device, uid, gid).unwrap_or(own),
        _ => own,
    }
}
