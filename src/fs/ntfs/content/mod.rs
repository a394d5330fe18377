//! Opening the content of a file or stream. Guards: content that cannot be decoded is an error that names the feature,
//! logged once for each file, never zeros or raw bytes.

mod cloud;
pub(super) mod compressed;
pub mod dedup;
pub(super) mod efs;
pub(super) mod wim_backed;
pub mod wim_overlay;
pub mod wof;

use std::sync::Arc;

use self::{compressed::CompressedSource, wof::WofSource};
use super::{
    Ntfs,
    attributes::{FLAG_COMPRESSION_MASK, FLAG_ENCRYPTED, WOF_STREAM, code},
    nodes::node::{self, Node, Summary},
    records::file::{File, Place, Value},
    reparse::{Data, Wof, WofAlgorithm},
};
use crate::{
    Error, Result,
    bytes::{ByteSource, DecodeAhead, MemorySource, ReadAhead},
    error,
    fs::{NodeId, NodeKind, runs::RunSource},
};

const LZNT1: u16 = 1;
/// Maximum compression unit. Windows compresses 16 clusters of at most 4 KiB together; the bound allows 16 of the largest
/// clusters known from other writers, and limits the memory of a damaged unit.
const MAX_COMPRESSION_UNIT: u64 = 1 << 20;
/// Bytes of content that a decoder thread decodes at once: about a tenth of a millisecond.
const LZNT1_PIECE: u64 = 128 << 10;
/// The same for the slower decoders of WOF and WIM.
pub(super) const WOF_PIECE: u64 = 64 << 10;

impl Ntfs {
    pub(super) fn open_content(&self, id: NodeId) -> Result<Arc<dyn ByteSource>> {
        let node = Node::from(id);
        let file = self.file(node.record)?;
        if node.ordinal != 0 {
            let (name, _) = node::stream(&file, node.ordinal)?;
            let value = file.value(code::DATA, &name)?;
            return self.content(id, value.ok_or_else(|| file.base.corrupt("stream vanished"))?);
        }
        let summary = Summary::of(&file)?;
        match summary.kind {
            Some(NodeKind::File) => {}
            kind => return Err(Error::invalid(format!("MFT record {} is no file: {kind:?}", node.record))),
        }
        if let Some(reparse) = &summary.reparse {
            match reparse.data {
                Data::Wof(Wof::File(algorithm)) => return self.wof_content(id, &file, algorithm),
                Data::Cloud => return self.cloud_content(id, &file, summary.information.attributes),
                _ => {}
            }
            if let Some(content) = self.open_kept(id, &file, &reparse.data) {
                if let Err(Error::Unsupported(why)) = &content {
                    self.warn_once(node.record, why);
                }
                return content;
            }
            if let Some(why) = reparse.undecodable() {
                self.warn_once(node.record, &why);
                return Err(Error::unsupported(why));
            }
        }
        match file.value(code::DATA, &[])? {
            Some(value) => self.content(id, value),
            None => Ok(Arc::new(MemorySource::default())),
        }
    }

    /// Opens the content of a WOF-compressed file. The unnamed stream has its size, whatever its data.
    fn wof_content(
        &self,
        id: NodeId,
        file: &File<'_>,
        algorithm: WofAlgorithm,
    ) -> Result<Arc<dyn ByteSource>> {
        let size = file.find(code::DATA, &[], |attribute| Ok(attribute.size()))?;
        let size = size.ok_or_else(|| file.base.corrupt("no unnamed stream, which states the size"))?;
        if size == 0 {
            return Ok(Arc::new(MemorySource::default()));
        }
        let ordinal = node::ordinal(file, &WOF_STREAM)?;
        let value = file.value(code::DATA, &WOF_STREAM)?;
        let (ordinal, value) = ordinal.zip(value).ok_or_else(|| {
            file.base.corrupt("no stream WofCompressedData, though its reparse point says so")
        })?;
        if value.flags & FLAG_ENCRYPTED != 0 {
            // `efs_raw` must not pass encrypted chunks to the decoder. Windows itself never creates such a file.
            let why = "compressed by WOF and encrypted by EFS";
            self.warn_once(Node::from(id).record, why);
            return Err(Error::Denied(why.into()));
        }
        let stream = self.content(Node { ordinal, ..id.into() }.into(), value)?;
        let source = WofSource::new(stream, algorithm, size, self.units.clone(), id.0)?;
        Ok(self.ahead(Arc::new(source), algorithm.chunk(), WOF_PIECE))
    }

