//! Writing a digest to its file: at any moment, and after any failure, the file is the old digest or the new one,
//! whole.

#[path = "common/child.rs"]
mod child;
mod common;

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use child::Running;
use common::Profile;
use common::output::stdout;
use heapprof::{Digest, DigestOptions, Error, Reader, UnusedDigest};

/// The intervals of two different digests, in milliseconds.
const INTERVALS: [u64; 2] = [50, 80];

fn every(millis: u64) -> DigestOptions<'static> {
    DigestOptions::default().interval(Duration::from_millis(millis))
}

/// A recording of 20 s whose digests have a few hundred kilobytes.
fn recording() -> Profile {
    let mut profile = Profile::default().traces(400);
    for number in 0..20_000_u32 {
        let trace = 1 + number.wrapping_mul(2_654_435_761) % 400;
        profile.event(i64::from(number) * 1000, trace, 1 + i64::from(number % 900));
    }
    profile
}

/// A folder with a recording, and the bytes of its two digests.
struct Scene {
    folder: tempfile::TempDir,
    run: PathBuf,
    digests: [Vec<u8>; 2],
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = recording().save(folder.path());
        let hpc = run.with_extension("hpc");
        let digests = INTERVALS.map(|millis| {
            Reader::open(&run)
                .unwrap()
                .make_digest(every(millis))
                .unwrap();
            let bytes = fs::read(&hpc).unwrap();
            fs::remove_file(&hpc).unwrap();
            bytes
        });
        assert!(digests.iter().all(|bytes| bytes.len() > 200_000));
        assert_ne!(digests[0], digests[1]);
        Self {
            folder,
            run,
            digests,
        }
    }

    fn hpc(&self) -> PathBuf {
        self.run.with_extension("hpc")
    }

    /// Whether there is a digest. If there is, it must be one of the two, byte for byte.
    fn has_whole_digest(&self) -> bool {
        match fs::read(self.hpc()) {
            Ok(bytes) => {
                assert!(self.digests.contains(&bytes), "{} bytes", bytes.len());
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
                false
            }
        }
    }

    /// The files that are neither the recording nor its digest.
    fn temporaries(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        files
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_stem() != self.run.file_name())
            .collect()
    }
}

/// The other tests run this one in a child process.
#[test]
fn child_process() {
    let Some((job, run)) = child::job() else {
        return;
    };
    let reader = Reader::open(&run).unwrap();
    match &*job {
        // The parent kills this process. It ends by itself if the parent fails to.
        "forever" => {
            child::send("begun");
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(20) {
                for millis in INTERVALS {
                    reader.make_digest(every(millis)).unwrap();
                }
            }
        }
        "some" => {
            for _ in 0..15 {
                for millis in INTERVALS {
                    let made = reader.make_digest(every(millis)).unwrap();
                    assert_eq!(made.interval(), Duration::from_millis(millis));
                }
            }
            child::send("stored");
        }
        // Waits in the middle of writing.
        "wait" => {
            let mut waited = false;
            let options = every(INTERVALS[0]).progress(|_| {
                if !waited {
                    child::send("begun");
                    child::wait();
                    waited = true;
                }
                ControlFlow::Continue(())
            });
            reader.make_digest(options).unwrap();
        }
        "once" => match reader.make_digest(every(INTERVALS[1])) {
            Ok(_) => child::send("stored"),
            Err(error) => {
                assert!(matches!(error, Error::NotStored { .. }), "{error:?}");
                child::send(error);
            }
        },
        other => panic!("{other}"),
    }
}

