//! NTFS's metadata as extended attributes, under the names and with the values of ntfs-3g: read by name, not listed.
//! Numbers are little-endian (ntfs-3g's native order on all usual machines), or big-endian where the name ends in `_be`.

use super::{
    Ntfs,
    attributes::{
        Form, code,
        ea::MAX_EA,
        file_name::{FileName, Namespace},
        standard_information::{ATTRIBUTE_DIRECTORY, StandardInformation},
    },
    index::view::View,
    nodes::node::{self, MAX_REPARSE_DATA, Node},
    records::{file::File, number},
    reparse::Reparse,
    security::{self, Location},
};
use crate::{
    Error, Result,
    fs::{FileSystem, Name, NameBuf, NodeId},
};
use std::ops::ControlFlow;

/// Maximum length of attributes that are small in practice: EFS keys for dozens of users, descriptors with hundreds of
/// entries.
const MAX_VALUE: usize = 256 << 10;
const ATTRIBUTE_NORMAL: u32 = 0x80;
/// Maximum length of `$STANDARD_INFORMATION`, which has 48 or 72 bytes.
const MAX_INFORMATION: usize = 4096;

const SII: &[u16] = &[0x24, 0x53, 0x49, 0x49];
const SDS: &[u16] = &[0x24, 0x53, 0x44, 0x53];
const O: &[u16] = &[0x24, 0x4f];
const EFS: &[u16] = &[0x24, 0x45, 0x46, 0x53];

/// Length of an object id, alone and with its three birth ids.
const OBJECT_ID: usize = 16;
const FULL_OBJECT_ID: usize = 64;

impl Ntfs {
    /// The value of `name`; `None` if the file has no such data, and for streams.
    pub(super) fn read_xattr(&self, node: NodeId, name: &str) -> Result<Option<Vec<u8>>> {
        let node = Node::from(node);
        if node.ordinal != 0 {
            return Ok(None);
        }
        self.read_xattr_of(&|| self.file(node.record), name)
    }

