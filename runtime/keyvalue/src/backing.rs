//! The bytes below the database, which stay readable when they can no longer be written.
//!
//! A database that is told of a failed write refuses everything from then on, reads as well. So it
//! is not told: from the first failure on, all that it writes is kept aside in memory, and whoever
//! commits asks [`Backing::failure`] afterwards. The file stays as the failure found it, as after
//! a crash, and the pages of the last good commit are still in it.
//!
//! A file can also be put aside from the start, to look into it without changing a byte.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Acquire, Ordering::Release},
    },
};

use parking_lot::Mutex;
use redb::StorageBackend;

const BLOCK: u64 = 4096;

/// A file under a database; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Backing(Arc<State>);

#[derive(Debug)]
struct State {
    file: Arc<File>,
    /// Whether `aside` is there, so that reads need no lock as long as all is well.
    is_aside: AtomicBool,
    aside: Mutex<Option<Aside>>,
    failure: Mutex<Option<Arc<io::Error>>>,
}

/// What was written since the file is left alone.
#[derive(Debug)]
struct Aside {
    blocks: BTreeMap<u64, Box<[u8]>>,
    len: u64,
    /// From here on the file counts for nothing: it ended here, or was cut.
    file_len: u64,
}

impl Backing {
    pub(crate) fn new(file: Arc<File>) -> Self {
        let (aside, failure) = (Mutex::new(None), Mutex::new(None));
        Self(Arc::new(State { file, is_aside: AtomicBool::new(false), aside, failure }))
    }

    /// The file as it is; what is written to it is forgotten.
    pub(crate) fn aside(file: Arc<File>) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let backing = Self::new(file);
        backing.put_aside(len);
        Ok(backing)
    }

    /// What failed first. Nothing that was written after that, or is written from now on, is in
    /// the file.
    pub(crate) fn failure(&self) -> Option<Arc<io::Error>> {
        self.0.failure.lock().clone()
    }

    /// As if the system had failed with `error`.
    pub(crate) fn fail(&self, error: io::Error) {
        self.0.failure.lock().get_or_insert_with(|| Arc::new(error));
        self.put_aside(self.0.file.metadata().map_or(0, |metadata| metadata.len()));
    }

    fn put_aside(&self, len: u64) {
        let new = || Aside { blocks: BTreeMap::new(), len, file_len: len };
        self.0.aside.lock().get_or_insert_with(new);
        self.0.is_aside.store(true, Release);
    }

    /// Does `work` on the file as long as that works, else on what is aside.
    fn write_or_keep(
        &self,
        work: impl FnOnce(&File) -> io::Result<()>,
        keep: impl FnOnce(&mut Aside, &File) -> io::Result<()>,
    ) -> io::Result<()> {
        let State { file, is_aside, aside, .. } = &*self.0;
        if !is_aside.load(Acquire) {
            match work(file) {
                Ok(()) => return Ok(()),
                Err(error) => self.fail(error),
            }
        }
        keep(aside.lock().as_mut().expect("put aside before the flag was set"), file)
    }
}

