//! What stands at the name of a digest while one is written: the old one or the new one, whole,
//! whatever happens meanwhile.

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

/// Two digests that differ: intervals in milliseconds.
const INTERVALS: [u64; 2] = [50, 80];

fn every(millis: u64) -> DigestOptions<'static> {
    DigestOptions::default().interval(Duration::from_millis(millis))
}

/// A recording of 20 s whose digests take some hundred kilobytes.
fn recording() -> Profile {
    let mut profile = Profile::default().traces(400);
    for number in 0..20_000_u32 {
        let trace = 1 + number.wrapping_mul(2_654_435_761) % 400;
        profile.event(i64::from(number) * 1000, trace, 1 + i64::from(number % 900));
    }
    profile
}

/// A folder with a recording in it, and the bytes of its two digests.
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

    /// Whether there is a digest, which then is one of the two to the last byte.
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

    /// The temporary files, beside the recording and its digest.
    fn temporaries(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        files
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_stem() != self.run.file_name())
            .collect()
    }
}

/// What the other tests start this executable for.
#[test]
fn a_child() {
    let Some((job, run)) = child::job() else {
        return;
    };
    let reader = Reader::open(&run).unwrap();
    match &*job {
        // Whoever started it kills it; who forgot to is not plagued.
        "forever" => {
            child::tell("begun");
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
            child::tell("stored");
        }
        // In the middle of it, it waits.
        "wait" => {
            let mut waited = false;
            let options = every(INTERVALS[0]).progress(|_| {
                if !waited {
                    child::tell("begun");
                    child::wait();
                    waited = true;
                }
                ControlFlow::Continue(())
            });
            reader.make_digest(options).unwrap();
        }
        "once" => match reader.make_digest(every(INTERVALS[1])) {
            Ok(_) => child::tell("stored"),
            Err(error) => {
                assert!(matches!(error, Error::NotStored { .. }), "{error:?}");
                child::tell(error);
            }
        },
        other => panic!("{other}"),
    }
}

#[test]
fn who_is_killed_at_any_moment_leaves_a_whole_digest() {
    let scene = Scene::new();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut stored, mut left_behind) = (0, 0);
    for _ in 0..200 {
        let mut child = Running::start("forever", &scene.run);
        assert_eq!(child.told().unwrap(), "begun");
        thread::sleep(Duration::from_micros(random.u64(0..15_000)));
        child.kill();

        stored += u32::from(scene.has_whole_digest());
        let temporaries = scene.temporaries().len();
        // The next child has taken away what the one before left.
        assert!(temporaries <= 1, "{:?}", scene.temporaries());
        left_behind += temporaries;
    }
    // Otherwise the moments were badly chosen.
    assert!(stored > 0 && left_behind > 0, "{stored}, {left_behind}");
    Reader::open(&scene.run)
        .unwrap()
        .make_digest(every(INTERVALS[0]))
        .unwrap();
    assert_eq!(fs::read(scene.hpc()).unwrap(), scene.digests[0]);
    assert_eq!(scene.temporaries(), [""; 0].map(PathBuf::from));
}

