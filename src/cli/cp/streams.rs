//! Copies named streams: to real streams on Windows, elsewhere to extended attributes, or to separate files with the
//! stream's Windows name. A stream that cannot be copied is reported; its file is copied without it.

use std::{
    ffi::{OsStr, OsString},
    sync::Arc,
};

use vhdmount::{
    bytes::ByteSource,
    fs::{FileSystem, Name, NodeId, Stat, Streams as _},
};

use super::{Context, CopyError, content, folder::Folder, names::ItemName, part::Part, target, target::File};

/// Where named streams are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::cli) enum Streams {
    /// Streams are not copied.
    #[default]
    None,
    /// With the file: as an extended attribute, on Windows as a stream.
    With,
    /// As `FILE:STREAM`, a separate file in the same directory.
    Files,
}

impl Streams {
    pub(super) fn any(self) -> bool {
        self != Self::None
    }

    pub(super) fn in_attributes(self) -> bool {
        self == Self::With
    }

    pub(super) fn in_files(self) -> bool {
        self == Self::Files
    }
}

/// Opens each stream of a node; reports those that cannot be read.
fn each(
    context: &Context<'_>,
    node: NodeId,
    path: &[u8],
    keep: &mut dyn FnMut(Name<'_>, &dyn ByteSource) -> Result<(), CopyError>,
) {
    let streams = match context.tree.streams().list_streams(node) {
        Ok(streams) => streams,
        Err(error) => return context.log.failure(path, format_args!("its streams cannot be read: {error}")),
    };
    for stream in streams {
        if context.stop.is_set() {
            return;
        }
        let name = stream.name.as_name();
        let opened = context.tree.streams().lookup_stream(node, name).and_then(|found| match found {
            Some(found) => context.tree.open(found),
            None => Err(vhdmount::Error::not_found("no such stream")),
        });
        let kept = match opened {
            Ok(source) => keep(name, &*source),
            Err(error) => Err(CopyError::Failed(error.to_string())),
        };
        match kept {
            Err(CopyError::Failed(why)) => {
                context.log.failure(&[path, b":", &name.to_text()].concat(), why);
            }
            Err(CopyError::Skipped) => context.log.skipped.add(1),
            Ok(()) | Err(CopyError::Stopped) => {}
        }
    }
}

/// Stores the streams of a file with it.
pub(super) fn keep(
    context: &Context<'_>,
    node: NodeId,
    path: &[u8],
    (folder, name): (&Folder<'_>, &OsStr),
    file: &File,
    buffer: &mut [u8],
) {
    each(context, node, path, &mut |stream, source| {
        target::keep_stream(context, (folder, name), file, stream, source, buffer)
    });
}

/// Stores the streams of a file as separate files.
pub(super) fn keep_as_files<'a>(
    context: &'a Context<'a>,
    node: NodeId,
    stat: &Stat,
    path: &[u8],
    folder: &Arc<Folder<'a>>,
    name: &OsStr,
    buffer: &mut [u8],
) {
    each(context, node, path, &mut |stream, source| {
        let (part, file) = Part::create(context, folder, 0)?;
        content::copy_whole(context, source, &file, &|| part.shown(), buffer)?;
        // Times belong to a file, not to a stream.
        let _ = target::set_file_times(&file, &stat.times);
        let mut whole = OsString::from(name);
        whole.push(target::COLON);
        whole.push(target::name(stream));
        let text = whole.to_string_lossy().into_owned().into_bytes();
        part.publish(&ItemName::Given(whole, text)).map(drop)
    });
}

/// Copies the streams of a directory.
pub(super) fn of_folder<'a>(
    context: &'a Context<'a>,
    node: NodeId,
    stat: &Stat,
    path: &[u8],
    folder: &Arc<Folder<'a>>,
) {
    if !context.tree.streams().list_streams(node).is_ok_and(|streams| streams.is_empty()) {
        let mut buffer = vec![0; content::PIECE];
        match (&folder.parent, context.options.streams) {
            (Some(parent), Streams::Files) => {
                keep_as_files(context, node, stat, path, parent, &folder.name, &mut buffer);
            }
            _ => match context.target.open_directory(folder) {
                Ok(file) => keep(context, node, path, (folder, OsStr::new("")), &file, &mut buffer),
                Err(error) => context.log.failure(path, format_args!("its streams cannot be kept: {error}")),
            },
        }
    }
}
