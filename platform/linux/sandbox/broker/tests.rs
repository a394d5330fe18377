//! What the process outside opens, and what it refuses.

use std::fs;

use super::*;

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    /// `images/child.vhdx` and a text beside it; `elsewhere` with a disk of each kind, a text and a named pipe.
    fn new() -> Self {
        let host = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["images", "elsewhere"] {
            fs::create_dir(host.at(folder)).unwrap();
        }
        let disk = |signature: &[u8], at: usize| {
            let mut bytes = vec![0; 2048];
            bytes[at..at + 8].copy_from_slice(signature);
            bytes
        };
        fs::write(host.at("images/child.vhdx"), disk(b"vhdxfile", 0)).unwrap();
        fs::write(host.at("images/notes"), "beside the image").unwrap();
        fs::write(host.at("elsewhere/Base.vhdx"), disk(b"vhdxfile", 0)).unwrap();
        fs::write(host.at("elsewhere/fixed.vhd"), disk(b"conectix", 2048 - 512)).unwrap();
        fs::write(host.at("elsewhere/secret"), "password").unwrap();
        nix::unistd::mkfifo(&host.at("elsewhere/pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        host
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn broker(&self, confined: bool) -> Broker {
        Broker::new(&Rights {
            images: vec![self.at("images/child.vhdx")],
            folders: vec![self.at("images")],
            confined,
            ..Rights::default()
        })
    }
}

#[test]
fn outside_of_the_folders_only_virtual_disks_are_opened() {
    let host = Host::new();
    let opens = |broker: &Broker, name: &str| broker.open(&host.at(name)).is_ok();
    let mut broker = host.broker(false);
    for (name, expected) in [
        ("images/child.vhdx", true),
        ("images/notes", true),
        ("elsewhere/Base.vhdx", true),
        ("elsewhere/fixed.vhd", true),
        ("elsewhere/secret", false),
        ("elsewhere/pipe", false),
        ("elsewhere", false),
        ("images/../elsewhere/secret", false),
    ] {
        assert_eq!(opens(&broker, name), expected, "{name}");
    }
    for path in ["/etc/passwd", "/proc/self/environ", "/dev/null"] {
        assert!(broker.open(path.as_ref()).is_err(), "{path}");
    }
    broker.disks_only = true;
    assert!(opens(&broker, "images/child.vhdx") && !opens(&broker, "images/notes"));
    let confined = host.broker(true);
    assert!(!opens(&confined, "elsewhere/Base.vhdx") && opens(&confined, "images/notes"));
}

#[test]
fn of_a_folder_elsewhere_the_virtual_disks_are_listed_and_nothing_else() {
    let host = Host::new();
    let listed = host.broker(false).disks_in(&host.at("elsewhere")).unwrap();
    let mut names: Vec<_> = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    names.sort();
    assert_eq!(names, [&b"Base.vhdx"[..], b"fixed.vhd"]);
    let confined = host.broker(true).check_folder(&host.at("elsewhere"));
    assert_eq!(confined.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_client_gets_its_file_and_errors_as_they_are() {
    let host = Host::new();
    let (inside, outside) = pair().unwrap();
    let mut broker = host.broker(false);
    let answers =
        std::thread::spawn(move || while matches!(broker.answer(&outside).unwrap(), Event::Answered) {});
    let client = Client::new(inside);
    let mut signature = [0; 8];
    client.open(&host.at("elsewhere/Base.vhdx")).unwrap().read_exact_at(&mut signature, 0).unwrap();
    assert_eq!(&signature, b"vhdxfile");
    let refused = client.open(&host.at("elsewhere/secret")).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    let name = client.similar_name(&host.at("elsewhere"), "BASE.VHDX").unwrap();
    assert_eq!(name.as_deref(), Some(OsStr::new("Base.vhdx")));
    assert_eq!(client.similar_name(&host.at("elsewhere"), "other").unwrap(), None);
    let none = client.disks_in(&host.at("nowhere")).unwrap_err();
    assert_eq!(none.kind(), io::ErrorKind::NotFound);
    drop(client);
    answers.join().unwrap();
}
