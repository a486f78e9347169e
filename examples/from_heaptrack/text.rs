//! The lines of a recording, whatever it is compressed with, and the numbers in them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The text of a recording, whatever it is compressed with.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(File::open(path)?);
    let start = file.fill_buf()?;
    Ok(if start.starts_with(&GZIP) {
        Box::new(BufReader::new(Gzip(Some(GzDecoder::new(file)))))
    } else if start.starts_with(&ZSTD) || is_skippable(start) {
        Box::new(BufReader::new(Zstd::new(file)))
    } else {
        Box::new(file)
    })
}

/// What a member of a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What a frame of Zstandard begins with.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether a frame of Zstandard begins here that has no content.
fn is_skippable(start: &[u8]) -> bool {
    matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// One member of a gzip file after another. What follows them and is none, `gzip -d` ignores too.
struct Gzip<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let len = member.read(out)?;
            if len > 0 || out.is_empty() {
                return Ok(len);
            }
            let rest = member.get_mut().fill_buf()?;
            if !rest.starts_with(&GZIP) {
                if rest.iter().any(|&byte| byte != 0) {
                    eprintln!("what follows the compressed data is ignored");
                }
                return Ok(0);
            }
            self.0 = self
                .0
                .take()
                .map(|member| GzDecoder::new(member.into_inner()));
        }
        Ok(0)
    }
}

/// Zstandard, one frame after another.
struct Zstd<R> {
    source: R,
    frame: FrameDecoder,
    /// What to say once all is read, if it ends early.
    cut: Option<io::Error>,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        Self {
            source,
            frame: FrameDecoder::new(),
            cut: None,
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let one = || BlockDecodingStrategy::UptoBlocks(1);
        loop {
            if self.frame.can_collect() > 0 {
                return self.frame.read(out);
            }
            if let Some(cut) = &self.cut {
                return Err(io::Error::new(cut.kind(), cut.to_string()));
            }
            let decoded = if !self.frame.is_finished() {
                self.frame.decode_blocks(&mut self.source, one()).map(drop)
            } else if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            } else {
                self.frame.reset(&mut self.source)
            };
            if let Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) = decoded
            {
                let length = u64::from(length);
                if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                    let cut = "the file ends inside a frame without content";
                    self.cut = Some(io::Error::new(ErrorKind::UnexpectedEof, cut));
                }
                continue;
            }
            if let Err(error) = decoded {
                if !self.source.fill_buf()?.is_empty() {
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
                self.cut = Some(io::Error::new(ErrorKind::UnexpectedEof, error));
                if !self.frame.is_finished() {
                    // The decoder holds back what later blocks can refer to, up to the last one: here
                    // is an empty one, with a checksum.
                    let _ = self.frame.decode_blocks(&[1, 0, 0, 0, 0, 0, 0][..], one());
                }
            }
        }
    }
}

/// Reads the next line, with its end unless the text is cut in it; `false` at the end of the text.
pub(crate) fn read_line(
    text: &mut impl BufRead,
    version: u64,
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    line.clear();
    loop {
        let before = line.len();
        match text.read_until(b'\n', line) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error),
            // What is compressed can be cut between two lines.
            Err(_) => return Ok(true),
            Ok(_) if line.len() == before => return Ok(false),
            Ok(_) => {}
        }
        // A string says how long it is, and can have ends of lines in it.
        let more = version >= 3 && sized(line).is_some_and(|(_, end)| end >= line.len());
        if !more {
            return Ok(true);
        }
    }
}

/// From where to where the string stands in a line like `s 5 hello`, if it is one.
pub(crate) fn sized(line: &[u8]) -> Option<(usize, usize)> {
    let mut fields = Fields(line.strip_prefix(b"s ")?);
    let length = fields.index().ok()?;
    let start = line.len() - fields.0.strip_prefix(b" ")?.len();
    Some((start, start.checked_add(length)?))
}

/// Reads the first line, and gives the version of the format.
pub(crate) fn version(text: &mut impl BufRead) -> Result<u64> {
    let mut line = Vec::new();
    read_line(&mut text.take(100), 0, &mut line)?;
    let mut fields = Fields(
        line.strip_prefix(b"v ")
            .context("not a recording of heaptrack")?,
    );
    let heaptrack = fields.number()?;
    match fields.optional()? {
        Some(version @ 1..=3) => Ok(version),
        // The first version of the format was known by that of the program.
        None if heaptrack == 0x01_02_00 => Ok(1),
        None => bail!("written by a heaptrack before 1.0"),
        Some(version) => bail!("format {version} of heaptrack; 1 to 3 are known here"),
    }
}

/// The command of the recording, if it is next, and the text with that line still to be read. A command of several lines
/// is cut after the first.
pub(crate) fn command(mut text: impl BufRead) -> Result<(Option<String>, impl BufRead)> {
    let mut line = Vec::new();
    match text.read_until(b'\n', &mut line) {
        // A text that is cut here is cut for the next reader as well.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error.into()),
        _ => {}
    }
    let command = line
        .strip_prefix(b"X ")
        .and_then(|it| it.strip_suffix(b"\n"));
    let command = command.map(|command| String::from_utf8_lossy(command).into_owned());
    Ok((command, Cursor::new(line).chain(text)))
}

/// The numbers of a line.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn optional(&mut self) -> Result<Option<u64>> {
        let line = self.0.trim_ascii_start();
        if line.is_empty() {
            return Ok(None);
        }
        let end = line.iter().position(u8::is_ascii_whitespace);
        let (field, rest) = line.split_at(end.unwrap_or(line.len()));
        self.0 = rest;
        let digits = str::from_utf8(field).context("not a number")?;
        let number =
            u64::from_str_radix(digits, 16).with_context(|| format!("no number: {digits}"))?;
        Ok(Some(number))
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        self.optional()?.context("a number is missing")
    }

    pub(crate) fn index(&mut self) -> Result<usize> {
        Ok(usize::try_from(self.number()?)?)
    }
}
