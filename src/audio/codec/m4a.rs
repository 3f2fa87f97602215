//! An unseekable m4a → a source that can be decoded: live if its index comes first, otherwise kept whole and seekable.
//!
//! An ISO base media file (ISO/IEC 14496-12 §4.2) is a row of boxes: 32-bit length, type, content. The samples in `mdat`
//! mean nothing without the index in `moov`; fragmented files and web downloads have it first, camera files last.
//! Invariant: every byte read here is read again by the decoder.

use std::io::{self, Cursor, Read};

use symphonia::core::io::{MediaSource, ReadOnlySource};

/// Wraps `source`, which keeps the count of what is read. Other formats pass unchanged.
pub(super) fn decodable<R: Read + Send + Sync + 'static>(mut source: R) -> io::Result<Box<dyn MediaSource>> {
    let mut kept = Vec::new();
    let index_last = index_comes_last(&mut source, &mut kept)?;
    if index_last {
        source.read_to_end(&mut kept)?;
        return Ok(Box::new(Cursor::new(kept)));
    }
    Ok(Box::new(ReadOnlySource::new(Cursor::new(kept).chain(source))))
}

/// Reads box by box into `kept` until `moov` or `mdat` shows up. At once false for anything but an m4a.
fn index_comes_last(source: &mut impl Read, kept: &mut Vec<u8>) -> io::Result<bool> {
    let mut start = 0;
    loop {
        let Some(header) = read_at(source, kept, start, 8)? else { return Ok(false) };
        let short_len = u64::from(u32::from_be_bytes([header[0], header[1], header[2], header[3]]));
        let kind = [header[4], header[5], header[6], header[7]];
        match &kind {
            b"ftyp" => {}
            b"moov" => return Ok(false),
            _ if start == 0 => return Ok(false),
            b"mdat" => return Ok(true),
            _ => {}
        }
        let len = match short_len {
            1 => match read_at(source, kept, start + 8, 8)? {
                Some(long) => {
                    u64::from_be_bytes([long[0], long[1], long[2], long[3], long[4], long[5], long[6], long[7]])
                }
                None => return Ok(false),
            },
            len => len,
        };
        // A box is never shorter than its header; one of length 0 runs to the end.
        if len < 8 || read_at(source, kept, start, len)?.is_none() {
            return Ok(false);
        }
        start += len as usize;
    }
}

/// `len` bytes from position `start`, reading what is not kept yet; none if the source ends before.
fn read_at<'a>(source: &mut impl Read, kept: &'a mut Vec<u8>, start: usize, len: u64) -> io::Result<Option<&'a [u8]>> {
    let end = (start as u64).saturating_add(len);
    let missing = end.saturating_sub(kept.len() as u64);
    source.take(missing).read_to_end(kept)?;
    Ok(kept.get(start..usize::try_from(end).unwrap_or(usize::MAX)))
}