#[test]
fn killed_writer_leaves_a_whole_digest() {
    let scene = Scene::new();
    // Children are killed after up to so long as it takes to write a few digests here.
    let begun = Instant::now();
    let reader = Reader::open(&scene.run).unwrap();
    for millis in INTERVALS.iter().cycle().take(4) {
        reader.make_digest(every(*millis)).unwrap();
    }
    let longest = u64::try_from(begun.elapsed().as_micros()).unwrap();
    fs::remove_file(scene.hpc()).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut stored, mut left_behind) = (0, 0);
    for _ in 0..60 {
        let mut child = Running::start("forever", &scene.run);
        assert_eq!(child.receive().unwrap(), "begun");
        thread::sleep(Duration::from_micros(random.u64(0..longest)));
        child.kill();

        stored += u32::from(scene.has_whole_digest());
        let temporaries = scene.temporaries().len();
        // The next child removed the files that the previous one left.
        assert!(temporaries <= 1, "{:?}", scene.temporaries());
        left_behind += temporaries;
    }
    // Otherwise the delays were badly chosen.
    assert!(stored > 0 && left_behind > 0, "{stored}, {left_behind}");
    Reader::open(&scene.run)
        .unwrap()
        .make_digest(every(INTERVALS[0]))
        .unwrap();
    assert_eq!(fs::read(scene.hpc()).unwrap(), scene.digests[0]);
    assert_eq!(scene.temporaries(), [""; 0].map(PathBuf::from));
}

#[test]
fn removes_temporary_files_of_dead_writers_only() {
    let scene = Scene::new();
    let make = || {
        let reader = Reader::open(&scene.run).unwrap();
        reader.make_digest(every(INTERVALS[1])).unwrap();
        assert_eq!(fs::read(scene.hpc()).unwrap(), scene.digests[1]);
    };
    let [mut killed, mut living] = [(); 2].map(|()| {
        let mut child = Running::start("wait", &scene.run);
        assert_eq!(child.receive().unwrap(), "begun");
        child
    });
    assert_eq!(scene.temporaries().len(), 2);
    make();
    assert_eq!(scene.temporaries().len(), 2);
    killed.kill();
    assert_eq!(scene.temporaries().len(), 2);
    make();
    assert_eq!(scene.temporaries().len(), 1);
    assert!(living.end().success());
    assert_eq!(scene.temporaries().len(), 0);
    assert_eq!(fs::read(scene.hpc()).unwrap(), scene.digests[0]);
}

