//! The arguments of `vhdmount reg`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Open, View};

/// `vhdmount reg`
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Keys have the names that they have in Windows: HKLM\\SYSTEM\\CurrentControlSet\\…, HKLM\\SOFTWARE, SAM, SECURITY, DRIVERS, COMPONENTS, \
HKLM\\BCD00000000, HKU\\.DEFAULT, HKU\\Ada (a user's name or SID), HKU\\Ada_Classes, HKCR, HKCC; long forms (HKEY_LOCAL_MACHINE) as well. \
Case does not matter. In a shell of Linux a name stands between single quotes. HKCU, and keys that Windows makes at each start \
(HKLM\\HARDWARE), are on no disk.

IMAGE may also be a hive that was copied out (SYSTEM, NTUSER.DAT, …): its logs (.LOG, .LOG1, .LOG2) are taken from the same folder, and \
KEY is a path inside it, or its name in Windows. A hive that was not written completely is read with its logs applied in memory; nothing is \
written."
)]
pub(crate) struct Reg {
    #[command(subcommand)]
    pub(crate) command: RegCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegCommand {
    /// List a key's values and subkeys as reg query prints them
    Query(Box<RegQuery>),
    /// Write a key with everything below it as a .reg file, as regedit does
    Export(RegExport),
    /// List the keys and values that differ between two disks, or between an overlay or checkpoint and its parent
    Diff(RegDiff),
    /// Print the keys that begin so, for completions of shells
    #[command(hide = true)]
    Complete(RegComplete),
}

/// `vhdmount reg complete`
#[derive(Debug, Args)]
pub(crate) struct RegComplete {
    /// VHD, VHDX, raw image or disk; or a hive
    pub(crate) image: PathBuf,
    /// What was typed of a key
    #[arg(default_value = "")]
    pub(crate) start: String,
    #[command(flatten)]
    pub(crate) of: Of,
}

/// Whose registry: the same for `query` and `export`.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The Windows on partition N, where there are several
    #[arg(short = 'p', long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Of a hive that is a file of its own: the name of its root, as in HKLM\SOFTWARE
    #[arg(long, value_name = "KEY")]
    pub(crate) prefix: Option<String>,
    #[command(flatten)]
    pub(crate) open: Open,
}

impl Of {
    /// What of an image is opened for this.
    pub(crate) fn view(&self) -> View {
        View { partition: self.partition, ..View::default() }
    }
}

/// `vhdmount reg query`
#[derive(Debug, Args)]
#[command(
    override_usage = "vhdmount reg query [OPTIONS] IMAGE [KEY] [/s] [/v NAME | /ve] [/f PATTERN [/k] [/d] [/c] [/e]] [/t TYPE] [/se SEPARATOR]",
    after_help = "\
The switches of reg.exe are understood as well: /s --recursive, /v --value, /ve --default, /f --find, /k --in-keys, /d --in-data, \
/c --case-sensitive, /e --exact, /t --type, /se --separator. Without --in-keys, --in-names and --in-data all of them are searched (/v \
without a name is --in-names). A PATTERN is found anywhere in a text, and stands for itself; * alone is everything.

Lines that begin with # are not reg.exe's.

Exit codes: 0 fine, 1 usage, 2 the image, 4 there is no such key or value, nothing was found, some of it could not be read, or standard \
output."
)]
pub(crate) struct RegQuery {
    /// VHD, VHDX, raw image or disk; or a hive
    pub(crate) image: PathBuf,
    /// The key, as in HKLM\SOFTWARE\Microsoft; by itself what is above all hives, or the root of a hive
    pub(crate) key: Option<String>,
    /// As of reg.exe
    #[arg(hide = true)]
    pub(crate) switches: Vec<String>,
    /// With all keys below it
    #[arg(short = 's', long)]
    pub(crate) recursive: bool,
    /// This value alone
    #[arg(long, value_name = "NAME")]
    pub(crate) value: Option<String>,
    /// The value without a name alone
    #[arg(long, conflicts_with = "value")]
    pub(crate) default: bool,
    /// Search: names of keys, names of values and data
    #[arg(short = 'f', long, value_name = "PATTERN")]
    pub(crate) find: Option<String>,
    /// Search in names of keys
    #[arg(long)]
    pub(crate) in_keys: bool,
    /// Search in names of values
    #[arg(long)]
    pub(crate) in_names: bool,
    /// Search in data
    #[arg(long)]
    pub(crate) in_data: bool,
    /// Upper and lower case are not the same
    #[arg(long)]
    pub(crate) case_sensitive: bool,
    /// The whole text, not a part of it
    #[arg(long)]
    pub(crate) exact: bool,
    /// Values of this type alone: REG_SZ, REG_DWORD, …, or a number
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) data_type: Option<String>,
    /// What stands between the texts of a REG_MULTI_SZ
    #[arg(long, value_name = "TEXT", default_value = r"\0")]
    pub(crate) separator: String,
    /// Print when each key was written last (UTC)
    #[arg(long)]
    pub(crate) times: bool,
    /// Print each key's security descriptor, in SDDL
    #[arg(long)]
    pub(crate) security: bool,
    /// List as well what is left of deleted keys and values below KEY
    #[arg(long)]
    pub(crate) deleted: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) of: Of,
}

/// `vhdmount reg export`
#[derive(Debug, Args)]
#[command(
    override_usage = "vhdmount reg export [OPTIONS] IMAGE KEY [FILE]",
    after_help = "\
UTF-16 with CR LF, as regedit and reg export write it; both, and Wine's, import it. Texts that have line breaks, or data behind the NUL \
that ends them, are written as hex(1), which keeps all of it. Keys and values whose names no .reg file can hold (line breaks, NULs) are left \
out, and listed.

Exit codes: 0 everything was written, 1 usage, 2 the image, 3 FILE, 4 there is no such key, some of it could not be read or written, or \
standard output."
)]
pub(crate) struct RegExport {
    /// VHD, VHDX, raw image or disk; or a hive
    pub(crate) image: PathBuf,
    /// The key, as in HKLM\SOFTWARE\Microsoft; '' for the root of a hive
    pub(crate) key: String,
    /// The .reg file; standard output by itself, or with -
    pub(crate) file: Option<PathBuf>,
    /// As of reg.exe
    #[arg(hide = true)]
    pub(crate) switches: Vec<String>,
    /// Replace FILE if it exists (/y)
    #[arg(short = 'f', long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) of: Of,
}

/// `vhdmount reg diff`
#[derive(Debug, Args)]
#[command(
    override_usage = "vhdmount reg diff [OPTIONS] OLD NEW [KEY]\n       vhdmount reg diff [OPTIONS] OVERLAY [KEY]",
    after_help = "\
OLD and NEW are disks or hives. With one image it is compared with its parent: what was changed since the overlay or checkpoint was made. \
Without KEY all hives are compared; those with the same bytes are not read further. Times do not count, security descriptors do with \
--security. --parent and --parent-dir count for both.

Exit codes: 0 compared, whatever differs; 1 usage, 2 an image, 4 there is no such key, some of it could not be read, or standard \
output."
)]
pub(crate) struct RegDiff {
    /// The disk or hive before, or an overlay
    pub(crate) old: PathBuf,
    /// The disk or hive after; or KEY
    pub(crate) new: Option<String>,
    /// The key
    pub(crate) key: Option<String>,
    /// Compare security descriptors as well
    #[arg(long)]
    pub(crate) security: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) of: Of,
}