#[test]
fn what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not() {
    let scene = Scene::new();
    let make = || {
        let reader = Reader::open(&scene.run).unwrap();
        reader.make_digest(every(INTERVALS[1])).unwrap();
        assert_eq!(fs::read(scene.hpc()).unwrap(), scene.digests[1]);
    };
    let [mut killed, mut living] = [(); 2].map(|()| {
        let mut child = Running::start("wait", &scene.run);
        assert_eq!(child.told().unwrap(), "begun");
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
fn who_is_stopped_or_panics_leaves_nothing_behind() {
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

    // Stopped before the first snapshot; then with some, and nothing better is there.
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
    // A whole one stays, and is given.
    reader.make_digest(every(INTERVALS[1])).unwrap();
    let kept = reader.make_digest(stopped_after(2)).unwrap();
    assert_eq!(kept.interval(), Duration::from_millis(INTERVALS[1]));
    assert_eq!(fs::read(scene.hpc()).unwrap(), scene.digests[1]);
    assert_eq!(scene.temporaries().len(), 0);
}

#[test]
fn two_processes_at_once_both_store_theirs() {
    let scene = Scene::new();
    let mut children = [(); 2].map(|()| Running::start("some", &scene.run));
    let mut seen = 0;
    while !children.iter_mut().all(Running::has_ended) {
        if scene.has_whole_digest() {
            // Found by who opens the profile, and whole to its last snapshot.
            let reader = Reader::open(&scene.run).unwrap();
            assert!(reader.has_digest(), "{:?}", reader.unused_digest());
            assert!(reader.snapshots().unwrap().all(|snapshot| snapshot.is_ok()));
            seen += 1;
        }
    }
    assert!(seen > 0);
    for child in &mut children {
        assert_eq!(child.told().unwrap(), "stored");
        assert!(child.end().success());
    }
    assert!(scene.has_whole_digest());
    assert_eq!(scene.temporaries().len(), 0);
}

#[test]
fn a_digest_is_of_the_log_as_it_was_opened_however_it_grows() {
    let scene = Scene::new();
    let hpd = scene.run.with_extension("hpd");
    let whole = fs::read(&hpd).unwrap();
    let reader = Reader::open(&scene.run).unwrap();
    let made = thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        scope.spawn({
            let hpd = &hpd;
            move || {
                let mut log = File::options().append(true).open(hpd).unwrap();
                // Until the other side is gone: half an event, and its other half.
                while tell.send(()).is_ok() {
                    log.write_all(&[0, 0, 0, 1]).unwrap();
                    log.write_all(&[0, 5, 100]).unwrap();
                }
            }
        });
        told.recv().unwrap();
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

    // Who opens the profile now is told that it is of a shorter log.
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

/// Makes a digest in a child that a program starts, where there is one already. It must fail, leave
/// all as it was, and say `why`.
#[cfg(unix)]
fn fails_and_changes_nothing(scene: &Scene, starter: std::process::Command, why: &str) {
    let hpc = scene.hpc();
    let mut child = Running::of(child::started_by(starter, "once", &scene.run)).unwrap();
    assert_eq!(
        child.told().unwrap(),
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

/// A limit on the size of files stands for a full disk: a write gives out somewhere in the middle.
#[cfg(unix)]
#[test]
fn where_a_write_fails_the_old_digest_stays_and_the_error_says_why() {
    let scene = Scene::new();
    store_one(&scene);
    let mut shell = std::process::Command::new("sh");
    // 64 or 128 KB; who ignores the signal gets an error.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh"]);
    let why = "cannot write: File too large (os error 27)";
    fails_and_changes_nothing(&scene, shell, why);
}

/// The same behind a name that is a link, which goes on being one.
#[cfg(unix)]
#[test]
fn a_failed_write_behind_a_link_changes_nothing_there() {
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

/// A disk of its own, of which a digest takes more than is left. Where nobody may have one, this is
/// left out.
#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_the_old_digest_stays_and_the_error_says_why() {
    let scene = Scene::new();
    let hpc = scene.hpc();
    let room = scene.digests[0].len() + scene.digests[1].len() / 2;
    // The disk is seen in the child's own namespace alone, and goes with it.
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
    let told = stdout(&output);
    let full = format!(
        "told: {}: cannot write: No space left on device (os error 28): \
         the digest is not stored; Reader::digest needs no file\n",
        hpc.display()
    );
    assert!(told.contains(&full), "{told}");
    assert!(
        output.status.success() && told.ends_with("\nthere: probe run.hpc\n"),
        "{told}"
    );
}

/// Root may do anything, so the child is somebody else then.
#[cfg(unix)]
#[test]
fn without_the_right_to_write_the_old_digest_stays_and_the_error_says_why() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    let scene = Scene::new();
    store_one(&scene);
    let set = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // Nobody may look into the folder in which the tests are built.
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
                child.told().unwrap(),
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
    // The digest there is read all the same.
    let digest = Digest::open(scene.hpc()).unwrap();
    assert_eq!(digest.interval(), Duration::from_millis(INTERVALS[0]));
}
