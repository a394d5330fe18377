//! Who signed an executable: the certificate table, with a PKCS #7 message for each signature (Authenticode).
//!
//! Names are read and the hash is compared; no chain of certificates is verified, and no database of a firmware is known. So
//! this says who *states* to have signed, not that a firmware accepts it.

use cms::{
    cert::{CertificateChoices, IssuerAndSerialNumber},
    content_info::ContentInfo,
    signed_data::{SignedData, SignerIdentifier},
};
use serde::Serialize;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::{
    Certificate,
    der::{
        self, Decode, Encode, SliceReader, Tag, Tagged,
        asn1::{AnyRef, ObjectIdentifier, OctetStringRef},
    },
    name::Name,
};

/// A table has one signature, seldom three.
const MAX_SIGNATURES: usize = 16;
/// Longest message that is parsed; they have about 10 KiB.
const MAX_MESSAGE: usize = 1 << 20;
const HEADER: usize = 8;
/// `WIN_CERT_TYPE_PKCS_SIGNED_DATA`
const PKCS_SIGNED_DATA: u16 = 2;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA_512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// One entry of the certificate table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// Who signed.
    pub signers: Vec<Signer>,
    /// Whether the executable still has the hash that was signed; `None` where its algorithm is not known.
    pub hash_matches: Option<bool>,
    /// Why the entry could not be read; empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// The common name in the signer's certificate; its organization without one.
    pub name: String,
    /// Who issued that certificate.
    pub issuer: String,
}

/// The entries of a table. `covered`: the bytes that the signatures are about.
pub(super) fn parse<'a>(table: &[u8], covered: impl FnOnce() -> Vec<&'a [u8]>) -> Vec<Signature> {
    let (mut found, mut rest) = (Vec::new(), table);
    let mut covered = Some(covered);
    let mut parts = None;
    while found.len() < MAX_SIGNATURES
        && let Some((&[a, b, c, d, _, _, kind @ ..], _)) = rest.split_first_chunk::<HEADER>()
    {
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some(message) = rest.get(HEADER..len) else {
            found.push(failed(format!("an entry of {len} bytes in a table where {} are left", rest.len())));
            break;
        };
        let parts = parts.get_or_insert_with(|| covered.take().map_or_else(Vec::new, |covered| covered()));
        found.push(match u16::from_le_bytes(kind) {
            PKCS_SIGNED_DATA if message.len() <= MAX_MESSAGE => signed_data(message, parts)
                .unwrap_or_else(|error| failed(format!("no PKCS #7 message: {error}"))),
            PKCS_SIGNED_DATA => failed(format!("a PKCS #7 message of {} bytes", message.len())),
            kind => failed(format!("a certificate of type {kind}")),
        });
        // Entries begin at multiples of eight bytes.
        rest = rest.get(len.max(HEADER).next_multiple_of(8)..).unwrap_or_default();
    }
    found
}

fn failed(problem: String) -> Signature {
    Signature { signers: Vec::new(), hash_matches: None, problem }
}

fn signed_data(message: &[u8], covered: &[&[u8]]) -> der::Result<Signature> {
    // The message may be padded.
    let mut reader = SliceReader::new(message)?;
    let data: SignedData = ContentInfo::decode(&mut reader)?.content.decode_as()?;
    let certificates: Vec<&Certificate> = data
        .certificates
        .iter()
        .flat_map(|set| set.0.iter())
        .filter_map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => Some(certificate),
            CertificateChoices::Other(_) => None,
        })
        .collect();
    let signers = data.signer_infos.0.iter().map(|info| signer(&info.sid, &certificates)).collect();
    let content = data.encap_content_info.econtent.as_ref().and_then(|content| content.to_der().ok());
    let hash_matches = content.and_then(|content| matches(&content, covered));
    Ok(Signature { signers, hash_matches, problem: String::new() })
}

fn signer(id: &SignerIdentifier, certificates: &[&Certificate]) -> Signer {
    let SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber { issuer, serial_number }) = id else {
        return Signer { name: "a key without a name".into(), issuer: String::new() };
    };
    let certificate = certificates.iter().find(|certificate| {
        let signed = &certificate.tbs_certificate;
        signed.issuer == *issuer && signed.serial_number == *serial_number
    });
    let name = certificate.map_or_else(
        || "a certificate that is not in the table".to_owned(),
        |certificate| text(&certificate.tbs_certificate.subject),
    );
    Signer { name, issuer: text(issuer) }
}

/// The common name, or else the organization.
fn text(name: &Name) -> String {
    let part = |wanted: ObjectIdentifier| {
        let parts = name.0.iter().flat_map(|set| set.0.iter());
        parts
            .filter(|part| part.oid == wanted)
            .map(|part| {
                // Every kind of text is a superset of ASCII in bytes or in units of two of them.
                let bytes = part.value.value();
                match part.value.tag() {
                    Tag::BmpString => {
                        let units: Vec<u16> =
                            bytes.as_chunks().0.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
                        String::from_utf16_lossy(&units)
                    }
                    _ => String::from_utf8_lossy(bytes).into_owned(),
                }
            })
            .next()
    };
    part(COMMON_NAME).or_else(|| part(ORGANIZATION)).unwrap_or_else(|| "no name".into())
}

/// Whether the bytes have the hash of an `SpcIndirectDataContent`: data, then the algorithm and the hash.
fn matches(content: &[u8], covered: &[&[u8]]) -> Option<bool> {
    let content = AnyRef::from_der(content).ok()?;
    let (algorithm, hash) = content
        .sequence(|reader| {
            AnyRef::decode(reader)?;
            let info = AnyRef::decode(reader)?;
            info.sequence(|reader| {
                let algorithm = AnyRef::decode(reader)?.sequence(|reader| {
                    let id = ObjectIdentifier::decode(reader)?;
                    // Its parameters, if any.
                    Option::<AnyRef<'_>>::decode(reader)?;
                    Ok(id)
                })?;
                Ok((algorithm, OctetStringRef::decode(reader)?.as_bytes()))
            })
        })
        .ok()?;
    fn hashed<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
        let mut digest = D::new();
        parts.iter().for_each(|part| digest.update(part));
        // A certificate table begins at a multiple of eight bytes; a file without one is hashed as if it had.
        digest.finalize().to_vec()
    }
    match algorithm {
        SHA_256 => Some(hashed::<Sha256>(covered) == hash),
        SHA_384 => Some(hashed::<Sha384>(covered) == hash),
        SHA_512 => Some(hashed::<Sha512>(covered) == hash),
        // SHA-1 is of no use any more.
        _ => None,
    }
}
