//! Entries of systemd-boot: `/loader/loader.conf`, and a file for each entry in `/loader/entries` (Boot Loader
//! Specification, type 1).

/// Longest file that is read; they have some hundred bytes.
pub const MAX_LEN: usize = 64 << 10;

/// One entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// What a menu shows.
    pub title: String,
    /// The kernel's path.
    pub linux: Option<String>,
    /// The path of an EFI program.
    pub efi: Option<String>,
    /// Paths of what is loaded with the kernel.
    pub initrd: Vec<String>,
    /// The processor that it is for, as UEFI calls it (`x64`).
    pub architecture: Option<String>,
}

impl Entry {
    /// Reads an entry.
    pub fn parse(text: &str) -> Self {
        /// More are never there.
        const MAX_INITRD: usize = 64;
        let mut entry = Self::default();
        for (key, value) in settings(text) {
            match key {
                "title" => value.clone_into(&mut entry.title),
                "linux" => entry.linux = Some(value.to_owned()),
                "efi" | "uki" => entry.efi = Some(value.to_owned()),
                "initrd" if entry.initrd.len() < MAX_INITRD => entry.initrd.push(value.to_owned()),
                "architecture" => entry.architecture = Some(value.to_owned()),
                _ => {}
            }
        }
        entry
    }

    /// What it starts.
    pub fn starts(&self) -> Option<&str> {
        self.linux.as_deref().or(self.efi.as_deref())
    }
}

/// The pattern of the entry that is started by itself, in `loader.conf`.
pub fn default_pattern(text: &str) -> Option<&str> {
    settings(text).find(|(key, _)| *key == "default").map(|(_, value)| value)
}

/// Keys with their values, without comments.
fn settings(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(char::is_whitespace)).map(|(key, value)| (key, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read() {
        let entry = Entry::parse(
            "# a comment\ntitle  Arch Linux\nlinux\t/vmlinuz\ninitrd /a.img\ninitrd /b.img\nbroken\n",
        );
        assert_eq!((&*entry.title, entry.starts(), entry.initrd.len()), ("Arch Linux", Some("/vmlinuz"), 2));
        assert_eq!(Entry::parse("efi /EFI/a.efi").starts(), Some("/EFI/a.efi"));
        assert_eq!(default_pattern("timeout 3\ndefault arch-*\n"), Some("arch-*"));
        assert_eq!((Entry::parse(""), default_pattern("default")), (Entry::default(), None));
    }
}
