//! The names of objects, elements and values, as `bcdedit` has them.

use super::{Application, ObjectType};
use crate::guid::Guid;

/// An object with the same identifier everywhere: its name, and its heading where that does not follow from its type.
struct WellKnown {
    id: Guid,
    name: &'static str,
    heading: &'static str,
}

const fn known(id: &str, name: &'static str, heading: &'static str) -> WellKnown {
    WellKnown { id: Guid::literal(id), name, heading }
}

const WELL_KNOWN: [WellKnown; 18] = [
    known("9dea862c-5cdd-4e70-acc1-f32b344d4795", "bootmgr", ""),
    known("a5a30fa2-3d06-4e9f-b5f4-a01df9d1fcba", "fwbootmgr", ""),
    known("b2721d73-1db4-4c62-bf78-c548a880142d", "memdiag", ""),
    known("466f5a88-0af2-4f76-9038-095b170dc21c", "ntldr", ""),
    known("fa926493-6f1c-4193-a414-58f0b2456d1e", "current", ""),
    known("1cae1eb7-a0df-4d4d-9851-4860e34ef535", "default", ""),
    known("5189b25c-5558-4bf2-bca4-289b11bd29e2", "badmemory", "RAM Defects"),
    known("6efb52bf-1766-41db-a6b3-0ee5eff72bd7", "bootloadersettings", "Boot Loader Settings"),
    known("4636856e-540f-4170-a130-a84776f4c654", "dbgsettings", "Debugger Settings"),
    known("0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9", "emssettings", "EMS Settings"),
    known("7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e", "globalsettings", "Global Settings"),
    known("7ff607e0-4395-11db-b0de-0800200c9a66", "hypervisorsettings", "Hypervisor Settings"),
    known("313e8eed-7098-4586-a9bf-309c61f8d449", "kerneldbgsettings", "Kernel Debugger Settings"),
    known("1afa9c49-16ab-4a5c-901b-212802da9460", "resumeloadersettings", "Resume Loader Settings"),
    known("ae5534e0-a924-466c-b836-758539a3ee3a", "ramdiskoptions", "Setup Ramdisk Options"),
    known("a1943bbc-ea85-487c-97c7-c9ede908a38a", "", "OS Target Template"),
    known("b012b84d-c47c-4ed5-b722-c0c42163e569", "", "OS Target Template"),
    known("0c334284-9a41-4de1-99b3-a7e87e8ff07e", "", "Resume Target Template"),
];

/// The name of an identifier, without braces.
pub(super) fn object(id: Guid) -> Option<&'static str> {
    WELL_KNOWN.iter().find(|known| known.id == id).map(|known| known.name).filter(|name| !name.is_empty())
}

/// What stands above an object.
pub(super) fn heading(id: Guid, kind: ObjectType) -> String {
    if let Some(known) = WELL_KNOWN.iter().find(|known| known.id == id && !known.heading.is_empty()) {
        return known.heading.to_owned();
    }
    let text = match (kind.0 >> 28, kind.application()) {
        (1, Application::FirmwareBootManager) => "Firmware Boot Manager",
        (1, Application::BootManager) => "Windows Boot Manager",
        (1, Application::OsLoader) => "Windows Boot Loader",
        (1, Application::Resume) => "Resume from Hibernate",
        (1, Application::MemoryTester) => "Windows Memory Tester",
        (1, Application::LegacyLoader) => "Windows Legacy OS Loader",
        (1, Application::LegacySetupLoader) => "Windows Legacy Setup Loader",
        (1, Application::BootSector) => "Real-mode Boot Sector",
        (1, Application::StartupModule) => "Real-mode Startup Module",
        (1, Application::BootApplication) => "Boot Application",
        (1, Application::None) if kind.0 >> 20 & 0xf == 1 => {
            return format!("Firmware Application ({:x})", kind.0 & 0xf_ffff);
        }
        (2, _) => "Inherited Settings",
        (3, _) => "Device options",
        _ => return format!("Unknown Object ({:08x})", kind.0),
    };
    text.to_owned()
}

