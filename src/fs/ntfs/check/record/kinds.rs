//! The kinds of findings in records.

use crate::{check::Severity, fs::findings::Kind};

pub(super) const UNREADABLE: Kind = Kind {
    severity: Severity::Error,
    name: "damaged MFT records",
    meaning: "The file or directory of this record cannot be read; others are not affected. Restore it from a backup.",
};

pub(super) const MIRRORED: Kind = Kind {
    severity: Severity::Warning,
    name: "damaged first MFT records",
    meaning: "The copy in $MFTMirr is read instead; nothing is lost. chkdsk /f repairs it.",
};

pub(super) const ATTRIBUTES: Kind = Kind {
    severity: Severity::Error,
    name: "damaged attributes",
    meaning: "It cannot be read, or only in part. Restore it from a backup.",
};

pub(super) const NUMBER: Kind = Kind {
    severity: Severity::Warning,
    name: "MFT records that state another number",
    meaning: "The record may have been written to the wrong place: check whether its content is its own.",
};

pub(super) const HEADER: Kind = Kind {
    severity: Severity::Warning,
    name: "wrong headers of MFT records",
    meaning: "It is read by its attributes; Windows may refuse to change the record, or overwrite a part of it. chkdsk /f \
              corrects it.",
};

pub(super) const RUNS: Kind = Kind {
    severity: Severity::Error,
    name: "damaged run lists",
    meaning: "Where the data lies is not known from there on: reading it is an error. Restore it from a backup.",
};

pub(super) const OUTSIDE: Kind = Kind {
    severity: Severity::Error,
    name: "runs beyond the end of the volume",
    meaning: "That part cannot be read. Restore it from a backup.",
};

pub(super) const SHORT: Kind = Kind {
    severity: Severity::Error,
    name: "data that is longer than its run list",
    meaning: "The end of the data is not there: reading it is an error. Restore it from a backup.",
};

pub(super) const SIZES: Kind = Kind {
    severity: Severity::Warning,
    name: "sizes that contradict each other",
    meaning: "The data is read by its run list; only what is shown as its size on disk may be wrong.",
};

pub(super) const UNITS: Kind = Kind {
    severity: Severity::Error,
    name: "damaged compression units",
    meaning: "Those units cannot be decompressed: reading them is an error. Restore the file from a backup.",
};

pub(super) const SECURITY: Kind = Kind {
    severity: Severity::Warning,
    name: "security ids that $Secure does not know",
    meaning: "Windows grants access to administrators only; the content is readable here.",
};