impl StorageBackend for Backing {
    fn len(&self) -> io::Result<u64> {
        let State { file, is_aside, aside, .. } = &*self.0;
        if is_aside.load(Acquire) {
            return Ok(aside.lock().as_ref().map_or(0, |aside| aside.len));
        }
        Ok(file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let State { file, is_aside, aside, .. } = &*self.0;
        let read = if is_aside.load(Acquire) {
            let aside = aside.lock();
            aside.as_ref().expect("put aside before the flag was set").read(file, offset, out)
        } else {
            file.read_exact_at(out, offset)
        };
        read.inspect_err(|error| {
            // The database remembers it, and refuses from now on.
            let mut failure = self.0.failure.lock();
            failure.get_or_insert_with(|| Arc::new(io::Error::from(error.kind())));
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.write_or_keep(
            |file| file.set_len(len),
            |aside, _| {
                aside.set_len(len);
                Ok(())
            },
        )
    }

    fn sync_data(&self) -> io::Result<()> {
        self.write_or_keep(File::sync_data, |_, _| Ok(()))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_or_keep(
            |file| file.write_all_at(data, offset),
            |aside, file| aside.write(file, offset, data),
        )
    }
}

impl Aside {
    fn set_len(&mut self, len: u64) {
        self.len = len;
        self.file_len = self.file_len.min(len);
        self.blocks.split_off(&len.div_ceil(BLOCK));
        if let Some(block) = self.blocks.get_mut(&(len / BLOCK)) {
            block[(len % BLOCK) as usize..].fill(0);
        }
    }

    fn read(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for_blocks(offset, out.len(), |block, within, range| {
            let part = &mut out[range];
            match self.blocks.get(&block) {
                Some(bytes) => part.copy_from_slice(&bytes[within..within + part.len()]),
                None => self.read_file(file, block * BLOCK + within as u64, part)?,
            }
            Ok(())
        })
    }

    fn write(&mut self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        self.len = self.len.max(offset + data.len() as u64);
        for_blocks(offset, data.len(), |block, within, range| {
            let part = &data[range];
            if !self.blocks.contains_key(&block) {
                let mut bytes = vec![0; BLOCK as usize].into_boxed_slice();
                if part.len() < bytes.len() {
                    self.read_file(file, block * BLOCK, &mut bytes)?;
                }
                self.blocks.insert(block, bytes);
            }
            let bytes = self.blocks.get_mut(&block).expect("just inserted");
            bytes[within..within + part.len()].copy_from_slice(part);
            Ok(())
        })
    }

    /// What the file has there; zeros behind its end.
    fn read_file(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = self.file_len.saturating_sub(offset).min(out.len() as u64) as usize;
        let (from_file, behind) = out.split_at_mut(there);
        behind.fill(0);
        file.read_exact_at(from_file, offset)
    }
}

/// Calls `each` with the number of a block, the place in it, and the range of the whole.
fn for_blocks(
    offset: u64,
    len: usize,
    mut each: impl FnMut(u64, usize, std::ops::Range<usize>) -> io::Result<()>,
) -> io::Result<()> {
    let mut done = 0;
    while done < len {
        let at = offset + done as u64;
        let within = (at % BLOCK) as usize;
        let end = len.min(done + BLOCK as usize - within);
        each(at / BLOCK, within, done..end)?;
        done = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(content: &[u8]) -> Arc<File> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content, 0).unwrap();
        Arc::new(file)
    }

    fn content(backing: &Backing) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(backing.len().unwrap()).unwrap()];
        backing.read(0, &mut bytes).unwrap();
        bytes
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize, Vec<u8>),
        Resize(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_000usize, prop::collection::vec(any::<u8>(), 1..9000))
                .prop_map(|(at, data)| Step::Write(at, data)),
            (0..20_000usize).prop_map(Step::Resize),
        ]
    }

    proptest! {
        #[test]
        fn aside_is_as_the_file_would_be_and_leaves_it(
            start in prop::collection::vec(any::<u8>(), 0..15_000),
            steps in prop::collection::vec(step(), 1..12),
        ) {
            let file = file(&start);
            let backing = Backing::aside(file.clone()).unwrap();
            let mut model = start.clone();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        backing.write(at as u64, &data).unwrap();
                        model.resize(model.len().max(at + data.len()), 0);
                        model[at..at + data.len()].copy_from_slice(&data);
                    }
                    Step::Resize(len) => {
                        backing.set_len(len as u64).unwrap();
                        model.resize(len, 0);
                    }
                }
                prop_assert!(content(&backing) == model);
            }
            prop_assert!(content(&Backing::new(file)) == start);
        }
    }

    #[test]
    fn after_a_failure_writes_seem_to_work_and_leave_the_file() {
        let file = file(b"good");
        let backing = Backing::new(file.clone());
        assert!(backing.failure().is_none());
        backing.write(0, b"fine").unwrap();
        backing.fail(io::ErrorKind::StorageFull.into());
        backing.write(2, b"lost").unwrap();
        backing.sync_data().unwrap();
        assert_eq!(content(&backing), b"filost");
        assert_eq!(content(&Backing::new(file)), b"fine");
        assert_eq!(backing.failure().unwrap().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn read_behind_the_end_is_an_error() {
        let file = file(b"good");
        for backing in [Backing::new(file.clone()), Backing::aside(file).unwrap()] {
            assert!(backing.read(2, &mut [0; 3]).is_err());
            assert!(backing.failure().is_some());
        }
    }
}
