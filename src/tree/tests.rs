use super::*;
use crate::{
    bytes::MemorySource,
    fs::{FsKind, NameBuf, NodeKind, reach::MISPLACED},
    guid::Guid,
};

/// A filesystem of a few nodes: a node's number is its index in the list, and the first is the root. Names compare
/// without case.
struct Small(Vec<(u64, &'static str, Content)>, &'static str);

enum Content {
    Dir,
    File(&'static str),
    /// A Windows link: its target, and whether it is relative.
    Link(&'static str, bool),
}
use Content::{Dir, File, Link};

impl Small {
    fn get(&self, node: NodeId) -> Result<&(u64, &'static str, Content)> {
        let index = usize::try_from(node.0 & !MISPLACED).unwrap();
        self.0.get(index).ok_or_else(|| Error::not_found("no such node"))
    }
}

impl FileSystem for Small {
    fn volume(&self) -> VolumeInfo {
        VolumeInfo { filesystem: FsKind::Other("small"), label: self.1.into(), ..VolumeInfo::default() }
    }

    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn stat(&self, node: NodeId) -> Result<Stat> {
        let (kind, size) = match self.get(node)?.2 {
            Dir => (NodeKind::Directory, 0),
            File(text) => (NodeKind::File, text.len() as u64),
            Link(..) => (NodeKind::Symlink, 0),
        };
        Ok(Stat { size, allocated: size, ..Stat::empty(kind) })
    }

    fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<NodeId>> {
        let wanted = name.to_string().to_lowercase();
        let found = self
            .0
            .iter()
            .skip(1)
            .position(|(parent, name, _)| *parent == dir.0 && name.to_lowercase() == wanted);
        Ok(found.map(|index| NodeId(index as u64 + 1)))
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: DirCursor,
        sink: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let entries = self.0.iter().enumerate().skip(1).filter(|(_, (parent, ..))| *parent == dir.0);
        for (index, (_, name, _)) in entries.skip(usize::try_from(from.0).unwrap()) {
            let (node, name) = (NodeId(index as u64), NameBuf::literal(name));
            let kind = self.stat(node)?.kind;
            let _ = sink(DirEntry { name: name.as_name(), node, kind, next: DirCursor(0) });
        }
        Ok(())
    }

    fn parent(&self, node: NodeId) -> Result<NodeId> {
        Ok(NodeId(self.get(node)?.0))
    }

    fn open(&self, node: NodeId) -> Result<Arc<dyn ByteSource>> {
        match self.get(node)?.2 {
            File(text) => Ok(Arc::new(MemorySource(text.into()))),
            _ => Err(Error::invalid("not a file")),
        }
    }

    fn read_link(&self, node: NodeId) -> Result<LinkTarget> {
        match self.get(node)?.2 {
            Link(target, relative) => Ok(LinkTarget::Windows {
                path: NameBuf::literal(target),
                print: NameBuf::default(),
                relative,
            }),
            _ => Err(Error::invalid("not a link")),
        }
    }

    fn space(&self) -> &dyn Space {
        self
    }
}

impl Space for Small {
    fn usage(&self) -> Result<Usage> {
        Ok(Usage::default())
    }

    fn free_ranges(&self, _: &mut dyn FnMut(std::ops::Range<u64>) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
}

struct Texts;

impl Generator for Texts {
    fn capacity(&self) -> Result<String> {
        Ok("capacity".into())
    }
    fn capacity_json(&self) -> Result<String> {
        Ok("{}".into())
    }
    fn info_json(&self) -> Result<String> {
        Ok("{}".into())
    }
    fn disk_usage(&self) -> Result<Usage> {
        Ok(Usage { total: 1, ..Usage::default() })
    }
    fn volume_usage(&self, index: usize) -> Result<Usage> {
        Ok(Usage { total: 100 + index as u64, ..Usage::default() })
    }
}

const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn tree(only: Option<usize>) -> Tree {
    let system = Small(
        vec![
            (0, "", Dir),
            (0, "Users", Dir),
            (1, "alice", Dir),
            (2, "note.txt", File("hello")),
            (2, "rel", Link(r"..\Bob\.\x", true)),
            (2, "escape", Link(r"..\..\..\..\..\etc\passwd", true)),
            (2, "rooted", Link(r"\Users", true)),
            (2, "drive", Link(r"\??\C:\USERS\alice", false)),
            (2, "other", Link(r"D:\Data", false)),
            (2, "gone", Link(r"E:\Nothing\here", false)),
            (2, "volume", Link(r"\??\Volume{01234567-89AB-CDEF-0123-456789ABCDEF}\data", false)),
            (2, "network", Link(r"\??\UNC\server\share", false)),
            (0, "top", Link(r"C:\", false)),
            (0, "loop", Link("loop", true)),
        ],
        "System",
    );
    let data = Small(vec![(0, "", Dir), (0, "Data", Dir)], "System");
    let volume = |name: &str, id: &str, esp, fs: Small| Volume {
        name: name.into(),
        id: Guid::parse(id).map(|partition| PartitionId::Gpt { partition }),
        esp,
        fs: Arc::new(fs),
    };
    Tree::new(Parts {
        hidden: Vec::new(),
        volumes: vec![volume("p1", "", false, system), volume("p2", ID, true, data)],
        only,
        raw_views: vec![RawView { name: "disk.raw".into(), bytes: Arc::new(MemorySource(vec![7; 9])) }],
        generator: Box::new(Texts),
        list_deleted: false,
        time: Timestamp::default(),
    })
}

fn find(tree: &Tree, path: &str) -> NodeId {
    Resolver::new(tree).resolve(path.as_bytes(), false).unwrap().node
}

fn link(tree: &Tree, path: &str) -> String {
    String::from_utf8(tree.read_link_text(find(tree, path)).unwrap()).unwrap()
}

fn list(tree: &Tree, dir: NodeId) -> Vec<String> {
    let mut names = Vec::new();
    let all = &mut |entry: DirEntry<'_>| {
        names.push(entry.name.to_string());
        ControlFlow::Continue(())
    };
    tree.read_dir(dir, DirCursor::default(), all).unwrap();
    names
}

#[test]
fn root_lists_volumes_and_aliases_but_not_the_raw_views() {
    let tree = tree(None);
    assert_eq!(list(&tree, Tree::ROOT), ["p1", "p2", ".capacity", ".capacity.json", "by-label", "esp"]);
    assert_eq!(list(&tree, find(&tree, ".vhdmount")), ["info.json", "disk.raw"]);
    assert_eq!(tree.open(find(&tree, ".vhdmount/disk.raw")).unwrap().size(), 9);
    assert_eq!(link(&tree, "esp"), "p2");
    // Both volumes are labelled System; a link can have only one target.
    assert_eq!(list(&tree, find(&tree, "by-label")), ["System"]);
    assert_eq!(link(&tree, "by-label/System"), "../p1");
    assert!(tree.is_volatile(find(&tree, ".capacity")) && !tree.is_volatile(Tree::ROOT));
}

#[test]
fn a_volume_that_was_opened_anew_has_other_node_numbers() {
    let before = tree(None);
    let (old, kept, raw) =
        (find(&before, "p1/Users/alice"), find(&before, "p2/Data"), find(&before, ".vhdmount/disk.raw"));
    let now = tree(None).with_numbers(vec![3, 2]);
    assert_eq!(Tree::volume_number(find(&now, "p1/Users/alice")), 3);
    assert!(now.stat(old).is_err() && now.part_of(old) == Part::Gone);
    assert_eq!((find(&now, "p2/Data"), find(&now, ".vhdmount/disk.raw")), (kept, raw));
    assert_eq!((now.part_of(kept), now.part_of(raw)), (Part::Volume("p2"), Part::Raw("disk.raw")));
    assert_eq!(now.part_of(Tree::ROOT), Part::None);
    let users = find(&now, "p1/Users");
    assert_eq!(now.parent(users).unwrap(), find(&now, "p1"));
}

#[test]
fn one_volume_as_the_root_keeps_the_synthetic_files_reachable() {
    let tree = tree(Some(0));
    assert_eq!(list(&tree, Tree::ROOT), ["Users", "top", "loop"]);
    assert_eq!(tree.parent(find(&tree, "Users")).unwrap(), Tree::ROOT);
    assert_eq!(tree.open(find(&tree, ".capacity")).unwrap().size(), 8);
    assert_eq!(link(&tree, "Users/alice/drive"), "../../USERS/alice");
    assert_eq!(link(&tree, "Users/alice/other"), r"D:\Data");
    assert_eq!(tree.space().usage().unwrap().total, 100);
}

#[test]
fn space_is_that_of_the_volume_asked_about() {
    let tree = tree(None);
    assert_eq!(tree.space().usage().unwrap().total, 1);
    assert_eq!(tree.usage_at(find(&tree, "p2/Data")).unwrap().total, 101);
}

#[test]
fn windows_links_stay_inside_the_mount() {
    let tree = tree(None);
    for (name, target) in [
        ("rel", "../Bob/x"),
        ("escape", "../../etc/passwd"),
        ("rooted", "../../Users"),
        ("drive", "../../USERS/alice"),
        ("other", "../../../p2/Data"),
        ("volume", "../../../p2/data"),
        ("gone", r"E:\Nothing\here"),
        ("network", r"\??\UNC\server\share"),
    ] {
        assert_eq!(link(&tree, &format!("p1/Users/alice/{name}")), target, "{name}");
    }
    assert_eq!(link(&tree, "p1/top"), ".");
}

#[test]
fn a_link_met_where_it_does_not_lie_never_goes_up() {
    let tree = tree(None);
    for (name, target) in [
        ("rel", "Bob/x"),
        ("escape", "etc/passwd"),
        ("rooted", "Users"),
        ("drive", r"\??\C:\USERS\alice"),
        ("other", r"D:\Data"),
    ] {
        let node = NodeId(find(&tree, &format!("p1/Users/alice/{name}")).0 | MISPLACED);
        let text = String::from_utf8(tree.read_link_text(node).unwrap()).unwrap();
        assert_eq!(text, target, "{name}");
    }
}

#[test]
fn paths_are_followed_through_links_and_end_in_time() {
    let tree = tree(None);
    let resolver = Resolver::new(&tree);
    let note = find(&tree, "p1/Users/alice/note.txt");
    for path in [
        "p1/users/ALICE/drive/note.txt",
        "by-label/System/Users/alice/../alice/note.txt",
        "/p1//top/Users/alice/note.txt",
    ] {
        assert_eq!(resolver.resolve(path.as_bytes(), true).unwrap().node, note, "{path}");
    }
    assert!(matches!(resolver.resolve(b"p1/loop", true), Err(Error::Invalid(_))));
    assert!(matches!(resolver.resolve(b"p1/Users/nobody", true), Err(Error::NotFound(_))));
    assert_eq!(resolver.resolve(b"../..", true).unwrap().node, Tree::ROOT);
}

#[test]
fn numbers_that_were_never_given_out_are_not_found() {
    let tree = tree(None);
    for number in [0, 8, 9, 1 << 16, (1 << 16) + 1, (1 << 17) + 1, 3 << 50, u64::MAX, 1 << 50 | 99] {
        let known = tree.stat(NodeId(number));
        assert!(number == 1 << 16 || matches!(known, Err(Error::NotFound(_))), "{number:#x}: {known:?}");
    }
}

#[test]
fn the_last_volume_of_many_has_numbers_of_its_own() {
    let many = |count: usize| {
        let volume = |index: usize| Volume {
            name: format!("v{index}"),
            id: None,
            esp: false,
            fs: Arc::new(Small(vec![(0, "", Dir), (0, "f", File("x"))], "")),
        };
        Tree::new(Parts {
            hidden: Vec::new(),
            volumes: (0..count).map(volume).collect(),
            only: None,
            raw_views: Vec::new(),
            generator: Box::new(Texts),
            list_deleted: false,
            time: Timestamp::default(),
        })
    };
    let tree = many(MAX_VOLUMES + 1);
    assert_eq!(tree.volumes().len(), MAX_VOLUMES);
    let last = format!("v{}", MAX_VOLUMES - 1);
    let (root, file) = (find(&tree, &last), find(&tree, &format!("{last}/f")));
    assert!(file.0 & NodeId::ADAPTER == 0 && root != find(&tree, "v0"));
    assert_eq!(tree.parent(file).unwrap(), root);
    assert_eq!(tree.volume_at(root).unwrap().name, last);
    assert_eq!(tree.usage_at(file).unwrap().total, 100 + MAX_VOLUMES as u64 - 1);
    assert!(find_none(&tree, &format!("v{MAX_VOLUMES}")));
    // The highest node number of a filesystem still belongs to that volume.
    let highest = NodeId(file.0 | LOCAL);
    assert!(matches!(tree.place(NodeId(highest.0)), Err(Error::NotFound(_))));
    assert_eq!(highest.0 >> VOLUME_SHIFT, MAX_VOLUMES as u64);
}

fn find_none(tree: &Tree, path: &str) -> bool {
    Resolver::new(tree).resolve(path.as_bytes(), false).is_err()
}
