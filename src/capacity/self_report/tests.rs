use super::*;

const GIB: u64 = 1 << 30;

/// 100 GiB promised, 30 occupied, 15 free.
fn backing() -> Backing {
    Backing {
        image: r"\\?\Volume{e0b4}\Server2022.vhdx".into(),
        device: r"\\.\PhysicalDrive1".into(),
        level: 1,
        virtual_size: Some(100 * GIB),
        space: Some(HostSpace {
            file_size: 30 * GIB,
            allocated: 30 * GIB,
            free: 15 * GIB,
            mount: r"D:\".into(),
            filesystem: "ntfs".into(),
            ..HostSpace::default()
        }),
        ..Backing::default()
    }
}

fn running(expansion: Expansion, disks: Vec<Backing>) -> Running {
    Running { native_boot: Some(true), expansion, disks }
}

fn locked(_: &Backing) -> Result<Report> {
    Err(Error::unsupported("in use by another process"))
}

fn report(growth_to_full: u64, kind: Kind) -> Report {
    Report {
        status: crate::capacity::Status::Overcommitted,
        virtual_size: 100 * GIB,
        file_size: 30 * GIB,
        allocated_on_host: 30 * GIB,
        host_free: 15 * GIB,
        host_reserved: 0,
        host: r"D:\ (ntfs)".into(),
        host_note: String::new(),
        estimate: String::new(),
        backed: 29 * GIB,
        shared_on_host: 0,
        growth_to_full,
        overhead_to_full: 0,
        achievable_size: 44 * GIB,
        achievable_at_most: 44 * GIB,
        shortfall: 56 * GIB,
        rule_of_thumb: 45 * GIB,
        block_size: 32 << 20,
        kind,
        unused_in_file: 0,
        unused_on_host: 0,
        parents: Vec::new(),
        parent_hosts: Vec::new(),
        problem: String::new(),
        volumes: Vec::new(),
    }
}

#[test]
fn a_locked_image_is_estimated_by_the_rule_of_thumb() {
    let found = SelfReport::new(&running(Expansion::Off, vec![backing()]), &mut locked).unwrap();
    let disk = &found.disks[0];
    assert_eq!((disk.achievable_size, disk.shortfall), (Some(45 * GIB), Some(55 * GIB)));
    assert!(disk.estimate.contains("in use by another process"), "{}", disk.estimate);
    assert_eq!((disk.boot_needs, disk.boot_fits), (None, None));
    assert!(
        found.headline().starts_with(r"booted natively from \\?\Volume{e0b4}\Server2022.vhdx: 100.0 GiB")
    );
    let toml: toml::Table = found.to_toml().parse().unwrap();
    assert_eq!(toml["expand_at_boot"].as_str(), Some("off"));
    let disk = &toml["disk"][0];
    assert_eq!(disk["achievable_size"].as_integer(), Some(48_318_382_080));
    assert_eq!(disk["image"].as_str(), Some(r"\\?\Volume{e0b4}\Server2022.vhdx"));
    let json: serde_json::Value = serde_json::from_str(&crate::json::to_text(&found)).unwrap();
    assert_eq!(json["disk"][0]["shortfall"].as_u64(), Some(55 * GIB));
    assert_eq!((&json["expand_at_boot"], &json["native_boot"]), (&"off".into(), &true.into()));
}

#[test]
fn a_readable_image_is_reported_exactly() {
    let look = |growth, kind| move |_: &Backing| Ok(report(growth, kind));
    let on = running(Expansion::AtBoot, vec![backing()]);
    let found = SelfReport::new(&on, &mut look(71 * GIB, Kind::Dynamic)).unwrap();
    let disk = &found.disks[0];
    assert_eq!((disk.achievable_size, &*disk.estimate), (Some(44 * GIB), ""));
    assert_eq!((disk.boot_needs, disk.boot_fits), (Some(71 * GIB), Some(false)));
    assert!(found.to_toml().contains("0x136"));
    let commented = found.to_toml().parse::<toml::Table>().unwrap();
    assert!(!commented.contains_key("backed"), "the figures of the disk are comments here");
    // Only dynamic disks are known to be expanded.
    for kind in [Kind::Fixed, Kind::Differencing] {
        let found = SelfReport::new(&on, &mut look(71 * GIB, kind)).unwrap();
        assert_eq!(found.disks[0].boot_needs, None);
    }
}

