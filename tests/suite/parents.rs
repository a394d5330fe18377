//! Where parents are looked for, what an image may lead to on the host, and what is said of it.

use std::{fs, path::Path};

use crate::{
    chain::{base, child, open_with, put, refused},
    support::{
        scratch, sha256, sha256_source,
        vhd_writer::{VhdWriter, seal, utf16le},
    },
};

/// Layers of the chain of `path`, found without any option.
fn layers(path: &Path) -> usize {
    open_with(path, |_| {}).unwrap().disk.layers().len()
}

/// A child whose relative locator is `locator`.
fn child_naming(parent: &VhdWriter, locator: &str) -> VhdWriter {
    let mut image = child(parent, "", 2);
    image.locators = vec![(*b"W2ru", utf16le(locator))];
    image
}

#[test]
fn a_renamed_parent_beside_its_child_is_found_by_identity() {
    let folder = scratch();
    let base = base();
    let image = child(&base, "base.vhd", 2);
    let path = put(&folder.path().join("child.vhd"), &image);
    put(&folder.path().join("weird name (1).vhdx"), &base);
    fs::write(folder.path().join("base.txt"), "no image").unwrap();
    let found = open_with(&path, |_| {}).unwrap();
    assert_eq!(sha256_source(&*found.disk).unwrap(), sha256(&image.content(&base.content(&[]))));
    // Also where it is not named at all.
    put(&path, &child(&base, "", 2));
    assert_eq!(layers(&path), 2);
    // But not below other folders.
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::rename(folder.path().join("weird name (1).vhdx"), folder.path().join("sub/base.vhd")).unwrap();
    assert!(refused(&path, |_| {}).contains("no image with this identity"));
}

#[test]
fn a_parents_name_is_read_in_either_byte_order_and_normal_form() {
    let folder = scratch();
    let base = base();
    put(&folder.path().join("base.vhd"), &base);
    for (offset, name) in [(512 + 64, "base.vhd"), (512 + 64, "D:\\x\\BASE.VHD")] {
        let mut image = child(&base, "", 2);
        image.locators.clear();
        let mut bytes = image.build();
        let name = utf16le(name);
        bytes[offset..offset + name.len()].copy_from_slice(&name);
        seal(&mut bytes[512..1536], 36);
        let path = folder.path().join("child.vhd");
        fs::write(&path, bytes).unwrap();
        let info = open_with(&path, |_| {}).unwrap();
        assert!(info.infos().next().unwrap().parent_paths[0].to_lowercase().ends_with("base.vhd"));
    }
    // "Müller" with the dots as a character of their own, as HFS+ stores it; composed in the child.
    fs::rename(folder.path().join("base.vhd"), folder.path().join("Mu\u{308}ller.vhd")).unwrap();
    assert_eq!(layers(&put(&folder.path().join("child.vhd"), &child(&base, "M\u{fc}ller.vhd", 2))), 2);
    // A name in a script whose characters have low bytes of zero is not turned around.
    put(&folder.path().join("\u{4e00}.vhd"), &base);
    let path = put(&folder.path().join("child.vhd"), &child(&base, "\u{4e00}.vhd", 2));
    let found = open_with(&path, |_| {}).unwrap();
    assert!(found.files()[1].as_ref().unwrap().path().ends_with("\u{4e00}.vhd"));
}

#[test]
fn of_two_images_with_the_parents_identity_none_is_guessed() {
    let folder = scratch();
    let base = base();
    let path = put(&folder.path().join("child.vhd"), &child(&base, "gone.vhd", 2));
    let (one, two) = (folder.path().join("one.vhd"), folder.path().join("two.vhd"));
    put(&one, &base);
    // On Windows two names of one file cannot be distinguished from two files: their paths differ.
    if cfg!(unix) {
        fs::hard_link(&one, folder.path().join("same.vhd")).unwrap();
        assert_eq!(layers(&path), 2, "one file under two names is one");
    }
    put(&two, &base);
    let text = refused(&path, |_| {});
    assert!(text.contains("several images have this identity") && text.contains("two.vhd"), "{text}");
    assert_eq!(open_with(&path, |o| o.parents = vec![two]).unwrap().disk.layers().len(), 2);
    // A name that fits decides.
    put(&path, &child(&base, "one.vhd", 2));
    assert_eq!(layers(&path), 2);
}

#[test]
fn a_relative_path_may_lead_out_to_the_right_image_alone() {
    let folder = scratch();
    let base = base();
    put(&folder.path().join("disks/base.vhd"), &base);
    let path = folder.path().join("snapshots/child.vhd");
    put(&path, &child_naming(&base, r"..\disks\base.vhd"));
    assert_eq!(layers(&path), 2);
    let confined = refused(&path, |o| o.confine = true);
    assert!(!confined.contains("identity:"), "{confined}");
    for named in [folder.path().join("disks"), folder.path().to_owned()] {
        let found = open_with(&path, |o| {
            o.confine = true;
            o.parent_dirs = vec![named];
        });
        assert_eq!(found.unwrap().disk.layers().len(), 2);
    }
    let beside = vec![folder.path().join("disks/base.vhd")];
    assert_eq!(open_with(&path, |o| (o.confine, o.parents) = (true, beside)).unwrap().disk.layers().len(), 2);
}

