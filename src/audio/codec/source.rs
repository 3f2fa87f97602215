//! A source of bytes → the form of it that symphonia decodes best: seekable, or as a stream.
//!
//! An ISO base media file (ISO/IEC 14496-12 §4.2) is a row of boxes: 32-bit length, type, content. The samples in `mdat`
//! mean nothing without the index in `moov`, so an m4a streams only if its index comes first (web downloads, fragmented
//! files). As a seekable file an m4a or Matroska that was cut off is refused; as a stream it gives all that it has.
//! Invariant: every byte read here is read again by the decoder.

use std::io::{self, Cursor, ErrorKind, Read};

use symphonia::core::io::{MediaSource, ReadOnlySource};

/// First bytes of Matroska and webm: the EBML header's id (RFC 8794 §11.2.1).
const EBML: &[u8] = b"\x1a\x45\xdf\xa3";

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Matroska,
    M4aIndexFirst,
    M4aIndexLast,
    Other,
}

/// For a file. Streams what is better streamed, and what cannot seek although its type says so.
pub(super) fn from_file<R: MediaSource + 'static>(mut source: R) -> io::Result<Box<dyn MediaSource>> {
    if !source.is_seekable() {
        return from_stream(source, true);
    }
    let kind = sniff(&mut source, &mut Vec::new())?;
    source.rewind()?;
    match kind {
        Kind::Matroska | Kind::M4aIndexFirst => Ok(Box::new(ReadOnlySource::new(source))),
        Kind::M4aIndexLast | Kind::Other => Ok(Box::new(source)),
    }
}

/// For bytes that come once. An m4a with its index last is read to its end and kept, or, if that is not wanted,
/// [`ErrorKind::Unsupported`].
pub(super) fn from_stream<R: Read + Send + Sync + 'static>(
    mut source: R,
    keeps_index_last: bool,
) -> io::Result<Box<dyn MediaSource>> {
    let mut kept = Vec::new();
    if sniff(&mut source, &mut kept)? == Kind::M4aIndexLast {
        if !keeps_index_last {
            let cause =
                "an m4a whose index comes last cannot be streamed, write it with the index first or in fragments";
            return Err(io::Error::new(ErrorKind::Unsupported, cause));
        }
        source.read_to_end(&mut kept)?;
        return Ok(Box::new(Cursor::new(kept)));
    }
    Ok(Box::new(ReadOnlySource::new(Cursor::new(kept).chain(source))))
}

/// Reads into `kept` as far as it takes to tell; of an m4a, box by box until `moov` or `mdat` shows up.
fn sniff(source: &mut impl Read, kept: &mut Vec<u8>) -> io::Result<Kind> {
    let mut start = 0;
    loop {
        let Some(header) = read_at(source, kept, start, 8)? else { return Ok(Kind::Other) };
        let (len, kind) = header.split_at(4);
        match kind {
            _ if start == 0 && len == EBML => return Ok(Kind::Matroska),
            _ if start == 0 && kind != b"ftyp" => return Ok(Kind::Other),
            b"moov" => return Ok(Kind::M4aIndexFirst),
            b"mdat" => return Ok(Kind::M4aIndexLast),
            _ => {}
        }
        let mut len = big_endian(len);
        if len == 1 {
            let Some(long) = read_at(source, kept, start + 8, 8)? else { return Ok(Kind::Other) };
            len = big_endian(long);
        }
        // A box is never shorter than its header; one of length 0 runs to the end.
        if len < 8 || read_at(source, kept, start, len)?.is_none() {
            return Ok(Kind::Other);
        }
        start += len as usize;
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// `len` bytes from position `start`, reading what is not kept yet; none if the source ends before.
fn read_at<'a>(source: &mut impl Read, kept: &'a mut Vec<u8>, start: usize, len: u64) -> io::Result<Option<&'a [u8]>> {
    let end = (start as u64).saturating_add(len);
    let missing = end.saturating_sub(kept.len() as u64);
    source.take(missing).read_to_end(kept)?;
    Ok(kept.get(start..usize::try_from(end).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(bytes: &[u8]) -> Kind {
        let mut kept = Vec::new();
        let kind = sniff(&mut &*bytes, &mut kept).unwrap();
        assert!(bytes.starts_with(&kept));
        kind
    }

    #[test]
    fn boxes_are_walked_to_the_index_or_the_samples() {
        let ftyp = b"\0\0\0\x0cftypM4A ";
        let free = b"\0\0\0\x0afree..";
        let long = b"\0\0\0\x01wide\0\0\0\0\0\0\0\x11.";
        let join = |boxes: &[&[u8]]| kind_of(&boxes.concat());
        assert_eq!(join(&[ftyp, free, b"\0\0\x01\0moov"]), Kind::M4aIndexFirst);
        assert_eq!(join(&[ftyp, long, b"\0\0\0\0mdat"]), Kind::M4aIndexLast);
        assert_eq!(join(&[EBML, b"\x9fB\x86\x81"]), Kind::Matroska);
        assert_eq!(join(&[b"\0\0\0\0mdat"]), Kind::Other);
        assert_eq!(join(&[ftyp, b"\0\0\0\x07free."]), Kind::Other);
        assert_eq!(join(&[ftyp, b"\xff\xff\xff\xfffree"]), Kind::Other);
        assert_eq!(join(&[b"RIFF"]), Kind::Other);
    }
}