/// The name of an element in an object of this application.
pub(super) fn element(id: u32, application: Application) -> Option<&'static str> {
    let table: &[(u32, &str)] = match id >> 28 {
        1 => &LIBRARY,
        2 => match application {
            Application::FirmwareBootManager | Application::BootManager => &BOOT_MANAGER,
            Application::OsLoader => &OS_LOADER,
            Application::Resume => &RESUME,
            Application::MemoryTester => &MEMORY_TESTER,
            Application::LegacyLoader | Application::LegacySetupLoader => &LEGACY_LOADER,
            Application::StartupModule => &STARTUP_MODULE,
            Application::BootSector | Application::BootApplication | Application::None => &[],
        },
        3 => &DEVICE,
        4 => &TEMPLATE,
        // Those of manufacturers have no names.
        _ => &[],
    };
    table.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)
}

/// The name of a number, in an element that has names for them.
pub(super) fn integer(element: &str, value: u64) -> Option<&'static str> {
    let names: &[&str] = match element {
        "debugtype" | "kerneldebugtype" => &["Serial", "1394", "USB", "Net", "Local"],
        "debugstart" => &["Active", "AutoEnable", "Disable"],
        "firstmegabytepolicy" => &["UseNone", "UseAll", "UsePrivate"],
        "configaccesspolicy" => &["Default", "DisallowMmConfig"],
        "graphicsresolution" => &["1024x768", "800x600", "1024x600"],
        "integrityservices" => &["Default", "Enable", "Disable"],
        "displaymessage" | "displaymessageoverride" => &[
            "Default",
            "Resume",
            "HyperV",
            "Recovery",
            "StartupRepair",
            "SystemImageRecovery",
            "CommandPrompt",
            "SystemRestore",
            "PushButtonReset",
        ],
        "nx" => &["OptIn", "OptOut", "AlwaysOff", "AlwaysOn"],
        "pae" => &["Default", "ForceEnable", "ForceDisable"],
        "safeboot" => &["Minimal", "Network", "DsRepair"],
        "msi" | "pciexpress" => &["Default", "ForceDisable"],
        "x2apicpolicy" => &["Default", "Disable", "Enable"],
        "tscsyncpolicy" => &["Default", "Legacy", "Enhanced"],
        "driverloadfailurepolicy" => &["Fatal", "UseErrorControl"],
        "bootmenupolicy" => &["Legacy", "Standard"],
        "bootux" => &["Disabled", "Basic", "Standard"],
        "bootstatuspolicy" => &[
            "DisplayAllFailures",
            "IgnoreAllFailures",
            "IgnoreShutdownFailures",
            "IgnoreBootFailures",
            "IgnoreCheckpointFailures",
            "DisplayShutdownFailures",
            "DisplayBootFailures",
            "DisplayCheckpointFailures",
        ],
        "hypervisorlaunchtype" | "vsmlaunchtype" => &["Off", "Auto"],
        "hypervisordebugtype" => &["Serial", "1394", "None", "Net"],
        "hypervisoriommupolicy" => &["Default", "Enable", "Disable"],
        "tpmbootentropy" => &["Default", "ForceDisable", "ForceEnable"],
        "linearaddress57" => &["Default", "OptOut", "OptIn"],
        "testmix" => &["Basic", "Standard", "Extended"],
        _ => &[],
    };
    names.get(usize::try_from(value).ok()?).copied()
}

/// True for numbers that are addresses or bits.
pub(super) fn is_hexadecimal(element: &str) -> bool {
    element.starts_with("custom:")
        || matches!(
            element,
            "truncatememory"
                | "relocatephysical"
                | "avoidlowmemory"
                | "debugaddress"
                | "kerneldebugaddress"
                | "configflags"
                | "keyringaddress"
                | "securebootrawpolicy"
                | "xsaveaddfeature0"
                | "xsaveaddfeature1"
                | "xsaveaddfeature2"
                | "xsaveaddfeature3"
                | "xsaveaddfeature4"
                | "xsaveaddfeature5"
                | "xsaveaddfeature6"
                | "xsaveaddfeature7"
                | "xsaveremovefeature"
                | "xsaveprocessorsmask"
        )
}

/// True for numbers that are addresses of the Internet Protocol.
pub(super) fn is_host(element: &str) -> bool {
    matches!(element, "hostip" | "kernelhostip" | "hypervisorhostip")
}

