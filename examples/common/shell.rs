//! What a program of the command line owes its users: the right files, clean text on a terminal, and a quiet end.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use heapprof::raw::DecodeError;

/// The name of a profile, unless it is clear that no profile has it. A profile comes before a folder of its name.
pub(crate) fn checked(filebase: PathBuf) -> Result<PathBuf> {
    let beside = |extension: &str| {
        let mut path = filebase.clone().into_os_string();
        path.push(extension);
        PathBuf::from(path)
    };
    let name = clean(&filebase.to_string_lossy());
    if filebase.is_dir() && !beside(".hpm").exists() {
        bail!("{name}: a folder; name a profile in it");
    }
    for (extension, command) in [("gz", "gunzip -k"), ("xz", "xz -dk"), ("zst", "zstd -d")] {
        let packed = [".hpm", ".hpd"].map(|kind| beside(&format!("{kind}.{extension}")));
        let is_named = filebase.extension().is_some_and(|it| it == extension);
        let is_found = !beside(".hpm").exists() && packed.iter().any(|path| path.exists());
        if is_named || is_found {
            bail!("{name}: the files are compressed; unpack them with {command} first");
        }
    }
    Ok(filebase)
}

/// A name without what a terminal would take for a command.
pub(crate) fn clean(text: &str) -> String {
    // Marks of direction and line separators change how a terminal shows the rest of a line.
    let is_mark = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    text.replace(|c: char| c.is_control() || is_mark(c), "\u{fffd}")
}

/// Says on standard error what is wrong with a file.
pub(crate) fn tell(path: Option<&Path>, damage: &DecodeError) {
    let path = path.unwrap_or(Path::new("profile"));
    let (path, at) = (clean(&path.to_string_lossy()), damage.offset());
    eprintln!("{path}: record at byte {at}: {}", damage.kind());
}

/// How a program ends: with one line on standard error if it failed.
pub(crate) fn end(result: Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    match error.downcast_ref::<io::Error>() {
        // Whoever reads has seen enough.
        Some(closed) if closed.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        _ => {
            let mut text = error.to_string();
            for cause in error.chain().skip(1).map(ToString::to_string) {
                // Some errors show their cause.
                if !text.contains(&cause) {
                    text = format!("{text}: {cause}");
                }
            }
            eprintln!("{}", clean(&text));
            ExitCode::FAILURE
        }
    }
}
