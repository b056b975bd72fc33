//! `data.db`: records one after the other, in the order of writing.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the key, little-endian |
//! | 4 | length of the value, little-endian; 0 deletes the key |
//! | | the key |
//! | | the value |
//!
//! A length that leads beyond the end of the file belongs to a record that a crash cut off, or is
//! damage; either way, the start of the next record is unknown. So reading ends there.

use std::io::{self, BufReader, Read, Seek};

use super::TornTail;

/// Keys and values longer than this are skipped: no client could have sent them.
const LONGEST: u64 = 64 << 20;

const LENGTHS: u64 = 8;

const BUFFER: usize = 256 << 10;

/// The records of a file, in order.
#[derive(Debug)]
pub struct Records<R> {
    input: BufReader<R>,
    position: u64,
    length: u64,
}

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Key,
    /// Its value.
    pub value: Value,
}

/// The key of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Key {
    /// One that a client can name.
    Text(String),
    /// Not UTF-8, or far too long.
    Unusable,
}

/// The value of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Value {
    /// The key has these bytes from then on.
    Bytes(Vec<u8>),
    /// The key is gone from then on.
    Deletion,
    /// Longer than any client could have sent, and skipped.
    TooLong,
}

impl<R: Read + Seek> Records<R> {
    /// `length` is that of the file: data appended meanwhile is not read.
    pub fn new(input: R, length: u64) -> Self {
        Self { input: BufReader::with_capacity(BUFFER, input), position: 0, length }
    }

    /// The next record; `None` after the last whole one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Record>> {
        let left = self.length - self.position;
        if left < LENGTHS {
            return Ok(None);
        }
        let (key_length, value_length) = (self.number()?, self.number()?);
        let size = LENGTHS + u64::from(key_length) + u64::from(value_length);
        if size > left {
            return Ok(None);
        }
        let key = match self.bytes(key_length)?.map(String::from_utf8) {
            Some(Ok(key)) => Key::Text(key),
            Some(Err(_)) | None => Key::Unusable,
        };
        let value = match self.bytes(value_length)? {
            Some(value) if value.is_empty() => Value::Deletion,
            Some(value) => Value::Bytes(value),
            None => Value::TooLong,
        };
        self.position += size;
        Ok(Some(Record { key, value }))
    }

    /// Where the next record begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The rest once there is no further record.
    pub fn torn(&self) -> Option<TornTail> {
        let bytes = self.length - self.position;
        (bytes > 0).then_some(TornTail { offset: self.position, bytes })
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.input.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// The next `length` bytes; too many are skipped.
    fn bytes(&mut self, length: u32) -> io::Result<Option<Vec<u8>>> {
        if u64::from(length) > LONGEST {
            self.input.seek_relative(i64::from(length))?;
            return Ok(None);
        }
        let mut bytes = Vec::new();
        // Grows with the actual data, whatever the length claims.
        if (&mut self.input).take(length.into()).read_to_end(&mut bytes)? < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(bytes))
    }
}