    /// Opens the content of a file whose reparse point refers to another file; `None` for any other reparse point.
    fn open_kept(&self, id: NodeId, file: &File<'_>, point: &Data) -> Option<Result<Arc<dyn ByteSource>>> {
        let value = || file.value(code::DATA, &[]);
        Some(match point {
            Data::Wof(Wof::Wim { data_source, hash }) => value().and_then(|value| {
                let size = value.map_or(0, |value| value.size);
                self.open_wim_backed(id, size, *data_source, hash)
            }),
            Data::Dedup(point) => value().and_then(|value| self.open_deduplicated(id, value, point)),
            _ => return None,
        })
    }

    /// Opens the decoded content of a data attribute.
    pub(super) fn content(&self, id: NodeId, value: Value) -> Result<Arc<dyn ByteSource>> {
        let record = Node::from(id).record;
        if value.flags & FLAG_ENCRYPTED != 0 {
            if self.options.efs_raw {
                return efs::raw(self.mft.volume.clone(), &value);
            }
            let why =
                "encrypted by EFS: readable only with its owner's key (efs_raw shows it as it is stored)";
            self.warn_once(record, why);
            return Err(Error::Denied(why.into()));
        }
        let runs = match value.place {
            // Resident data is never compressed.
            Place::Record(bytes) => return Ok(Arc::new(MemorySource(bytes))),
            Place::Clusters(runs) => runs,
        };
        let volume = self.mft.volume.clone();
        match value.flags & FLAG_COMPRESSION_MASK {
            0 => Ok(ReadAhead::over(Arc::new(RunSource::new(volume, runs, value.size, value.valid)))),
            LZNT1 => {
                let clusters = 1_u64.checked_shl(value.compression_unit.into());
                let unit = clusters.and_then(|clusters| clusters.checked_mul(self.mft.boot.cluster_size));
                let unit = unit.filter(|unit| value.compression_unit > 0 && *unit <= MAX_COMPRESSION_UNIT);
                let unit = unit.and_then(|unit| u32::try_from(unit).ok()).ok_or_else(|| {
                    let unit = value.compression_unit;
                    Error::corrupt(
                        "file",
                        error::Place::Record(record),
                        format!("compression unit 2^{unit} clusters"),
                    )
                })?;
                let cache = self.units.clone();
                let (size, valid) = (value.size, value.valid);
                let source = CompressedSource::new(volume, runs, size, valid, unit, cache, id.0);
                Ok(self.ahead(Arc::new(source), unit.into(), LZNT1_PIECE))
            }
            method => {
                let why = format!("compressed with unknown method {method}");
                self.warn_once(record, &why);
                Err(Error::unsupported(why))
            }
        }
    }

    /// Wraps `source`, which decodes units of `unit` bytes, in decode-ahead.
    pub(super) fn ahead(&self, source: Arc<dyn ByteSource>, unit: u64, piece: u64) -> Arc<dyn ByteSource> {
        DecodeAhead::over(source, unit, piece, &self.context.decoders)
    }

    pub(super) fn warn_once(&self, record: u64, why: &str) {
        if self.warned.get(&record).is_none() {
            self.warned.put(record, (), size_of::<u64>());
            log::warn!("MFT record {record} cannot be read: {why}");
        }
    }

    pub(super) fn file(&self, record: u64) -> Result<File<'_>> {
        File::open(&self.mft, record)
    }
}
