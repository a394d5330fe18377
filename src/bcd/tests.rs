use std::sync::Arc;

use super::{store::parse, *};
use crate::{
    bytes::MemorySource,
    identity::{DiskId, PartitionId},
    testing::boot::{self as made, ENTRY},
};

const DISK: [u8; 16] = [1; 16];
const PARTITION: [u8; 16] = [2; 16];

struct Named;

impl Locations for Named {
    fn partition(&self, id: PartitionId) -> Option<String> {
        (id == PartitionId::Gpt { partition: Guid(PARTITION) }).then(|| "p3".into())
    }
}

fn shown(device: &[u8]) -> String {
    let style = Style { full: false, locations: &Named };
    let store = Store { objects: Vec::new(), problems: Vec::new(), dirty: false };
    style.device(&store, &Device::parse(device).unwrap())
}

fn opened(store: &made::Store) -> Store {
    Store::open(Arc::new(MemorySource(store.to_file()))).unwrap()
}

#[test]
fn devices_are_shown_as_bcdedit_shows_them() {
    let gpt = made::partition_device(&DISK, &PARTITION, false);
    assert_eq!(shown(&made::boot_device()), "boot");
    assert_eq!(shown(&gpt), "partition=p3");
    let mbr = made::partition_device(&0xabcd_u32.to_le_bytes(), &0x10_0000_u64.to_le_bytes(), true);
    assert_eq!(shown(&mbr), "partition=0000abcd+0x100000");
    let vhd = made::vhd_device(&gpt, r"\vm\win.vhdx");
    assert_eq!(shown(&vhd), r"vhd=[p3]\vm\win.vhdx,locate=custom:12000002");
    assert_eq!(Device::parse(&vhd).unwrap().virtual_disk().unwrap().path, r"\vm\win.vhdx");
    let BlockDevice::Partition { id, disk, .. } = Device::parse(&mbr).unwrap().block else { panic!() };
    assert_eq!(id, Some(PartitionId::Mbr { disk: 0xabcd, start: 0x10_0000 }));
    assert_eq!(disk, Some(DiskId::Mbr(0xabcd)));
}

#[test]
fn a_device_that_is_cut_off_or_changed_is_never_more_than_bytes() {
    let vhd = made::vhd_device(&made::partition_device(&DISK, &PARTITION, false), r"\win.vhdx");
    for len in 0..vhd.len() {
        let _ = Device::parse(&vhd[..len]);
        assert!(matches!(parse(0x1100_0001, 3, &vhd[..len]), Value::Device(_) | Value::Bytes(_)));
    }
    for at in 0..vhd.len() {
        for byte in [0, 1, 5, 6, 8, 0x7f, 0xff] {
            let mut changed = vhd.clone();
            changed[at] = byte;
            let _ = Device::parse(&changed);
        }
    }
}

#[test]
fn a_device_that_holds_itself_ends() {
    // Locate, whose parent is at offset 0x10, where a locate begins whose parent is there again.
    let mut device = vec![0; 16 + 0x400];
    for at in (0..0x3e0).step_by(0x10) {
        device[16 + at] = 8;
        device[16 + at + 8..16 + at + 10].copy_from_slice(&0x200_u16.to_le_bytes());
    }
    let _ = Device::parse(&device);
}

#[test]
fn a_store_is_printed_as_bcdedit_prints_it() {
    let device = made::partition_device(&DISK, &PARTITION, false);
    let store = opened(&made::Store::windows(&device, r"\Windows\system32\winload.efi"));
    assert_eq!((store.problems.len(), store.dirty, store.objects.len()), (0, false, 2));
    let style = Style { full: false, locations: &Named };
    let manager = style.object(&store, store.boot_manager().unwrap());
    assert_eq!(
        manager,
        "Windows Boot Manager\n--------------------\nidentifier              {bootmgr}\n\
         default                 {default}\ndisplayorder            {default}\ntimeout                 30\n"
    );
    let style = Style { full: true, locations: &Named };
    let entry = style.object(&store, store.object(Guid::parse(ENTRY).unwrap()).unwrap());
    let partition = Guid(PARTITION);
    assert_eq!(
        entry,
        format!(
            "Windows Boot Loader\n-------------------\nidentifier              {{{ENTRY}}}\n\
             device                  partition=p3 {{{partition}}}\npath                    \\Windows\\system32\\winload.efi\n\
             description             Windows 11\nosdevice                partition=p3 {{{partition}}}\n\
             systemroot              \\Windows\nnx                      OptOut\n"
        )
    );
}

#[test]
fn elements_are_inherited_in_order_and_without_end() {
    let mut made = made::Store::windows(&made::boot_device(), r"\a");
    let other = "7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e";
    made.object(other, 0x2010_0000);
    made.text(other, 0x1200_0005, "en-US");
    made.list(ENTRY, elements::INHERIT, &[other]);
    made.list(other, elements::INHERIT, &[ENTRY, other]);
    let store = opened(&made);
    let entry = store.object(Guid::parse(ENTRY).unwrap()).unwrap();
    assert_eq!(store.get(entry, 0x1200_0005), Some(&Value::String("en-US".into())));
    assert_eq!(store.get(entry, 0x1200_0044), None);
}

#[test]
fn names_stand_once_and_below_their_class() {
    for application in [Application::BootManager, Application::OsLoader, Application::Resume] {
        for id in [0x1100_0001, 0x1200_0002, 0x2600_ffff] {
            let element = Element { id, value: Value::Boolean(true) };
            assert_eq!(element.name(application).starts_with("custom:"), id == 0x2600_ffff);
        }
    }
    let element = Element { id: 0x2100_0026, value: Value::Boolean(true) };
    assert_eq!(element.name(Application::Resume), "custom:21000026");
}

#[test]
fn values_that_do_not_fit_their_format_are_bytes() {
    assert_eq!(parse(0x2500_0004, 3, &[30, 0, 0, 0]), Value::Integer(30));
    assert_eq!(parse(0x2500_0004, 3, &[]), Value::Bytes(vec![]));
    assert_eq!(parse(0x2500_0004, 3, &[0; 9]), Value::Bytes(vec![0; 9]));
    assert_eq!(parse(0x2600_0010, 3, &[1]), Value::Boolean(true));
    assert_eq!(parse(0x2300_0003, 1, &made::utf16("none")), Value::Bytes(made::utf16("none")));
    assert_eq!(parse(0x1700_0077, 3, &0x1500_0075_u64.to_le_bytes()), Value::Integers(vec![0x1500_0075]));
}
