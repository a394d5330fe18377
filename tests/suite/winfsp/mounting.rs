//! Where it can be mounted, how it ends, and what is said where it cannot be.

use std::process::Command;

use super::{
    driver::{Driver, Event, Setting},
    mounted_demo,
    volume::Volume,
    wire::utf16,
};
use crate::support::{
    demo::{manifest, outcome, unpack},
    scratch, sha256,
    wine::{output, windows_path},
};

/// What `*` becomes is decided by WinFsp: the last letter that is free.
fn drive(event: &Event) -> &str {
    match event {
        Event::Drive(name) => name,
        other => panic!("a drive, not {other:?}"),
    }
}

fn said(command: &mut Command) -> (Option<i32>, String) {
    let (code, out, err) = outcome(&output(command));
    (code, out + &err)
}

/// The end of a mount as the driver sees it, and the command's own.
fn check_end(volume: &Volume) {
    check_unmounted(volume);
    let status = volume.driver.wait();
    assert_eq!(status.code(), Some(0), "{}", volume.driver.said());
}

/// The drive is gone, and the driver was asked to stop.
fn check_unmounted(volume: &Volume) {
    let events = [volume.driver.event(), volume.driver.event()];
    let drive = volume.driver.setting.drive();
    assert!(events.contains(&Event::Removed(drive)) && events.contains(&Event::Stop), "{events:?}");
}

#[test]
fn ctrl_c_unmounts() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let letter = volume.driver.setting.drive();
    assert_eq!(drive(&volume.mounted), letter);
    assert!(volume.open(r"\p3").is_ok());
    assert!(volume.driver.said().contains(&format!("Mounted at {letter}")), "{}", volume.driver.said());
    volume.driver.interrupt();
    check_end(&volume);
}

#[test]
fn open_files_do_not_keep_it_mounted() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    let file = volume.open(r"\p3\Users\Ada\Documents\mail.mbox").unwrap();
    assert!(file.read(0, 100).is_ok());
    // No process is left through which the driver could close it.
    file.forget();
    volume.driver.interrupt();
    check_end(&volume);
}

#[test]
fn another_process_unmounts_and_waits_for_the_end() {
    let Some((volume, _folder)) = mounted_demo(&[]) else { return };
    assert!(volume.open(r"\p3").is_ok());
    let letter = volume.driver.setting.drive().to_lowercase();
    let (code, said) = said(volume.driver.setting.vhdmount().args(["-u", &letter]));
    assert_eq!(code, Some(0), "{said}");
    check_end(&volume);
}

#[test]
fn nothing_to_unmount_is_an_error() {
    let Some(setting) = Setting::new() else { return };
    let letter = setting.drive();
    let (code, said) = said(setting.vhdmount().args(["-u", &letter]));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&letter), "{said}");
}

#[test]
fn any_free_letter_will_do() {
    let Some(setting) = Setting::new() else { return };
    let folder = scratch();
    let volume = Volume::mount_at(setting, &unpack(folder.path()), "*", &[]);
    let letter = drive(&volume.mounted);
    assert!(letter.len() == 2 && letter.ends_with(':') && !["C:", "Z:"].contains(&letter), "{letter}");
    assert!(volume.open(r"\p3").is_ok());
    let said = volume.driver.said();
    assert!(said.contains(&format!("Mounted at {letter}")), "{said}");
}

#[test]
fn a_letter_that_is_taken_is_refused() {
    let Some(setting) = Setting::new() else { return };
    let folder = scratch();
    let image = unpack(folder.path());
    // Wine has one for the whole system.
    let (code, said) = said(setting.vhdmount().arg("-f").arg(image).arg("Z:"));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("Z:"), "{said}");
}

#[test]
fn a_directory_can_be_the_mountpoint_if_it_is_not_there_yet() {
    let (Some(setting), Some(refusing)) = (Setting::new(), Setting::new()) else { return };
    let folder = scratch();
    let image = unpack(folder.path());
    let at = folder.path().join("mounted here");
    let volume = Volume::mount_at(setting, &image, &windows_path(&at), &[]);
    let Event::Directory(data) = &volume.mounted else { panic!("a directory, not {:?}", volume.mounted) };
    // IO_REPARSE_TAG_MOUNT_POINT, to the volume.
    assert_eq!(data[..4], 0xA000_0003_u32.to_le_bytes());
    let target = String::from_utf16_lossy(&utf16(&data[16..]));
    assert!(target.starts_with(r"\Device\Volume{"), "{target}");
    assert!(at.is_dir());
    assert!(volume.open(r"\p3").is_ok());
    volume.driver.interrupt();
    assert_eq!(volume.driver.event(), Event::Stop);
    assert_eq!(volume.driver.wait().code(), Some(0), "{}", volume.driver.said());
    assert!(!at.exists());

    std::fs::create_dir(&at).unwrap();
    let (code, said) = said(refusing.vhdmount().arg("-f").arg(&image).arg(windows_path(&at)));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("mounted here"), "{said}");
}