/// What is outside is the same in the messages, whatever it is: neither its kind nor its identity nor its existence shows.
#[cfg(unix)]
#[test]
fn what_lies_outside_is_not_described() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = scratch();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let mut stranger = base();
    stranger.unique_id = crate::chain::id(9);
    put(&outside.join("x-stranger"), &stranger);
    fs::write(outside.join("x-text----"), vec![b'x'; 4096]).unwrap();
    fs::write(outside.join("x-damaged-"), [b"cxsparse".to_vec(), vec![0; 4096]].concat()).unwrap();
    fs::write(outside.join("x-locked--"), vec![1; 4096]).unwrap();
    fs::set_permissions(outside.join("x-locked--"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::create_dir(outside.join("x-folder--")).unwrap();
    let path = folder.path().join("in/child.vhd");
    let mut texts = Vec::new();
    for name in
        ["x-stranger", "X-STRANGER", "x-text----", "x-damaged-", "x-locked--", "x-folder--", "x-missing-"]
    {
        for (confine, force) in [(false, false), (true, false)] {
            put(&path, &child_naming(&base(), &format!(r"..\outside\{name}")));
            let text = refused(&path, |o| (o.confine, o.force_parent) = (confine, force));
            texts.push(text.replace(name, "NAME"));
        }
        // A link in the child's own folder is no way around.
        let link = folder.path().join("in/link");
        let _ = fs::remove_file(&link);
        symlink(outside.join(name), &link).unwrap();
        put(&path, &child_naming(&base(), "link"));
        let text = refused(&path, |_| {});
        assert!(text.contains("not described") && !text.contains("identity:"), "{text}");
        texts.push(text.replace(r"link", r"..\outside\NAME"));
        fs::remove_file(&link).unwrap();
        let forced = open_with(&path, |o| o.force_parent = true).unwrap();
        assert_eq!(forced.disk.layers().len(), 1);
    }
    for texts in [texts.iter().step_by(3), texts[1..].iter().step_by(3), texts[2..].iter().step_by(3)] {
        let mut texts: Vec<_> = texts.collect();
        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:#?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn force_hands_out_no_file_that_an_image_names() {
    let folder = scratch();
    let path = folder.path().join("a/b/child.vhd");
    let up = r"..\".repeat(24);
    for target in
        ["etc/passwd", "proc/self/environ", "proc/self/cmdline", "sys/kernel/uevent_seqnum", "dev/zero"]
    {
        put(&path, &child_naming(&base(), &format!("{up}{}", target.replace('/', r"\"))));
        let text = refused(&path, |_| {});
        assert!(text.contains("not described"), "{text}");
        let forced = open_with(&path, |o| o.force_parent = true).unwrap();
        assert_eq!(forced.disk.layers().len(), 1, "{target}");
        assert!(vhdmount::bytes::read_vec(&*forced.disk, 100 * 512, 512).is_err());
    }
}

#[test]
fn a_parent_without_identity_is_the_users_to_name() {
    let folder = scratch();
    let base = base();
    let content = base.content(&[]);
    let raw = folder.path().join("base.raw");
    fs::write(&raw, &content).unwrap();
    let mut image = child(&base, "base.raw", 2);
    image.parent_id = [0; 16];
    let path = put(&folder.path().join("child.vhd"), &image);
    let error = open_with(&path, |_| {}).map(|_| ()).unwrap_err();
    assert_eq!(error.remedies(), [vhdmount::Remedy::NameParent], "{error}");
    let found = open_with(&path, |o| o.parents = vec![raw.clone()]).unwrap();
    assert_eq!(sha256_source(&*found.disk).unwrap(), sha256(&image.content(&content)));
    assert!(found.warnings[0].contains("names no identity"), "{:?}", found.warnings);
    // Another size is another disk.
    fs::write(&raw, &content[..1 << 20]).unwrap();
    refused(&path, |o| o.parents = vec![raw.clone()]);
    assert!(open_with(&path, |o| (o.force_parent, o.parents) = (true, vec![raw])).is_ok());
}

#[test]
fn a_path_of_very_many_parts_is_not_followed() {
    let folder = scratch();
    fs::create_dir(folder.path().join("x")).unwrap();
    let path = folder.path().join("child.vhd");
    put(&path, &child_naming(&base(), &r"X\..\".repeat(6000)));
    assert!(refused(&path, |_| {}).contains("was not found"));
}
