//! Plans of failure for tests: die at the n-th point, or have no room from one point to another. A plan is for one directory, so that
//! tests in one process do not disturb each other.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Point;
use super::place::{self, Place};

/// What becomes of names that were given and not synced when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// They are there.
    Kept,
    /// They are lost: a new file is gone, a replaced one is the old one.
    Lost,
}

#[derive(Debug)]
enum What {
    Count,
    Die { at: usize, names: Names },
    Full { points: Range<usize> },
}

/// Counts the points that a directory's node passes, and fails at some. Over when it is dropped.
#[derive(Debug)]
pub(crate) struct Plan {
    run: Arc<Run>,
    /// What a power cut left; made when the plan's point comes.
    copy: Place,
}

#[derive(Debug)]
struct Run {
    dir: PathBuf,
    copy: PathBuf,
    what: What,
    state: Mutex<State>,
}

/// A name, and the content that stood under it.
type Before = (PathBuf, Option<Vec<u8>>);
/// A name that a file had, and the file's content.
type Left = (PathBuf, Vec<u8>);

#[derive(Debug, Default)]
struct State {
    passed: Vec<Point>,
    dead: bool,
    /// What stood under the name that was given last.
    before: Option<Before>,
    /// The file that left its name for that one.
    leaves: Option<Left>,
}

static PLANS: Mutex<Vec<Arc<Run>>> = Mutex::new(Vec::new());

fn plans() -> MutexGuard<'static, Vec<Arc<Run>>> {
    PLANS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plan {
    /// Lets everything pass, and counts it.
    pub(crate) fn count(dir: &Path) -> Self {
        Self::new(dir, What::Count)
    }

    /// From the point `at` (counted from 0) on nothing is done any more, as if the process were gone.
    pub(crate) fn die(dir: &Path, at: usize, names: Names) -> Self {
        Self::new(dir, What::Die { at, names })
    }

    /// No room on the disk at these points.
    pub(crate) fn full(dir: &Path, points: Range<usize>) -> Self {
        Self::new(dir, What::Full { points })
    }

    fn new(dir: &Path, what: What) -> Self {
        let copy = Place::new();
        let run =
            Arc::new(Run { dir: dir.to_path_buf(), copy: copy.path().join("node"), what, state: Mutex::default() });
        plans().push(run.clone());
        Self { run, copy }
    }

    /// The points that were passed, the one at which it died among them.
    pub(crate) fn passed(&self) -> Vec<Point> {
        self.run.state().passed.clone()
    }

    /// The point came.
    pub(crate) fn died(&self) -> bool {
        self.run.state().dead
    }

    /// The directory as the power cut left it; it goes when the returned guard does.
    pub(crate) fn left(self) -> (Place, PathBuf) {
        assert!(self.died(), "the plan's point never came: {:?}", self.passed());
        plans().retain(|run| !Arc::ptr_eq(run, &self.run));
        let path = self.run.copy.clone();
        let mut plan = self;
        // What was committed is on the server, whatever has become of the directory since.
        place::copy(&plan.run.dir, &path);
        (std::mem::replace(&mut plan.copy, Place::new()), path)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        plans().retain(|run| !Arc::ptr_eq(run, &self.run));
    }
}

impl Run {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, path: &Path, point: Point) -> io::Result<()> {
        let mut state = self.state();
        if state.dead {
            return Err(io::Error::other("the process is gone"));
        }
        let n = state.passed.len();
        state.passed.push(point);
        match &self.what {
            What::Count => Ok(()),
            // What is committed has found its room.
            What::Full { points } if points.contains(&n) && point != Point::Committed => {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            What::Die { at, names } if n == *at => {
                state.dead = true;
                let lost = (state.before.take(), state.leaves.take());
                self.cut(path, point, *names, lost);
                Err(io::Error::other("the process died here"))
            }
            What::Full { .. } | What::Die { .. } => {
                match point {
                    Point::Leave => state.leaves = fs::read(path).ok().map(|content| (path.to_path_buf(), content)),
                    Point::Name => state.before = Some((path.to_path_buf(), fs::read(path).ok())),
                    Point::SyncNames => (state.before, state.leaves) = (None, None),
                    _ => {}
                }
                Ok(())
            }
        }
    }

    /// What is on the disk at this moment; content that was not synced is half there.
    fn cut(&self, path: &Path, point: Point, names: Names, (before, leaves): (Option<Before>, Option<Left>)) {
        copy_dir(&self.dir, &self.copy);
        let in_copy = |path: &Path| self.copy.join(path.strip_prefix(&self.dir).expect("the plan's own directory"));
        if point == Point::Sync {
            let file = fs::OpenOptions::new().write(true).open(in_copy(path)).expect("the file was made");
            let half = file.metadata().expect("a file").len() / 2;
            file.set_len(half).expect("cut");
        }
        if let (Names::Lost, Point::SyncNames | Point::Remove, Some((name, content))) = (names, point, before) {
            match content {
                Some(content) => fs::write(in_copy(&name), content).expect("put back"),
                None => fs::remove_file(in_copy(&name)).expect("taken away"),
            }
            if let Some((name, content)) = leaves {
                fs::write(in_copy(&name), content).expect("put back");
            }
        }
    }
}

/// Passes a point of the node in whose directory `path` lies.
pub(crate) fn pass(path: &Path, point: Point) -> io::Result<()> {
    let run = plans().iter().find(|run| path.starts_with(&run.dir)).cloned();
    run.map_or(Ok(()), |run| run.pass(path, point))
}

static LARGE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn large() -> MutexGuard<'static, Vec<PathBuf>> {
    LARGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The database in a directory counts as too large to be sealed, until this is dropped.
#[derive(Debug)]
pub(crate) struct Large(PathBuf);

impl Large {
    pub(crate) fn at(dir: &Path) -> Self {
        large().push(dir.to_path_buf());
        Self(dir.to_path_buf())
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        large().retain(|dir| *dir != self.0);
    }
}

/// Up to how many bytes the database at `path` is checked and sealed as a whole.
pub(crate) fn sealed_up_to(path: &Path, bytes: u64) -> u64 {
    match large().iter().any(|dir| path.starts_with(dir)) {
        true => 0,
        false => bytes,
    }
}

/// Copies a node's directory, sockets and locks left out.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a node's directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            copy_dir(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}
