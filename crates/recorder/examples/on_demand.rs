//! A service that is recorded for a while whenever it is told to: by the signal `SIGUSR1`, or by a request.
//!
//! ```text
//! cargo run --release -p heapprof-recorder --example on_demand -- target/on_demand
//! kill -USR1 PID              # or: curl -X POST http://127.0.0.1:PORT/heap?seconds=10
//! ```

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, process, thread};

use heapprof_recorder::{Allocator, Error, Recorder, Summary};
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::system();

/// Records for a while. Of two that ask at the same time, the second is told that a recording runs.
fn record(folder: &Path, time: Duration) -> Result<Summary, Error> {
    let name = format!("heap.{}", process::id());
    let recording = Recorder::new(folder.join(name)).start()?;
    thread::sleep(time);
    recording.finish()
}

/// Answers `POST /heap?seconds=N` with the name of a profile, once it is there.
fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default();
    let (status, text) = match path.strip_prefix("/heap?seconds=").map(str::parse) {
        Some(Ok(seconds)) => match record(folder, Duration::from_secs(seconds)) {
            Ok(summary) => ("200 OK", summary.filebase.display().to_string()),
            Err(error @ Error::AlreadyRecording(_)) => ("409 Conflict", error.to_string()),
            Err(error) => ("500 Internal Server Error", error.to_string()),
        },
        _ => ("404 Not Found", "ask for /heap?seconds=N".to_owned()),
    };
    let length = text.len() + 1;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}\n"
    )
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::args_os()
        .nth(1)
        .map_or(PathBuf::from("."), PathBuf::from);
    fs::create_dir_all(&folder)?;

    // The signals come to a thread of their own, where anything may be done.
    let mut signals = Signals::new([SIGUSR1])?;
    let place = folder.clone();
    thread::spawn(move || {
        for _ in signals.forever() {
            match record(&place, Duration::from_secs(10)) {
                Ok(summary) => eprintln!("recorded {}", summary.filebase.display()),
                Err(error) => eprintln!("not recorded: {error}"),
            }
        }
    });

    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!(
        "process {}, http://{}",
        process::id(),
        listener.local_addr()?
    );
    // The service itself.
    let mut cache: Vec<String> = Vec::new();
    thread::spawn(move || {
        loop {
            cache.push(format!("{:1000}", cache.len()));
            thread::sleep(Duration::from_millis(1));
        }
    });
    for stream in listener.incoming() {
        let folder = folder.clone();
        thread::spawn(move || {
            if let Err(error) = stream.and_then(|stream| answer(stream, &folder)) {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}