const LIBRARY: [(u32, &str); 75] = [
    (0x1100_0001, "device"),
    (0x1200_0002, "path"),
    (0x1200_0004, "description"),
    (0x1200_0005, "locale"),
    (0x1400_0006, "inherit"),
    (0x1500_0007, "truncatememory"),
    (0x1400_0008, "recoverysequence"),
    (0x1600_0009, "recoveryenabled"),
    (0x1700_000a, "badmemorylist"),
    (0x1600_000b, "badmemoryaccess"),
    (0x1500_000c, "firstmegabytepolicy"),
    (0x1500_000d, "relocatephysical"),
    (0x1500_000e, "avoidlowmemory"),
    (0x1600_000f, "traditionalkseg"),
    (0x1600_0010, "bootdebug"),
    (0x1500_0011, "debugtype"),
    (0x1500_0012, "debugaddress"),
    (0x1500_0013, "debugport"),
    (0x1500_0014, "baudrate"),
    (0x1500_0015, "channel"),
    (0x1200_0016, "targetname"),
    (0x1600_0017, "noumex"),
    (0x1500_0018, "debugstart"),
    (0x1200_0019, "busparams"),
    (0x1500_001a, "hostip"),
    (0x1500_001b, "port"),
    (0x1600_001c, "dhcp"),
    (0x1200_001d, "key"),
    (0x1600_001e, "vm"),
    (0x1600_0020, "bootems"),
    (0x1500_0022, "emsport"),
    (0x1500_0023, "emsbaudrate"),
    (0x1200_0030, "loadoptions"),
    (0x1600_0040, "advancedoptions"),
    (0x1600_0041, "optionsedit"),
    (0x1500_0042, "keyringaddress"),
    (0x1100_0043, "bootstatdevice"),
    (0x1200_0044, "bootstatfilepath"),
    (0x1600_0045, "preservebootstat"),
    (0x1600_0046, "graphicsmodedisabled"),
    (0x1500_0047, "configaccesspolicy"),
    (0x1600_0048, "nointegritychecks"),
    (0x1600_0049, "testsigning"),
    (0x1200_004a, "fontpath"),
    (0x1500_004b, "integrityservices"),
    (0x1500_004c, "volumebandid"),
    (0x1600_0050, "extendedinput"),
    (0x1500_0051, "initialconsoleinput"),
    (0x1500_0052, "graphicsresolution"),
    (0x1600_0053, "restartonfailure"),
    (0x1600_0054, "highestmode"),
    (0x1600_0060, "isolatedcontext"),
    (0x1500_0065, "displaymessage"),
    (0x1500_0066, "displaymessageoverride"),
    (0x1600_0068, "nobootuxtext"),
    (0x1600_0069, "nobootuxprogress"),
    (0x1600_006a, "nobootuxfade"),
    (0x1600_006b, "bootuxreservepooldebug"),
    (0x1600_006c, "bootuxdisabled"),
    (0x1500_006d, "bootuxfadeframes"),
    (0x1600_006e, "bootuxdumpstats"),
    (0x1600_006f, "bootuxshowstats"),
    (0x1600_0071, "multibootsystem"),
    (0x1600_0072, "nokeyboard"),
    (0x1500_0073, "aliaswindowskey"),
    (0x1600_0074, "bootshutdowndisabled"),
    (0x1500_0075, "performancefrequency"),
    (0x1500_0076, "securebootrawpolicy"),
    (0x1700_0077, "allowedinmemorysettings"),
    (0x1600_007a, "mobilegraphics"),
    (0x1600_007b, "forcefipscrypto"),
    (0x1500_007d, "booterrorux"),
    (0x1600_007e, "flightsigning"),
    (0x1500_0081, "logcontrol"),
    (0x1500_0088, "linearaddress57"),
];

const BOOT_MANAGER: [(u32, &str); 20] = [
    (0x2400_0001, "displayorder"),
    (0x2400_0002, "bootsequence"),
    (0x2300_0003, "default"),
    (0x2500_0004, "timeout"),
    (0x2600_0005, "resume"),
    (0x2300_0006, "resumeobject"),
    (0x2400_0007, "startupsequence"),
    (0x2400_0010, "toolsdisplayorder"),
    (0x2600_0020, "displaybootmenu"),
    (0x2600_0021, "noerrordisplay"),
    (0x2100_0022, "bcddevice"),
    (0x2200_0023, "bcdfilepath"),
    (0x2600_0024, "hormenabled"),
    (0x2600_0025, "hiberboot"),
    (0x2200_0026, "passwordoverride"),
    (0x2200_0027, "pinpassphraseoverride"),
    (0x2600_0028, "processcustomactionsfirst"),
    (0x2700_0030, "customactions"),
    (0x2600_0031, "persistbootsequence"),
    (0x2600_0032, "skipstartupsequence"),
];

