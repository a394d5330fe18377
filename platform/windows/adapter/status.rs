//! Maps [`Error`] to NTSTATUS for all requests (MS-ERREF 2.3).

use vhdmount::Error;

/// The NTSTATUS of a request that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

/// The result of a request.
pub(crate) type Answer<T> = Result<T, Status>;

impl Status {
    pub(crate) const SUCCESS: Self = Self(0);
    /// The path continues after a link.
    pub(crate) const REPARSE: Self = Self(0x0000_0104);
    pub(crate) const BUFFER_OVERFLOW: Self = Self(0x8000_0005);
    pub(crate) const INVALID_PARAMETER: Self = Self(0xC000_000D);
    pub(crate) const INVALID_DEVICE_REQUEST: Self = Self(0xC000_0010);
    pub(crate) const END_OF_FILE: Self = Self(0xC000_0011);
    pub(crate) const ACCESS_DENIED: Self = Self(0xC000_0022);
    pub(crate) const BUFFER_TOO_SMALL: Self = Self(0xC000_0023);
    pub(crate) const OBJECT_NAME_NOT_FOUND: Self = Self(0xC000_0034);
    pub(crate) const OBJECT_PATH_NOT_FOUND: Self = Self(0xC000_003A);
    pub(crate) const EA_TOO_LARGE: Self = Self(0xC000_0050);
    pub(crate) const MEDIA_WRITE_PROTECTED: Self = Self(0xC000_00A2);
    pub(crate) const NOT_SUPPORTED: Self = Self(0xC000_00BB);
    pub(crate) const INTERNAL_ERROR: Self = Self(0xC000_00E5);
    pub(crate) const FILE_CORRUPT_ERROR: Self = Self(0xC000_0102);
    pub(crate) const TOO_MANY_OPENED_FILES: Self = Self(0xC000_011F);
    pub(crate) const IO_DEVICE_ERROR: Self = Self(0xC000_0185);
    pub(crate) const NOT_A_REPARSE_POINT: Self = Self(0xC000_0275);
    pub(crate) const REPARSE_POINT_NOT_RESOLVED: Self = Self(0xC000_0280);

    /// The code as WinFsp's functions return it.
    pub(crate) fn code(self) -> i32 {
        self.0.cast_signed()
    }
}

/// Why a request fails: with a status, or with an error of the library, which is logged and mapped.
#[derive(Debug)]
pub(crate) enum Refusal {
    Status(Status),
    Error(Error),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The status that a program receives.
pub(crate) fn ntstatus(error: &Error) -> Status {
    match error.cause() {
        Error::Io { source, .. } => source.raw_os_error().map_or(Status::IO_DEVICE_ERROR, from_host),
        Error::Unsupported(_) => Status::NOT_SUPPORTED,
        Error::Denied(_) => Status::ACCESS_DENIED,
        // Path lookups return their own status, so a name missing here was referenced by the image.
        Error::NotFound(_) => Status::FILE_CORRUPT_ERROR,
        Error::Invalid(_) => Status::INVALID_PARAMETER,
        _ => Status::FILE_CORRUPT_ERROR,
    }
}

/// The host's error code, in the form that Windows converts back to it: severity error, facility NTWIN32.
fn from_host(code: i32) -> Status {
    const NTWIN32: u32 = 0xC007_0000;
    match u16::try_from(code) {
        Ok(code @ 1..) => Status(NTWIN32 | u32::from(code)),
        _ => Status::IO_DEVICE_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_class_has_its_status() {
        for (error, expected) in [
            (Error::corrupt("index", None, "bad signature"), Status::FILE_CORRUPT_ERROR),
            (Error::unsupported("EFS-encrypted file"), Status::NOT_SUPPORTED),
            (Error::Denied("no key".into()), Status::ACCESS_DENIED),
            (Error::not_found("node"), Status::FILE_CORRUPT_ERROR),
            (Error::invalid("offset"), Status::INVALID_PARAMETER),
            (Error::io("image", io::Error::other("short")), Status::IO_DEVICE_ERROR),
        ] {
            assert_eq!(ntstatus(&error), expected, "{error}");
        }
    }

    #[test]
    fn the_hosts_error_passes() {
        let host = |code| ntstatus(&Error::io("image", io::Error::from_raw_os_error(code))).0;
        // ERROR_CRC
        assert_eq!(host(23), 0xC007_0017);
        for odd in [0, -5, 1 << 16, i32::MAX] {
            assert_eq!(host(odd), Status::IO_DEVICE_ERROR.0, "{odd}");
        }
    }

    #[test]
    fn failures_are_negative_as_winfsp_wants_them() {
        assert!(Status::INTERNAL_ERROR.code() < 0 && Status::BUFFER_OVERFLOW.code() < 0);
        assert!(Status::SUCCESS.code() == 0 && Status::REPARSE.code() > 0);
    }
}
