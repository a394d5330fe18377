//! Lines of fstab, by the system's own mount and umount: with the helper `mount.fuse.vhdmount`, and with the command alone, which
//! `mount.fuse` of FUSE finds. In a mount namespace of its own, so that nothing of the host changes.

use crate::{
    serving::{isolated, public},
    support::{self, demo::outcome, scratch},
};

/// The mount namespace's own device, folder of helpers and fstab.
const PREPARE: &str = r#"
    set -e
    program=$1 image=$2 folder=$3
    mknod "$folder/fuse" c 10 229 && chmod 666 "$folder/fuse" && mount --bind "$folder/fuse" /dev/fuse
    mkdir "$folder/helpers" "$folder/mnt"
    user() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
    fstab() { printf '%s\n' "$@" > "$folder/fstab"; }
"#;

fn prepared(script: &str) -> Option<(Option<i32>, String, String)> {
    if !support::have_fuse() || !support::have(&["unshare", "setpriv", "mount.fuse", "fusermount3"]) {
        return None;
    }
    let folder = scratch();
    let (program, image) = public(folder.path());
    let output = isolated(&format!("{PREPARE}{script}"), &[&program, &image, folder.path()])?;
    Some(outcome(&output))
}

#[test]
fn a_line_of_fstab_is_mounted_by_root_and_by_users() {
    let script = r#"
        ln -s "$program" "$folder/helpers/mount.fuse.vhdmount"
        mount -t overlay overlay -o lowerdir="$folder/helpers:/usr/sbin" /usr/sbin || { echo no overlay; exit 0; }
        mkdir "$folder/other" "$folder/users" && chown 65534 "$folder/users"
        fstab "$image $folder/mnt fuse.vhdmount ro,uid=7,dmask=022 0 0" \
            "$image $folder/other fuse.vhdmount ro,noauto,run_as=nobody 0 0" \
            "$image $folder/users fuse.vhdmount ro,noauto,user 0 0"
        mount -a -T "$folder/fstab"
        mount -a -T "$folder/fstab"
        echo "of $(stat -c '%u %a' "$folder/mnt/p3")"
        grep -c " $folder/mnt ro,nosuid,nodev.* fuse.vhdmount $image " /proc/self/mountinfo
        for process in /proc/[0-9]*; do
            [ "$(readlink "$process/exe")" = "$program" ] && grep -Eh '^(NoNewPrivs|Seccomp):' "$process/status" | tr -d '\n'; echo
        done | sort | uniq -c
        umount "$folder/mnt"
        mount -T "$folder/fstab" "$folder/other"
        ls "$folder/other/p3"
        umount "$folder/other"
        mount --bind "$folder/fstab" /etc/fstab
        user mount "$folder/users"
        user ls "$folder/users/p3"
        ! user mount "$folder/other"
        user umount "$folder/users"
        ls -A "$folder/mnt" "$folder/other" "$folder/users"
    "#;
    let Some((code, stdout, stderr)) = prepared(script) else { return };
    if stdout.starts_with("no overlay") {
        support::skip("no overlay in this kernel");
        return;
    }
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.starts_with("of 7 755\n1\n"), "mounted once: {stdout}{stderr}");
    assert_eq!(stdout.matches("\nWindows\n").count(), 2, "{stdout}{stderr}");
    // Keeper, guard and server.
    assert!(stdout.contains("3 NoNewPrivs:\t1Seccomp:\t2"), "{stdout}");
    assert!(stdout.ends_with("mnt:\n\n") || stdout.ends_with("users:\n"), "nothing is left: {stdout}");
}

#[test]
fn a_line_with_an_overlay_is_mounted_for_writing() {
    let script = r#"
        ln -s "$program" "$folder/helpers/mount.fuse.vhdmount"
        mount -t overlay overlay -o lowerdir="$folder/helpers:/usr/sbin" /usr/sbin || { echo no overlay; exit 0; }
        fstab "$image $folder/mnt fuse.vhdmount rw,overlay=$folder/fix.vhdx,publish=unmount 0 0"
        before=$(sha256sum < "$image")
        mount -a -T "$folder/fstab"
        grep -c " $folder/mnt rw,nosuid,nodev.* fuse.vhdmount $image " /proc/self/mountinfo
        head -c 65536 /dev/urandom > "$folder/bytes"
        dd if="$folder/bytes" of="$folder/mnt/.vhdmount/disk.raw" bs=64k seek=1 conv=notrunc,fsync status=none
        "$program" -u "$folder/mnt"
        mount -a -T "$folder/fstab"
        dd if="$folder/mnt/.vhdmount/disk.raw" bs=64k skip=1 count=1 status=none | cmp - "$folder/bytes" && echo same
        "$program" -u "$folder/mnt"
        [ "$(sha256sum < "$image")" = "$before" ] && echo untouched
    "#;
    let Some((code, stdout, stderr)) = prepared(script) else { return };
    if stdout.starts_with("no overlay") {
        support::skip("no overlay in this kernel");
        return;
    }
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(stdout, "1\nsame\nuntouched\n", "{stderr}");
}

#[test]
fn without_a_helper_the_type_names_the_command() {
    let script = r#"
        cp "$program" "$folder/helpers/vhdmount"
        mount --bind "$folder/helpers" /usr/local/bin
        fstab "$image $folder/mnt fuse.vhdmount ro 0 0"
        mount -T "$folder/fstab" "$folder/mnt"
        ls "$folder/mnt/p3"
        umount "$folder/mnt"
        fstab "vhdmount#$image $folder/mnt fuse ro 0 0"
        mount -T "$folder/fstab" "$folder/mnt"
        ls "$folder/mnt/p3"
        umount "$folder/mnt"
        test -z "$(ls "$folder/mnt")"
    "#;
    let Some((code, stdout, stderr)) = prepared(script) else { return };
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(stdout.matches("\nWindows\n").count(), 2, "{stdout}{stderr}");
}