const OS_LOADER: [(u32, &str); 121] = [
    (0x2100_0001, "osdevice"),
    (0x2200_0002, "systemroot"),
    (0x2300_0003, "resumeobject"),
    (0x2600_0004, "stampdisks"),
    (0x2600_0010, "detecthal"),
    (0x2200_0011, "kernel"),
    (0x2200_0012, "hal"),
    (0x2200_0013, "dbgtransport"),
    (0x2500_0020, "nx"),
    (0x2500_0021, "pae"),
    (0x2600_0022, "winpe"),
    (0x2600_0024, "nocrashautoreboot"),
    (0x2600_0025, "lastknowngood"),
    (0x2600_0026, "oslnointegritychecks"),
    (0x2600_0027, "osltestsigning"),
    (0x2600_0030, "nolowmem"),
    (0x2500_0031, "removememory"),
    (0x2500_0032, "increaseuserva"),
    (0x2500_0033, "perfmem"),
    (0x2600_0040, "vga"),
    (0x2600_0041, "quietboot"),
    (0x2600_0042, "novesa"),
    (0x2600_0043, "novga"),
    (0x2500_0050, "clustermodeaddressing"),
    (0x2600_0051, "usephysicaldestination"),
    (0x2500_0052, "restrictapiccluster"),
    (0x2200_0053, "evstore"),
    (0x2600_0054, "uselegacyapicmode"),
    (0x2500_0055, "x2apicpolicy"),
    (0x2600_0060, "onecpu"),
    (0x2500_0061, "numproc"),
    (0x2600_0062, "maxproc"),
    (0x2500_0063, "configflags"),
    (0x2600_0064, "maxgroup"),
    (0x2600_0065, "groupaware"),
    (0x2500_0066, "groupsize"),
    (0x2600_0070, "usefirmwarepcisettings"),
    (0x2500_0071, "msi"),
    (0x2500_0072, "pciexpress"),
    (0x2500_0080, "safeboot"),
    (0x2600_0081, "safebootalternateshell"),
    (0x2600_0090, "bootlog"),
    (0x2600_0091, "sos"),
    (0x2600_00a0, "debug"),
    (0x2600_00a1, "halbreakpoint"),
    (0x2600_00a2, "useplatformclock"),
    (0x2600_00a3, "forcelegacyplatform"),
    (0x2600_00a4, "useplatformtick"),
    (0x2600_00a5, "disabledynamictick"),
    (0x2500_00a6, "tscsyncpolicy"),
    (0x2600_00b0, "ems"),
    (0x2500_00c0, "forcefailure"),
    (0x2500_00c1, "driverloadfailurepolicy"),
    (0x2500_00c2, "bootmenupolicy"),
    (0x2600_00c3, "onetimeadvancedoptions"),
    (0x2600_00c4, "onetimeoptionsedit"),
    (0x2500_00e0, "bootstatuspolicy"),
    (0x2600_00e1, "disableelamdrivers"),
    (0x2500_00f0, "hypervisorlaunchtype"),
    (0x2200_00f1, "hypervisorpath"),
    (0x2600_00f2, "hypervisordebug"),
    (0x2500_00f3, "hypervisordebugtype"),
    (0x2500_00f4, "hypervisordebugport"),
    (0x2500_00f5, "hypervisorbaudrate"),
    (0x2500_00f6, "hypervisorchannel"),
    (0x2500_00f7, "bootux"),
    (0x2600_00f8, "hypervisordisableslat"),
    (0x2200_00f9, "hypervisorbusparams"),
    (0x2500_00fa, "hypervisornumproc"),
    (0x2500_00fb, "hypervisorrootprocpernode"),
    (0x2600_00fc, "hypervisoruselargevtlb"),
    (0x2500_00fd, "hypervisorhostip"),
    (0x2500_00fe, "hypervisorhostport"),
    (0x2500_00ff, "hypervisordebugpages"),
    (0x2500_0100, "tpmbootentropy"),
    (0x2200_0110, "hypervisorusekey"),
    (0x2200_0112, "hypervisorproductskutype"),
    (0x2500_0113, "hypervisorrootproc"),
    (0x2600_0114, "hypervisordhcp"),
    (0x2500_0115, "hypervisoriommupolicy"),
    (0x2600_0116, "hypervisorusevapic"),
    (0x2200_0117, "hypervisorloadoptions"),
    (0x2500_0118, "hypervisormsrfilterpolicy"),
    (0x2500_0119, "hypervisormmionxpolicy"),
    (0x2500_011a, "hypervisorschedulertype"),
    (0x2200_011b, "hypervisorrootprocnumanodes"),
    (0x2500_011c, "hypervisorperfmon"),
    (0x2500_011d, "hypervisorrootprocpercore"),
    (0x2200_011e, "hypervisorrootprocnumanodelps"),
    (0x2500_0120, "xsavepolicy"),
    (0x2500_0121, "xsaveaddfeature0"),
    (0x2500_0122, "xsaveaddfeature1"),
    (0x2500_0123, "xsaveaddfeature2"),
    (0x2500_0124, "xsaveaddfeature3"),
    (0x2500_0125, "xsaveaddfeature4"),
    (0x2500_0126, "xsaveaddfeature5"),
    (0x2500_0127, "xsaveaddfeature6"),
    (0x2500_0128, "xsaveaddfeature7"),
    (0x2500_0129, "xsaveremovefeature"),
    (0x2500_012a, "xsaveprocessorsmask"),
    (0x2500_012b, "xsavedisable"),
    (0x2500_012c, "kerneldebugtype"),
    (0x2200_012d, "kernelbusparams"),
    (0x2500_012e, "kerneldebugaddress"),
    (0x2500_012f, "kerneldebugport"),
    (0x2500_0130, "claimedtpmcounter"),
    (0x2500_0131, "kernelchannel"),
    (0x2200_0132, "kerneltargetname"),
    (0x2500_0133, "kernelhostip"),
    (0x2500_0134, "kernelport"),
    (0x2600_0135, "kerneldhcp"),
    (0x2200_0136, "kernelkey"),
    (0x2200_0137, "imchivename"),
    (0x2100_0138, "imcdevice"),
    (0x2500_0139, "kernelbaudrate"),
    (0x2200_0140, "mfgmode"),
    (0x2600_0141, "event"),
    (0x2500_0142, "vsmlaunchtype"),
    (0x2500_0144, "hypervisorenforcedcodeintegrity"),
    (0x2600_0145, "dtrace"),
    (0x2100_0150, "systemdatadevice"),
];