#[test]
fn a_disk_that_was_expanded_at_boot_has_all_that_it_promises() {
    let mut expanded = backing();
    expanded.space.as_mut().unwrap().allocated = 100 * GIB;
    let found = SelfReport::new(&running(Expansion::AtBoot, vec![expanded]), &mut locked).unwrap();
    let disk = &found.disks[0];
    assert_eq!((disk.boot_needs, disk.boot_fits), (Some(0), Some(true)));
    assert_eq!((disk.achievable_size, disk.shortfall), (Some(100 * GIB), Some(0)));
    // Blocks that are not there yet have their space in the file.
    let mut look =
        |_: &Backing| Ok(Report { allocated_on_host: 101 * GIB, ..report(71 * GIB, Kind::Dynamic) });
    let found = SelfReport::new(&running(Expansion::AtBoot, vec![backing()]), &mut look).unwrap();
    assert_eq!(found.disks[0].achievable_size, Some(100 * GIB));
    assert!(found.headline().ends_with("all of it achievable: OK"));
}

#[test]
fn without_the_option_or_with_one_that_is_not_known_nothing_is_said_of_the_next_boot() {
    for expansion in [Expansion::Off, Expansion::Value(2), Expansion::Unknown] {
        let found = SelfReport::new(&running(expansion, vec![backing()]), &mut locked).unwrap();
        assert_eq!(found.disks[0].boot_needs, None);
        found.to_toml().parse::<toml::Table>().unwrap();
    }
}

#[test]
fn a_fully_allocated_disk_needs_nothing_and_an_unknown_size_stays_unknown() {
    let fixed = Backing { fully_allocated: true, ..backing() };
    let found = SelfReport::new(&running(Expansion::AtBoot, vec![fixed]), &mut locked).unwrap();
    assert_eq!((found.disks[0].achievable_size, found.disks[0].boot_needs), (Some(100 * GIB), None));
    let unknown = Backing { virtual_size: None, ..backing() };
    let found = SelfReport::new(&running(Expansion::AtBoot, vec![unknown]), &mut locked).unwrap();
    assert_eq!((found.disks[0].achievable_size, found.disks[0].shortfall), (None, None));
    assert!(found.headline().contains("not known"), "{}", found.headline());
}

#[test]
fn a_disk_on_a_volume_of_another_virtual_disk_says_so() {
    let outer = Backing { image: r"E:\outer.vhdx".into(), level: 2, ..backing() };
    let found = SelfReport::new(&running(Expansion::Off, vec![outer, backing()]), &mut locked).unwrap();
    assert_eq!(found.disks.len(), 2);
    assert!(found.disks[0].image.ends_with("Server2022.vhdx"));
    assert!(found.disks[0].estimate.ends_with(r"E:\outer.vhdx"));
    assert!(!found.disks[1].estimate.contains("another virtual disk"));
    let toml: toml::Table = found.to_toml().parse().unwrap();
    assert_eq!(toml["disk"].as_array().unwrap().len(), 2);
}

#[test]
fn a_system_on_no_virtual_disk_is_an_error_that_says_so() {
    let none = |native_boot| {
        let running = Running { native_boot, ..Running::default() };
        SelfReport::new(&running, &mut locked).unwrap_err().to_string()
    };
    assert!(none(Some(false)).starts_with("this system does not run from a virtual disk"));
    assert!(none(None).starts_with("this system does not run from a virtual disk"));
    assert!(none(Some(true)).starts_with("this Windows was booted from a virtual disk, but"));
    // Neither content nor outside: the error of the image itself.
    let dark = Backing { space: None, ..backing() };
    let error = SelfReport::new(&running(Expansion::Off, vec![dark]), &mut locked).unwrap_err();
    assert_eq!(error.to_string(), "in use by another process");
}