#[test]
fn stopped_or_panicking_writer_leaves_no_files() {
    let scene = Scene::new();
    let reader = Reader::open(&scene.run).unwrap();
    let make = || {
        let options = every(INTERVALS[0]).progress(|_| std::panic::resume_unwind(Box::new(())));
        reader.make_digest(options)
    };
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(make));
    assert!(panicked.is_err());
    assert!(!scene.has_whole_digest());
    assert_eq!(scene.temporaries().len(), 0);

    // Stopped before the first snapshot, and then after some, without an older digest.
    let stopped_after = |looks: u32| {
        let mut looked = 0;
        every(INTERVALS[0]).progress(move |_| {
            looked += 1;
            if looked > looks {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    };
    assert!(reader.make_digest(stopped_after(0)).unwrap().is_empty());
    assert!(!scene.has_whole_digest());
    let some = reader.make_digest(stopped_after(2)).unwrap();
    assert!(some.is_stopped());
    let stored = Digest::open(scene.hpc()).unwrap();
    assert_eq!((stored.len(), stored.end()), (some.len(), some.end()));
    // A whole digest is kept and returned.
    reader.make_digest(every(INTERVALS[1])).unwrap();
    let kept = reader.make_digest(stopped_after(2)).unwrap();
    assert_eq!(kept.interval(), Duration::from_millis(INTERVALS[1]));
    assert_eq!(fs::read(scene.hpc()).unwrap(), scene.digests[1]);
    assert_eq!(scene.temporaries().len(), 0);
}

#[test]
fn two_processes_can_write_at_once() {
    let scene = Scene::new();
    let mut children = [(); 2].map(|()| Running::start("some", &scene.run));
    let mut seen = 0;
    while !children.iter_mut().all(Running::has_ended) {
        if scene.has_whole_digest() {
            // A reader that opens the profile finds a digest, whole to its last snapshot.
            let reader = Reader::open(&scene.run).unwrap();
            assert!(reader.has_digest(), "{:?}", reader.unused_digest());
            assert!(reader.snapshots().unwrap().all(|snapshot| snapshot.is_ok()));
            seen += 1;
        }
    }
    assert!(seen > 0);
    for child in &mut children {
        assert_eq!(child.receive().unwrap(), "stored");
        assert!(child.end().success());
    }
    assert!(scene.has_whole_digest());
    assert_eq!(scene.temporaries().len(), 0);
}

#[test]
fn digest_covers_the_log_as_opened() {
    let scene = Scene::new();
    let hpd = scene.run.with_extension("hpd");
    let whole = fs::read(&hpd).unwrap();
    let reader = Reader::open(&scene.run).unwrap();
    let made = thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel();
        scope.spawn({
            let hpd = &hpd;
            move || {
                let mut log = File::options().append(true).open(hpd).unwrap();
                // Until the receiver is dropped: half an event, and then its other half.
                while sender.send(()).is_ok() {
                    log.write_all(&[0, 0, 0, 1]).unwrap();
                    log.write_all(&[0, 5, 100]).unwrap();
                }
            }
        });
        receiver.recv().unwrap();
        let made = reader.make_digest(every(INTERVALS[0])).unwrap();
        let live = reader.live_at_end().unwrap().total();
        assert_eq!(
            made.snapshot_at(heapprof::Elapsed::MAX)
                .unwrap()
                .usage()
                .total(),
            live
        );
        made
    });
    assert_eq!(made.end().unwrap().offset(), whole.len() as u64);
    assert_eq!(made.end().unwrap().events(), 20_000);
    assert_eq!(fs::read(scene.hpc()).unwrap(), scene.digests[0]);

    // A reader that opens the profile now reports that the digest is of a shorter log.
    let len = fs::metadata(&hpd).unwrap().len();
    assert!(len > whole.len() as u64);
    let reader = reader.reopen().unwrap();
    let unused = reader.unused_digest().unwrap();
    assert!(matches!(
        *unused,
        UnusedDigest::Length { digested, now } if digested == whole.len() as u64 && now == len
    ));
    let events = 20_000 + (len - whole.len() as u64) / 7;
    assert_eq!(reader.digest().unwrap().end().unwrap().events(), events);
}

/// Makes a digest in a child process of `starter`, although there is one already. This must fail with an error that
/// contains `why`, and change nothing.
#[cfg(unix)]
fn fails_and_changes_nothing(scene: &Scene, starter: std::process::Command, why: &str) {
    let hpc = scene.hpc();
    let mut child = Running::of(child::started_by(starter, "once", &scene.run)).unwrap();
    assert_eq!(
        child.receive().unwrap(),
        format!(
            "{}: {why}: the digest is not stored; Reader::digest needs no file",
            hpc.display()
        )
    );
    assert!(child.end().success());
    assert_eq!(fs::read(&hpc).unwrap(), scene.digests[0]);
    assert_eq!(scene.temporaries().len(), 0);
}

#[cfg(unix)]
fn store_one(scene: &Scene) {
    let reader = Reader::open(&scene.run).unwrap();
    reader.make_digest(every(INTERVALS[0])).unwrap();
}

/// A limit on the size of files replaces a full disk: a write fails halfway.
#[cfg(unix)]
#[test]
fn failed_write_keeps_the_old_digest() {
    let scene = Scene::new();
    store_one(&scene);
    let mut shell = std::process::Command::new("sh");
    // 64 or 128 KB. A process that ignores the signal gets an error.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh"]);
    let why = "cannot write: File too large (os error 27)";
    fails_and_changes_nothing(&scene, shell, why);
}