const RESUME: [(u32, &str); 9] = [
    (0x2100_0001, "filedevice"),
    (0x2200_0002, "filepath"),
    (0x2600_0003, "customsettings"),
    (0x2600_0004, "pae"),
    (0x2100_0005, "associatedosdevice"),
    (0x2600_0006, "debugoptionenabled"),
    (0x2500_0007, "bootux"),
    (0x2500_0008, "bootmenupolicy"),
    (0x2600_0024, "hormenabled"),
];

const MEMORY_TESTER: [(u32, &str); 10] = [
    (0x2500_0001, "passcount"),
    (0x2500_0002, "testmix"),
    (0x2500_0003, "failurecount"),
    (0x2600_0003, "cacheenable"),
    (0x2500_0004, "testtofail"),
    (0x2600_0004, "failuresenabled"),
    (0x2500_0005, "stridefailcount"),
    (0x2500_0006, "invcfailcount"),
    (0x2500_0007, "matsfailcount"),
    (0x2500_0008, "randfailcount"),
];

const LEGACY_LOADER: [(u32, &str); 1] = [(0x2200_0001, "bpbstring")];

const STARTUP_MODULE: [(u32, &str); 2] = [(0x2600_0001, "pxesoftreboot"), (0x2200_0002, "applicationname")];

const DEVICE: [(u32, &str); 11] = [
    (0x3500_0001, "ramdiskimageoffset"),
    (0x3500_0002, "ramdisktftpclientport"),
    (0x3100_0003, "ramdisksdidevice"),
    (0x3200_0004, "ramdisksdipath"),
    (0x3500_0005, "ramdiskimagelength"),
    (0x3600_0006, "exportascd"),
    (0x3500_0007, "ramdisktftpblocksize"),
    (0x3500_0008, "ramdisktftpwindowsize"),
    (0x3600_0009, "ramdiskmcenabled"),
    (0x3600_000a, "ramdiskmctftpfallback"),
    (0x3600_000b, "ramdisktftpvarwindow"),
];

const TEMPLATE: [(u32, &str); 6] = [
    (0x4500_0001, "devicetype"),
    (0x4200_0002, "applicationrelativepath"),
    (0x4200_0003, "ramdiskdevicerelativepath"),
    (0x4600_0004, "omitosloaderelements"),
    (0x4700_0006, "elementstomigrate"),
    (0x4600_0010, "recoveryos"),
];
