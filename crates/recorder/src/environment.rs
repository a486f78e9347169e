//! A program that is told by its environment to be recorded, before `main`.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::error::Error;
use crate::recorder::{Recorder, Recording};

/// The recording that the environment asked for. It ends when the program exits.
static RECORDING: Mutex<Option<Recording>> = Mutex::new(None);

/// The linker puts it among the functions that run before `main`.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

#[cfg(target_os = "macos")]
#[used]
#[unsafe(link_section = "__DATA,__mod_init_func")]
static BEFORE_MAIN: extern "C" fn() = before_main;

#[cfg_attr(not(unix), expect(dead_code, reason = "there is no such place"))]
extern "C" fn before_main() {
    // The program runs, recorded or not.
    let started = std::panic::catch_unwind(|| match start() {
        Some(Ok(recording)) => {
            if let Ok(mut place) = RECORDING.lock() {
                *place = Some(recording);
            }
        }
        Some(Err(error)) => eprintln!("heapprof-recorder: this program is not recorded: {error}"),
        None => {}
    });
    drop(started);
}

fn start() -> Option<Result<Recording, String>> {
    let filebase = std::env::var_os("HEAPPROF_RECORD").filter(|value| !value.is_empty())?;
    Some(recorder(filebase.into()).and_then(|recorder| {
        let started = match recorder.clone().start() {
            Err(Error::InUse(mut filebase)) => {
                filebase
                    .as_mut_os_string()
                    .push(format!(".{}", std::process::id()));
                recorder.filebase(filebase).start()
            }
            started => started,
        };
        started.map_err(|error| error.to_string())
    }))
}

fn recorder(filebase: PathBuf) -> Result<Recorder, String> {
    let number = |name: &str| match std::env::var(name) {
        Ok(value) => match value.parse::<u64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{name} is {value:?} and not a number")),
        },
        Err(_) => Ok(None),
    };
    let mut recorder = Recorder::new(filebase);
    if let Some(mean) = number("HEAPPROF_EVERY_BYTES")? {
        recorder = recorder.every_bytes(mean);
    }
    if let Some(depth) = number("HEAPPROF_DEPTH")? {
        recorder = recorder.depth(usize::try_from(depth).unwrap_or(usize::MAX));
    }
    Ok(recorder)
}
