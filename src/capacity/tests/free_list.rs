//! A volume whose free ranges are given.

use super::*;

pub(crate) struct FreeList(pub(crate) Vec<Range<u64>>);

impl FileSystem for FreeList {
    fn volume(&self) -> VolumeInfo {
        VolumeInfo::default()
    }

    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn stat(&self, _: NodeId) -> Result<Stat> {
        Err(crate::Error::invalid("none"))
    }

    fn lookup(&self, _: NodeId, _: Name<'_>) -> Result<Option<NodeId>> {
        Ok(None)
    }

    fn read_dir(
        &self,
        _: NodeId,
        _: DirCursor,
        _: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        Ok(())
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        Ok(node)
    }

    fn open(&self, _: NodeId) -> Result<Arc<dyn ByteSource>> {
        Err(crate::Error::invalid("none"))
    }

    fn read_link(&self, _: NodeId) -> Result<LinkTarget> {
        Err(crate::Error::invalid("none"))
    }

    fn space(&self) -> &dyn Space {
        self
    }
}

impl Space for FreeList {
    fn usage(&self) -> Result<Usage> {
        Ok(Usage::default())
    }

    fn free_ranges(&self, sink: &mut dyn FnMut(Range<u64>) -> ControlFlow<()>) -> Result<()> {
        let _ = self.0.iter().cloned().try_for_each(sink);
        Ok(())
    }
}
