//! The file and the database in it: opening, failing, opening again.

use std::{
    fs::{self, File, TryLockError},
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{Database, ReadableDatabase, ReadableTable, TableError};

use crate::{
    backing::Backing,
    error::{Error, OpenError, contained},
    layout::KeyHash,
    registry::Tally,
    tables::{BUCKETS, ENTRIES, EXPIRIES, LONG, META, REMOVED, earliest},
};

/// Rises when older versions of the program could not read what this one writes.
const FORMAT_VERSION: u64 = 1;
const VERSION: &str = "version";
const HASH_KEYS: [&str; 2] = ["hash-key-0", "hash-key-1"];
/// Pages of the file in memory; the system has the rest.
const CACHE_BYTES: usize = 64 << 20;
/// Room that has to be free before the file is opened again after it was full.
const PROBE_BYTES: usize = 1 << 20;
const OPEN: &str = "opening of key-values";

/// The deployment, bucket and content of a row of the table of buckets.
pub(crate) type BucketRow = (String, String, Tally);

pub(crate) struct Disk {
    path: PathBuf,
    /// Locked as long as this is there.
    file: Arc<File>,
    backing: Backing,
    /// None only when the file could not be opened again.
    database: Option<Database>,
    pub hash: KeyHash,
}

impl Disk {
    /// Opens the file at `path`, or creates it. A file that is not ours, or damaged, stays as it
    /// is.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let file = match existing(path)? {
            Some(file) => file,
            None => create(path)?,
        };
        let hash = look_into(path, &file)?;
        let backing = Backing::new(file.clone());
        let database = open_database(&backing).map_err(|error| OpenError::database(path, error))?;
        Ok(Self { path: path.to_owned(), file, backing, database: Some(database), hash })
    }

    /// What the buckets hold, as the last commit left them.
    pub(crate) fn rows(&self) -> Result<Vec<BucketRow>, Error> {
        contained(OPEN, || {
            let read = || -> Result<Vec<BucketRow>, redb::Error> {
                let read = self.database()?.begin_read()?;
                let (buckets, expiries) = (read.open_table(BUCKETS)?, read.open_table(EXPIRIES)?);
                let mut rows = Vec::new();
                for row in buckets.iter()? {
                    let (name, row) = row?;
                    let ((space, bucket), (id, bytes, keys)) = (name.value(), row.value());
                    let tally = Tally { id, bytes, keys, earliest_ms: earliest(&expiries, id)? };
                    rows.push((space.to_owned(), bucket.to_owned(), tally));
                }
                Ok(rows)
            };
            read().map_err(|error| Error::disk(OPEN, error))
        })
    }

    /// Only good for reading what is there once [`Disk::has_failed`].
    pub(crate) fn database(&self) -> Result<&Database, redb::Error> {
        self.database.as_ref().ok_or(redb::Error::DatabaseClosed)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.database.is_none() || self.failure().is_some()
    }

    /// Asked after every commit: the database does not learn of it.
    pub(crate) fn failure(&self) -> Option<Arc<io::Error>> {
        self.backing.failure()
    }

    /// From now on nothing is written to the file until it is opened again.
    pub(crate) fn fail(&self) {
        self.backing.fail(io::Error::other("an earlier write failed"));
    }

    /// Whether there is room for a write, which spares opening a large file for nothing.
    pub(crate) fn probe(&self) -> Result<(), Error> {
        let path = beside(&self.path, "probe");
        let probe = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(&vec![0; PROBE_BYTES])?;
            file.sync_data()
        };
        let probed = probe();
        let removed = fs::remove_file(&path);
        probed.and(removed).map_err(|error| Error::io("write of key-values", Arc::new(error)))
    }

    /// Opens the file again, as after a crash. Nobody may read from the old database any more.
    pub(crate) fn reopen(&mut self) -> Result<(), Error> {
        self.reopen_on(Backing::new(self.file.clone()))
    }

    /// Opens the file again for reading, without writing to it: it has failed, still.
    pub(crate) fn reopen_aside(&mut self) -> Result<(), Error> {
        let aside =
            Backing::aside(self.file.clone()).map_err(|error| Error::io(OPEN, Arc::new(error)))?;
        self.reopen_on(aside)?;
        self.fail();
        Ok(())
    }

    fn reopen_on(&mut self, backing: Backing) -> Result<(), Error> {
        // What it still has to say goes where its last writes went: not to the file.
        self.fail();
        self.database = None;
        let database = open_database(&backing);
        self.backing = backing;
        if let Some(failure) = self.failure() {
            return Err(Error::io(OPEN, failure));
        }
        self.database = Some(database?);
        Ok(())
    }
}