    /// As [`Self::read_xattr`], also for a deleted file.
    pub(super) fn read_xattr_of<'m>(
        &self,
        open: &dyn Fn() -> Result<File<'m>>,
        name: &str,
    ) -> Result<Option<Vec<u8>>> {
        let Some(name) = name.strip_prefix("system.ntfs_") else {
            return if name == "ntfs.streams.list" { stream_names(&open()?) } else { Ok(None) };
        };
        match name {
            // The second name is that of the kernel driver (ntfs3).
            "acl" | "security" => self.security_descriptor(&open()?),
            "attrib" => Ok(attributes(&open()?)?.map(|bits| bits.to_le_bytes().to_vec())),
            "attrib_be" => Ok(attributes(&open()?)?.map(|bits| bits.to_be_bytes().to_vec())),
            "times" => Ok(times(&open()?)?.map(|times| times.map(u64::to_le_bytes).concat())),
            "times_be" => Ok(times(&open()?)?.map(|times| times.map(u64::to_be_bytes).concat())),
            "crtime" => Ok(times(&open()?)?.map(|times| times[0].to_le_bytes().to_vec())),
            "crtime_be" => Ok(times(&open()?)?.map(|times| times[0].to_be_bytes().to_vec())),
            "reparse_data" => open()?.bytes(code::REPARSE_POINT, &[], MAX_REPARSE_DATA),
            "object_id" => self.object_id(&open()?),
            "dos_name" => self.dos_name(&open()?),
            "ea" => open()?.bytes(code::EA, &[], MAX_EA),
            "app_exec_link" => app_exec_link(&open()?),
            "efsinfo" => open()?.bytes(code::LOGGED_UTILITY_STREAM, EFS, MAX_VALUE),
            _ => Ok(None),
        }
    }

    /// The self-relative security descriptor: the file's own (volumes before 3.0), or the shared one in `$Secure`.
    fn security_descriptor(&self, file: &File<'_>) -> Result<Option<Vec<u8>>> {
        let id = information(file)?.map_or(0, |information| information.security_id);
        if id == 0 {
            return file.bytes(code::SECURITY_DESCRIPTOR, &[], MAX_VALUE);
        }
        match self.shared_descriptor(id) {
            Ok(descriptor) => Ok(Some(descriptor)),
            // A converted volume may still have the file's own descriptor.
            Err(error) => {
                let own = file.bytes(code::SECURITY_DESCRIPTOR, &[], MAX_VALUE).ok().flatten();
                own.map_or(Err(error), |own| Ok(Some(own)))
            }
        }
    }

    /// The descriptor with this id in `$Secure`, through its index or else by a search.
    fn shared_descriptor(&self, id: u32) -> Result<Vec<u8>> {
        let secure = self.file(number::SECURE)?;
        let missing = || Error::corrupt("$Secure", None, format!("no security descriptor {id:#x}"));
        let sds = secure.source(code::DATA, SDS)?.ok_or_else(missing)?;
        let indexed = || {
            let view = View::open(&secure, &self.mft.boot, SII)?.ok_or_else(missing)?;
            let order = |key: &[u8]| security::parse_key(key).unwrap_or(0).cmp(&id);
            let location = Location::parse(&view.find(&order)?.ok_or_else(missing)?)?;
            if location.security_id != id {
                return Err(missing());
            }
            security::descriptor(&*sds, &location)
        };
        let error = match indexed() {
            Ok(descriptor) => return Ok(descriptor),
            Err(error) => error,
        };
        let found = match self.descriptors.get() {
            Some(found) => found,
            None => {
                log::warn!("{error}: $SDS is searched for its descriptors");
                let found = security::scan(&*sds);
                self.descriptors.get_or_init(|| found)
            }
        };
        let location = found.get(&id).ok_or(error)?;
        security::descriptor(&*sds, location)
    }

    /// The object id, and its birth ids if the volume's index of object ids has them.
    fn object_id(&self, file: &File<'_>) -> Result<Option<Vec<u8>>> {
        let Some(mut id) = file.bytes(code::OBJECT_ID, &[], FULL_OBJECT_ID)? else { return Ok(None) };
        if id.len() == OBJECT_ID
            && let Some(birth) = self.birth_ids(&id)?
        {
            id.extend(birth);
        }
        Ok(Some(id))
    }

    /// The name in the DOS namespace, in text form and in capitals, also where it is the long name as well.
    fn dos_name(&self, file: &File<'_>) -> Result<Option<Vec<u8>>> {
        let mut found = None;
        file.visit(Some(code::FILE_NAME), &mut |attribute| {
            let Form::Resident(value) = attribute.form else {
                return Ok(ControlFlow::Continue(()));
            };
            let name = FileName::parse(value)?;
            // The root is its own parent, under the name `.`.
            let is_root = name.parent().record() == file.base.number;
            if matches!(name.namespace(), Namespace::Dos | Namespace::Win32AndDos) && !is_root {
                let units: Vec<u16> = name.units().map(|unit| self.upcase.upper(unit)).collect();
                found = Some(Name(&units).to_text());
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn birth_ids(&self, id: &[u8]) -> Result<Option<Vec<u8>>> {
        let lookup = |dir, name| self.lookup(dir, NameBuf::literal(name).as_name());
        let Some(extend) = lookup(self.root(), "$Extend")? else { return Ok(None) };
        let Some(objects) = lookup(extend, "$ObjId")? else { return Ok(None) };
        let objects = self.file(Node::from(objects).record)?;
        let Some(view) = View::open(&objects, &self.mft.boot, O)? else { return Ok(None) };
        // COLLATION_NTOFS_ULONGS: as sequences of 32-bit numbers.
        let numbers =
            |key: &[u8]| key.as_chunks().0.iter().map(|n| u32::from_le_bytes(*n)).collect::<Vec<_>>();
        let wanted = numbers(id);
        let data = view.find(&|key| numbers(key).cmp(&wanted))?;
        // The data starts with the file reference.
        Ok(data.and_then(|data| data.get(8..8 + FULL_OBJECT_ID - OBJECT_ID).map(<[u8]>::to_vec)))
    }
}

fn information(file: &File<'_>) -> Result<Option<StandardInformation>> {
    let value = file.bytes(code::STANDARD_INFORMATION, &[], MAX_INFORMATION)?;
    Ok(value.and_then(|value| StandardInformation::parse(&value)))
}

fn attributes(file: &File<'_>) -> Result<Option<u32>> {
    Ok(information(file)?.map(|information| {
        let mut bits = information.attributes & !ATTRIBUTE_DIRECTORY;
        if file.base.header.directory {
            bits |= ATTRIBUTE_DIRECTORY;
        }
        if bits == 0 { ATTRIBUTE_NORMAL } else { bits }
    }))
}

/// FILETIMEs: creation, modification, access, change of the record (on disk the last two are in the reverse order).
fn times(file: &File<'_>) -> Result<Option<[u64; 4]>> {
    let value = file.bytes(code::STANDARD_INFORMATION, &[], MAX_INFORMATION)?;
    let times = value.as_ref().and_then(|value| value.as_chunks().0.first_chunk().copied());
    Ok(times.map(|times: [[u8; 8]; 4]| {
        let [creation, modification, change, access] = times.map(u64::from_le_bytes);
        [creation, modification, access, change]
    }))
}

/// The path of the program that an app execution alias runs. Not an attribute of ntfs-3g.
fn app_exec_link(file: &File<'_>) -> Result<Option<Vec<u8>>> {
    let Some(value) = file.bytes(code::REPARSE_POINT, &[], MAX_REPARSE_DATA)? else { return Ok(None) };
    Ok(Reparse::parse(&value)?.program().map(|path| path.as_name().to_text()))
}

/// The names of the streams in text form, separated by NULs.
fn stream_names(file: &File<'_>) -> Result<Option<Vec<u8>>> {
    let mut names = Vec::new();
    node::each_visible_stream(file, &mut |_, attribute| {
        if !names.is_empty() {
            names.push(0);
        }
        Name(&attribute.name_units()).push_text(&mut names);
        ControlFlow::Continue(())
    })?;
    Ok(Some(names))
}
