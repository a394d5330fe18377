//! `vhdmount info --recursive`: the images below a folder as trees, each child below its parent.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Serialize;
use vhdmount::{
    container::{self, Kind, LayerInfo},
    fs::Timestamp,
    guid::Guid,
    image::{Discovery, find},
    json::{self, Document},
    printable::printable,
    size::human,
};

use super::super::{Failure, config::Info, date, print};

/// An image and its place in the trees.
#[derive(Serialize)]
struct Node {
    /// The image that is its parent, where that is below the folder: the first one of its identity.
    parent: Option<PathBuf>,
    /// Other images with the parent's identity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_parents: Vec<PathBuf>,
    /// When the file was last written, in UTC.
    modified: Option<String>,
    /// What it says of itself.
    #[serde(flatten)]
    layer: LayerInfo,
}

/// A file that cannot be read.
#[derive(Serialize)]
struct Failed {
    path: PathBuf,
    error: String,
}

/// The document.
#[derive(Serialize)]
struct Chains {
    images: Vec<Node>,
    failed: Vec<Failed>,
}

impl Document for Chains {
    const SCHEMA: &'static str = "chains/1";
}

pub(super) fn run(command: &Info) -> Result<(), Failure> {
    let folder = &command.source.image;
    let chains = read(command);
    print(&if command.json { json::to_text(&chains) } else { drawn(folder, &chains) })?;
    match chains.failed.first() {
        Some(failed) => Err(Failure::image(&failed.path, &vhdmount::Error::invalid(failed.error.clone()))),
        None => Ok(()),
    }
}

fn read(command: &Info) -> Chains {
    let (mut images, mut failed) = (Vec::new(), Vec::new());
    find(&command.source.image, &mut |found| match found {
        Discovery::Image(path) => match container::describe_alone(&path, &command.source.options.container) {
            Ok(layer) => images.push((path, layer)),
            Err(error) => failed.push(Failed { path, error: error.to_string() }),
        },
        Discovery::Failed(path, error) => failed.push(Failed { path, error: error.to_string() }),
    });
    let mut by_id: BTreeMap<Guid, Vec<&PathBuf>> = BTreeMap::new();
    for (path, layer) in &images {
        if let Some(id) = layer.data_id.filter(|id| !id.is_zero()) {
            by_id.entry(id).or_default().push(path);
        }
    }
    let mut nodes = Vec::new();
    for (path, layer) in &images {
        let found = layer.parent_id.and_then(|id| by_id.get(&id)).into_iter().flatten();
        let mut parents = found.filter(|parent| **parent != path).map(|parent| (*parent).clone());
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        nodes.push(Node {
            parent: parents.next(),
            other_parents: parents.collect(),
            modified: modified.map(|time| date::date(Timestamp::from(time))),
            layer: layer.clone(),
        });
    }
    Chains { images: nodes, failed }
}

/// The trees as text: parents in the order of their paths, each followed by its children.
fn drawn(folder: &Path, chains: &Chains) -> String {
    let mut children: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (index, node) in chains.images.iter().enumerate() {
        match &node.parent {
            Some(parent) => children.entry(parent).or_default().push(index),
            None => roots.push(index),
        }
    }
    let mut drawing = Drawing { folder, chains, children, seen: BTreeSet::new(), out: String::new() };
    roots.into_iter().for_each(|root| drawing.tree(root));
    // A circle of images has no root.
    (0..chains.images.len()).for_each(|index| drawing.tree(index));
    for Failed { path, error } in &chains.failed {
        drawing.out += &format!("{}: {}\n", printable(&path.to_string_lossy()), printable(error));
    }
    if chains.images.is_empty() && chains.failed.is_empty() {
        drawing.out = format!("{}: no VHD or VHDX\n", printable(&folder.to_string_lossy()));
    }
    drawing.out
}

struct Drawing<'a> {
    folder: &'a Path,
    chains: &'a Chains,
    children: BTreeMap<&'a Path, Vec<usize>>,
    seen: BTreeSet<usize>,
    out: String,
}

impl Drawing<'_> {
    /// Draws an image and what is below it, unless it is drawn already.
    fn tree(&mut self, root: usize) {
        // Image, what its line begins with, what the lines below it begin with.
        let mut pending = vec![(root, String::new(), String::new())];
        while let Some((index, lead, below)) = pending.pop() {
            if !self.seen.insert(index) {
                continue;
            }
            let node = &self.chains.images[index];
            self.out += &format!("{lead}{}\n", self.line(node));
            let children = self.children.get(Path::new(&node.layer.path)).cloned().unwrap_or_default();
            let last = children.len().saturating_sub(1);
            for (place, child) in children.into_iter().enumerate().rev() {
                let (branch, rest) = if place == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                pending.push((child, format!("{below}{branch}"), format!("{below}{rest}")));
            }
        }
    }

    fn line(&self, node: &Node) -> String {
        let layer = &node.layer;
        let path = Path::new(&layer.path);
        let name = path.strip_prefix(self.folder).unwrap_or(path).to_string_lossy().into_owned();
        let modified = node.modified.as_deref().unwrap_or("?");
        let mut line =
            format!("{name}  {}, file {}, {modified}", human(layer.virtual_size), human(layer.file_size));
        if let Some(other) = node.other_parents.first() {
            line += &format!("; {} has its parent's identity, too", other.display());
        }
        if layer.kind == Kind::Differencing && node.parent.is_none() {
            line += "; PARENT NOT HERE";
            if let Some(id) = layer.parent_id {
                line += &format!(" ({id})");
            }
            if let Some(named) = layer.parent_paths.first() {
                line += &format!(", it names {named}");
            }
        }
        printable(&line).into_owned()
    }
}