fn open_database(backing: &Backing) -> Result<Database, Error> {
    contained(OPEN, || {
        redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backing.clone())
            .map_err(|error| Error::disk(OPEN, error))
    })
}

/// The file that is there, locked; none for an empty one, which holds nothing to lose.
fn existing(path: &Path) -> Result<Option<Arc<File>>, OpenError> {
    let failed = |error| OpenError::io("open", path, error);
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    lock(path, &file)?;
    let is_empty = file.metadata().map_err(failed)?.len() == 0;
    Ok((!is_empty).then(|| Arc::new(file)))
}

fn lock(path: &Path, file: &File) -> Result<(), OpenError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::Locked { path: path.to_owned() },
        TryLockError::Error(error) => OpenError::io("lock", path, error),
    })
}

/// A new file, locked. It gets its name when it is complete, so that a crash leaves no half of it.
fn create(path: &Path) -> Result<Arc<File>, OpenError> {
    let failed = |error| OpenError::io("create", path, error);
    let new = beside(path, "new");
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&new);
    let file = open.map_err(failed)?;
    lock(path, &file)?;
    file.set_len(0).map_err(failed)?;
    let file = Arc::new(file);
    let backing = Backing::new(file.clone());
    let begun = open_database(&backing)
        .and_then(|database| begin(&database).map_err(|error| Error::disk(OPEN, error)));
    if let Some(failure) = backing.failure() {
        return Err(failed(io::Error::from(failure.kind())));
    }
    begun.map_err(|error| OpenError::database(path, error))?;
    file.sync_all().map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new("."))).and_then(|f| f.sync_all()).map_err(failed)?;
    Ok(file)
}

/// The tables of a new file.
fn begin(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(VERSION, FORMAT_VERSION)?;
        for key in HASH_KEYS {
            meta.insert(key, RandomState::new().hash_one(key))?;
        }
        transaction.open_table(BUCKETS)?;
        transaction.open_table(ENTRIES)?;
        transaction.open_table(LONG)?;
        transaction.open_table(EXPIRIES)?;
        transaction.open_table(REMOVED)?;
    }
    Ok(transaction.commit()?)
}

/// Checks all of the file without changing a byte of it.
fn look_into(path: &Path, file: &Arc<File>) -> Result<KeyHash, OpenError> {
    let foreign = |why: String| OpenError::Foreign { path: path.to_owned(), why };
    let backing =
        Backing::aside(file.clone()).map_err(|error| OpenError::io("read", path, error))?;
    let looked = contained(OPEN, || {
        let look = || -> Result<_, redb::Error> {
            let database = redb::Builder::new()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(true)
                .create_with_backend(backing.clone())?;
            let meta = match database.begin_read()?.open_table(META) {
                Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => {
                    return Ok([None; 3]);
                }
                meta => meta?,
            };
            let get = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|value| value.value()));
            Ok([get(VERSION)?, get(HASH_KEYS[0])?, get(HASH_KEYS[1])?])
        };
        look().map_err(|error| Error::disk(OPEN, error))
    });
    match looked.map_err(|error| OpenError::database(path, error))? {
        [Some(FORMAT_VERSION), Some(key_0), Some(key_1)] => Ok(KeyHash::new([key_0, key_1])),
        [Some(version), ..] => Err(foreign(format!("its version is {version}"))),
        _ => Err(foreign("it is the database of another program".into())),
    }
}

/// Another file in the same folder.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