#[test]
fn the_mount_manager_can_make_the_drive() {
    let Some(setting) = Setting::new() else { return };
    let folder = scratch();
    let at = format!(r"\\.\{}", setting.drive());
    let volume = Volume::mount_at(setting, &unpack(folder.path()), &at, &[]);
    let Event::Manager(data) = &volume.mounted else { panic!("the manager, not {:?}", volume.mounted) };
    let link = format!(r"\DosDevices\{}", volume.driver.setting.drive());
    assert!(String::from_utf16_lossy(&utf16(data)).contains(&link), "{data:02x?}");
    assert!(volume.open(r"\p3").is_ok());
    volume.driver.interrupt();
    let events = [volume.driver.event(), volume.driver.event()];
    assert!(events.contains(&Event::Removed(link)) && events.contains(&Event::Stop), "{events:?}");
    assert_eq!(volume.driver.wait().code(), Some(0), "{}", volume.driver.said());
}

#[test]
fn in_the_background_it_serves_until_it_is_unmounted() {
    let Some(setting) = Setting::new() else { return };
    let folder = scratch();
    let image = unpack(folder.path());
    let letter = setting.drive();
    let volume = Volume::of(Driver::start(setting, &[image.to_str().unwrap(), &letter]));
    assert_eq!(volume.driver.wait().code(), Some(0), "{}", volume.driver.said());
    let content = volume.open(r"\p3\Users\Ada\Documents\READ ME FIRST.txt").unwrap().content().unwrap();
    let rows = manifest();
    let row = rows.iter().find(|row| row.path.ends_with("READ ME FIRST.txt")).unwrap();
    assert_eq!(sha256(&content), row.sha256);
    let (code, said) = said(volume.driver.setting.vhdmount().args(["-u", &letter]));
    assert_eq!(code, Some(0), "{said}");
    check_end(&volume);
}

#[test]
fn a_mount_without_a_readable_volume_says_so_by_its_exit_code() {
    let Some(setting) = Setting::new() else { return };
    let folder = scratch();
    let image = folder.path().join("zeros.img");
    std::fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    let letter = setting.drive();
    let volume = Volume::of(Driver::start(setting, &[image.to_str().unwrap(), &letter]));
    assert_eq!(volume.driver.wait().code(), Some(7), "{}", volume.driver.said());
    let (code, said) = said(volume.driver.setting.vhdmount().args(["-u", &letter]));
    assert_eq!(code, Some(0), "{said}");
    check_unmounted(&volume);
}

#[test]
fn without_winfsp_everything_else_works() {
    let Some(setting) = Setting::without_winfsp() else { return };
    let folder = scratch();
    let image = unpack(folder.path());
    let (code, text) = said(setting.vhdmount().arg("-f").arg(&image).arg(setting.drive()));
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("winget install") && text.contains("WinFsp"), "{text}");
    for arguments in [&["info"][..], &["ls"], &["capacity"]] {
        let (code, text) = said(setting.vhdmount().args(arguments).arg(&image));
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
    }
    let content = output(setting.vhdmount().arg("cat").arg(&image).arg("p3/Windows/explorer.exe"));
    let rows = manifest();
    let row = rows.iter().find(|row| row.path == "p3/Windows/explorer.exe").unwrap();
    assert_eq!(sha256(&content.stdout), row.sha256);
}

#[test]
fn a_library_without_its_driver_is_named() {
    let Some(setting) = Setting::new() else { return };
    let folder = scratch();
    let mut command = setting.vhdmount();
    command.arg("-f").arg(unpack(folder.path())).arg(setting.drive()).env("WINFSP_DRIVER_MISSING", "1");
    let (code, said) = said(&mut command);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("driver"), "{said}");
}

#[test]
fn the_version_names_winfsp() {
    let Some(setting) = Setting::without_winfsp() else { return };
    let (code, said) = said(setting.vhdmount().arg("--version"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos"), "{said}");
    assert!(said.contains("https://github.com/winfsp/winfsp"), "{said}");
}