/// The name of the digest is a symbolic link, and stays one.
#[cfg(unix)]
#[test]
fn failed_write_through_a_link_keeps_the_target() {
    let scene = Scene::new();
    let other = tempfile::tempdir().unwrap();
    let target = other.path().join("target");
    std::os::unix::fs::symlink(&target, scene.hpc()).unwrap();
    store_one(&scene);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh"]);
    let why = "cannot write: File too large (os error 27)";
    fails_and_changes_nothing(&scene, shell, why);
    assert_eq!(fs::read_link(scene.hpc()).unwrap(), target);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
}

/// A digest that does not fit a small file system. Skipped where the test may not mount one.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_keeps_the_old_digest() {
    let scene = Scene::new();
    let hpc = scene.hpc();
    let room = scene.digests[0].len() + scene.digests[1].len() / 2;
    // The file system is mounted in the child's own namespace, and disappears with the child.
    let script = "
        mount -t tmpfs -o size=$1 none \"$2\" || exit 9
        cp \"$3\" \"$2/run.hpc\" && : > \"$2/probe\" || exit 9
        shift 3; \"$@\" || exit
        cmp \"$OLD\" \"$DISK/run.hpc\" && echo there: $(ls -A \"$DISK\")
    ";
    let disk = scene.folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let old = scene.folder.path().join("old");
    fs::write(&old, &scene.digests[0]).unwrap();
    std::os::unix::fs::symlink("disk/run.hpc", &hpc).unwrap();
    let mut unshare = std::process::Command::new("unshare");
    unshare
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg("sh")
        .arg(room.to_string())
        .args([&disk, &old])
        .env("OLD", &old)
        .env("DISK", &disk);
    let Ok(output) = child::started_by(unshare, "once", &scene.run).output() else {
        eprintln!("skipped: there is no unshare");
        return;
    };
    if output.status.code() == Some(9) || output.stdout.is_empty() {
        eprintln!("skipped: a disk cannot be mounted");
        return;
    }
    let printed = stdout(&output);
    let full = format!(
        "child: {}: cannot write: No space left on device (os error 28): \
         the digest is not stored; Reader::digest needs no file\n",
        hpc.display()
    );
    assert!(printed.contains(&full), "{printed}");
    assert!(
        output.status.success() && printed.ends_with("\nthere: probe run.hpc\n"),
        "{printed}"
    );
}

/// Root may write anywhere, so the child process runs as a different user.
#[cfg(unix)]
#[test]
fn missing_write_permission_keeps_the_old_digest() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    let scene = Scene::new();
    store_one(&scene);
    let set = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // The other user may not be able to read the folder in which the tests are built.
    let exe = scene.folder.path().join("run.exe");
    fs::copy(std::env::current_exe().unwrap(), &exe).unwrap();
    for file in [&exe, &scene.hpc(), &scene.run.with_extension("hpd")] {
        set(file, 0o755);
    }
    set(&scene.run.with_extension("hpm"), 0o755);
    set(scene.folder.path(), 0o555);
    let is_root = File::create(scene.folder.path().join("run.probe")).is_ok();
    let mut command = child::command(&exe, "once", &scene.run);
    if is_root {
        command.uid(65_534).gid(65_534);
    }
    match Running::of(command) {
        Ok(mut child) => {
            assert_eq!(
                child.receive().unwrap(),
                format!(
                    "{}: cannot create a file beside it: Permission denied (os error 13): \
                     the digest is not stored; Reader::digest needs no file",
                    scene.hpc().display()
                )
            );
            assert!(child.end().success());
        }
        Err(error) if is_root => eprintln!("skipped: root cannot be anybody else: {error}"),
        Err(error) => panic!("{error}"),
    }
    assert_eq!(fs::read(scene.hpc()).unwrap(), scene.digests[0]);
    assert_eq!(scene.temporaries().len(), 0);
    set(scene.folder.path(), 0o755);
    // The existing digest can still be read.
    let digest = Digest::open(scene.hpc()).unwrap();
    assert_eq!(digest.interval(), Duration::from_millis(INTERVALS[0]));
}
