//! GRUB's configuration, as far as it says what is started: menu entries with their kernels, and other files that it goes on
//! with. It is a script; nothing of it is run, so what a variable or a condition decides stays open.

/// Longest configuration that is read; one with a hundred kernels has some 200 KiB.
pub const MAX_LEN: usize = 4 << 20;
/// Most entries that are kept.
const MAX_ENTRIES: usize = 256;
/// Most other configurations that are kept.
const MAX_FILES: usize = 64;

/// What a configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Its menu entries.
    pub entries: Vec<Entry>,
    /// The configurations that it goes on with, as they are written: `($root)/boot/grub/grub.cfg`.
    pub files: Vec<String>,
    /// The identifiers of filesystems that it searches for.
    pub searched: Vec<String>,
    /// True when it takes entries from systemd-boot's folder.
    pub blscfg: bool,
}

/// One menu entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its title.
    pub title: String,
    /// The kernel, an EFI program, or a boot sector that it starts, as it is written.
    pub starts: Option<String>,
}

impl Config {
    /// Reads a configuration.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            let words = words(line);
            let mut words = words.iter().map(|word| &**word);
            let Some(command) = words.next() else { continue };
            let last = || self::words(line).iter().rev().find(|word| !word.starts_with('-')).cloned();
            match command {
                "menuentry" if config.entries.len() < MAX_ENTRIES => {
                    let title = words.next().unwrap_or_default().to_owned();
                    config.entries.push(Entry { title, starts: None });
                }
                "linux" | "linuxefi" | "linux16" | "chainloader" | "multiboot" | "multiboot2" => {
                    if let Some(entry) = config.entries.last_mut() {
                        entry.starts = words.find(|word| !word.starts_with('-')).map(str::to_owned);
                    }
                }
                "configfile" | "source" | "." | "normal" if config.files.len() < MAX_FILES => {
                    config.files.extend(words.next().map(str::to_owned));
                }
                "search" | "search.fs_uuid" if config.searched.len() < MAX_FILES => {
                    let id = match command {
                        "search.fs_uuid" => words.next().map(str::to_owned),
                        _ => last(),
                    };
                    if let Some(id) = id
                        && !config.searched.contains(&id)
                    {
                        config.searched.push(id);
                    }
                }
                "blscfg" => config.blscfg = true,
                _ => {}
            }
        }
        config
    }
}

/// The words of a line, without quotation marks, up to a comment or the end of the command.
fn words(line: &str) -> Vec<String> {
    /// More belong to no command that is read here.
    const MAX_WORDS: usize = 64;
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (_, '\\') => word.extend(characters.next()),
            (None, '#') if !begun && word.is_empty() => break,
            (None, ';' | '{' | '}') if word.is_empty() && !begun => {}
            (None, ';') => break,
            (None, c) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
                if words.len() == MAX_WORDS {
                    return words;
                }
            }
            (_, c) => word.push(c),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_titles_and_kernels() {
        let config = Config::parse(
            "set timeout=5\nmenuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'x' {\n\tinsmod ext2\n\
             \tsearch --no-floppy --fs-uuid --set=root 1234-abcd\n\tlinux\t/boot/vmlinuz-6.1 root=UUID=x ro quiet\n\
             \tinitrd /boot/initrd\n}\nmenuentry \"Windows\" {\n  chainloader /EFI/Microsoft/Boot/bootmgfw.efi\n}\n# linux /no\n",
        );
        let entry = |title: &str, starts: &str| Entry { title: title.into(), starts: Some(starts.into()) };
        let expected = [
            entry("Debian GNU/Linux", "/boot/vmlinuz-6.1"),
            entry("Windows", "/EFI/Microsoft/Boot/bootmgfw.efi"),
        ];
        assert_eq!(config.entries, expected);
        assert_eq!(config.searched, ["1234-abcd"]);
    }

    #[test]
    fn debians_stub_goes_on_with_the_one_in_boot() {
        let config = Config::parse(
            "search.fs_uuid 3f2e-11 root hd0,gpt2 \nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n",
        );
        assert_eq!(config.files, ["$prefix/grub.cfg"]);
        assert_eq!(config.searched, ["3f2e-11"]);
    }

    #[test]
    fn any_text_is_read_in_bounds() {
        for text in
            ["'", "\"", "\\", "menuentry", "menuentry '", "linux", "search", "{", ";", "configfile \"a"]
        {
            Config::parse(text);
        }
        let long = "menuentry a\n".repeat(2 * MAX_ENTRIES) + &"configfile b\n".repeat(2 * MAX_FILES);
        let config = Config::parse(&long);
        assert_eq!((config.entries.len(), config.files.len()), (MAX_ENTRIES, MAX_FILES));
    }
}
